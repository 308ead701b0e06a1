"""The page in a real browser: headless Chromium over loopback.

Needs Debian's `chromium` (or CHROMIUM=/path/to/it) and `pip install .[browser]`.
"""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

playwright = pytest.importorskip("playwright.sync_api")
Page = playwright.Page
expect = playwright.expect

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
PATIENCE_MS = 120_000
START_S = 120


def start_server(checkpoint: Path, outputs: Path) -> tuple[subprocess.Popen, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(ROOT / "app.py"), "--checkpoint", str(checkpoint)]
    command += ["--outputs", str(outputs), "--port", str(port), "--max-upload-mb", "1"]
    server = subprocess.Popen(command, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/health") as answer:
                if b'"ready"' in answer.read():
                    return server, address
        except OSError:
            pass
        time.sleep(0.5)
    server.kill()
    raise AssertionError("the demo did not become ready")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def address(tiny_folder: Path, outputs: Path) -> Iterator[str]:
    server, address = start_server(tiny_folder, outputs)
    yield address
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync"]
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: object, address: str) -> Iterator[object]:
    page = browser.new_page(viewport={"width": 1200, "height": 900})  # type: ignore[attr-defined]
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    page.locator("#state").get_by_text("Ready").wait_for()
    yield page
    page.close()


def create(page: Page, prompt: str, *, seconds: str = "2", steps: str = "2") -> None:
    page.locator("#prompt textarea").fill(prompt)
    page.get_by_label("Length in seconds").first.fill(seconds)
    page.get_by_role("button", name="Advanced").click()
    page.get_by_label("Steps", exact=True).fill(steps)
    page.locator("#make").click()


def finished(page: Page) -> None:
    page.locator("#status").get_by_text("Done:").first.wait_for()


def test_create_shows_a_take_with_a_sentence(page: Page, outputs: Path) -> None:
    before = len(list(outputs.rglob("*.flac")))
    create(page, "slow piano")
    finished(page)
    expect(page.get_by_text(re.compile(r"2\.0 seconds"))).to_be_visible()
    assert len(list(outputs.rglob("*.flac"))) == before + 1


def test_an_empty_prompt_is_a_sentence_and_the_next_request_works(page: Page) -> None:
    page.locator("#make").click()
    page.locator("#status").get_by_text("the prompt is empty").wait_for()
    create(page, "slow piano")
    finished(page)


def test_stop_ends_a_long_rendering(page: Page) -> None:
    create(page, "slow piano", seconds="20", steps="500")
    page.locator("#status").get_by_text(re.compile(r"step \d+ of 500")).first.wait_for()
    page.locator("#cancel").click()
    page.locator("#status").get_by_text("Stopped").first.wait_for()


@pytest.mark.parametrize("action", ["Variation", "Loop it", "Repaint the region", "Extend"])
def test_actions_on_a_take(page: Page, outputs: Path, action: str) -> None:
    create(page, "slow piano")
    finished(page)
    page.get_by_label("Region from (s)").first.fill("0.5")
    page.get_by_label("Region to (s)").first.fill("1")
    before = len(list(outputs.rglob("*.flac")))
    page.get_by_role("button", name=action).first.click()
    page.locator("#status").get_by_text(re.compile("Waiting|step")).first.wait_for()
    finished(page)
    assert len(list(outputs.rglob("*.flac"))) == before + 1


def test_history_survives_a_restart_and_a_file_comes_back(
    browser: object, tiny_folder: Path, tmp_path: Path
) -> None:
    server, address = start_server(tiny_folder, tmp_path)
    page = browser.new_page()  # type: ignore[attr-defined]
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    page.locator("#state").get_by_text("Ready").wait_for()
    create(page, "a very particular flute")
    finished(page)
    server.terminate()
    server.wait()
    server, address = start_server(tiny_folder, tmp_path)
    try:
        page.goto(address)
        page.get_by_role("tab", name="History").click()
        page.get_by_role("button", name="Refresh").click()
        page.get_by_role("gridcell", name="a very particular flute").wait_for()
        file = next(tmp_path.rglob("*.flac"))
        page.locator("#drop input[type=file]").set_input_files(file)
        page.locator("#verdict").get_by_text("unchanged since").wait_for()
        page.get_by_role("tab", name="Create").click()
        expect(page.locator("#prompt textarea")).to_have_value("a very particular flute")
    finally:
        page.close()
        server.terminate()
        server.wait()


def test_foreign_and_oversized_uploads_are_refused(page: Page, tmp_path: Path) -> None:
    page.get_by_role("tab", name="History").click()
    foreign = tmp_path / "foreign.wav"
    soundfile.write(foreign, 0.1 * np.sin(np.arange(16_000)), 16_000)
    page.locator("#drop input[type=file]").set_input_files(foreign)
    page.locator("#verdict").get_by_text("Not made by this program").wait_for()


def test_the_page_fits_a_phone(browser: object, address: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740})  # type: ignore[attr-defined]
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    page.locator("#state").get_by_text("Ready").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()


def test_the_keyboard_alone_is_enough(page: Page, outputs: Path) -> None:
    before = len(list(outputs.rglob("*.flac")))
    page.locator("#prompt textarea").focus()
    page.keyboard.type("slow piano")
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "make":
            break
    assert page.evaluate("document.activeElement.id") == "make"
    page.get_by_label("Length in seconds").first.fill("1")
    page.locator("#make").focus()
    page.keyboard.press("Enter")
    page.locator("#status").get_by_text(re.compile("step")).first.wait_for()
    page.locator("#cancel").focus()
    page.keyboard.press("Enter")
    page.locator("#status").get_by_text(re.compile("Stopped|Done")).first.wait_for()
    assert len(list(outputs.rglob("*.flac"))) >= before


def test_no_serious_accessibility_violations(page: Page) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    opened: list[Callable[[], None]] = [
        lambda: None,
        *(
            lambda name=name: page.get_by_role("tab", name=name).click()  # type: ignore[misc]
            for name in ("Transform", "History", "Batch", "About")
        ),
    ]
    for open_tab in opened:
        open_tab()
        violations = axe.run(page).response["violations"]
        serious = [v["id"] for v in violations if v["impact"] in ("serious", "critical")]
        assert serious == []
