"""The demo from outside: a server of its own on a free port, and headless Chromium to look at it.

Shared by the browser tests, `demo_load.py`, `demo_start.py` and `demo_screenshots.py`. Chromium is
Debian's (`apt install chromium`) or the one that the environment variable CHROMIUM names.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
START_S = 120
LOOK_EVERY_S = 0.1
PATIENCE_MS = 120_000
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def started(
    checkpoint: str | Path, outputs: Path, *flags: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A demo that may not answer yet: (address, process); ended on leaving."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(ROOT / "app.py"), "--checkpoint", str(checkpoint)]
    command += ["--outputs", str(outputs), "--port", str(port), *flags]
    server = subprocess.Popen(command, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    try:
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.terminate()
        server.wait()


@contextmanager
def serving(checkpoint: str | Path, outputs: Path, *flags: str) -> Iterator[tuple[str, int]]:
    """A demo with its model loaded: (address, process id); ended on leaving."""
    with started(checkpoint, outputs, *flags) as (address, server):
        wait_until(server, lambda: is_ready(address))
        yield address, server.pid


def wait_until(server: subprocess.Popen[bytes], is_so: Callable[[], bool]) -> None:
    """Look until it is so.

    Raises:
        RuntimeError: If the server ends, or it takes too long.
    """
    deadline = time.monotonic() + START_S
    while not is_so():
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the demo did not start; its own words are above")
        time.sleep(LOOK_EVERY_S)


def is_ready(address: str) -> bool:
    """Whether the demo's model is loaded.

    Raises:
        RuntimeError: If it cannot be loaded.
    """
    status = json.loads(fetched(f"{address}/health") or '{"status": "loading"}')["status"]
    if status == "failed":
        raise RuntimeError("the demo could not load its model; its own words are above")
    return bool(status == "ready")


def fetched(url: str) -> bytes | None:
    """What a server answers, None while it does not listen."""
    try:
        with urllib.request.urlopen(url) as answer:
            return bytes(answer.read())
    except OSError:
        return None


def find_chromium() -> str | None:
    """Path of the browser, None where there is none."""
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser of playwright's."""
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    if path is None:
        raise RuntimeError(
            "no Chromium is found: apt install chromium, or set CHROMIUM to its path"
        )
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def opened(browser: Any, address: str, **options: Any) -> Any:
    """A new page on the demo, in a context of its own with playwright's `options`."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    page.locator("#state").get_by_text("Ready:").wait_for()  # not "already"
    return page


def create(page: Any, prompt: str, *, seconds: float, steps: int = 0) -> None:
    """Fill in the Create tab and press the button; 0 steps are the checkpoint's own number."""
    page.locator("#prompt textarea").fill(prompt)
    page.get_by_label("Length in seconds").first.fill(str(seconds))
    if steps:
        page.get_by_role("button", name="Advanced").click()
        page.get_by_label("Steps", exact=True).fill(str(steps))
    page.locator("#make").click()


def finished(page: Any, form: str = "create") -> None:
    """Wait for the rendering on the Create tab, or on that of another form."""
    page.locator(f"#{form}-status").get_by_text("Done:").first.wait_for()


def turn_to(page: Any, tab: str) -> None:
    """Open a tab; on a phone it may hide in a menu."""
    button = page.get_by_role("tab", name=tab)
    if not button.is_visible():
        page.get_by_role("button", name="More tabs").click()
        button = page.locator(".overflow-dropdown").get_by_role("button", name=tab)
    button.click()


def typed(page: Any, label: str, value: str) -> None:
    """Fill in a number of the tab that is seen."""
    page.get_by_label(label).locator("visible=true").first.fill(value)
