"""The page in a real browser: headless Chromium over loopback.

Needs `pip install .[browser]` and Debian's `chromium` (or CHROMIUM=/path/to/another).
"""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("playwright", reason="needs pip install .[browser]")
axe_playwright = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="needs pip install .[browser]"
)

from demo_driver import chromium, create, find_chromium, finished, opened, serving  # noqa: E402
from playwright.sync_api import expect  # noqa: E402

from musicgen_ldm.checkpoint import Checkpoint, save  # noqa: E402
from musicgen_ldm.provenance import verify  # noqa: E402

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="needs Chromium: apt install chromium"),
]
TABS = ("Create", "Transform", "History", "Batch", "About")
MAX_UPLOAD_MB = 1
FEW = {"seconds": 2, "steps": 2}
MOVING = """() => [...document.querySelectorAll("*")].filter(element => {
    const style = getComputedStyle(element);
    return style.animationName !== "none" || style.transitionProperty !== "none"
        && style.transitionDuration.split(", ").some(duration => duration !== "0s");
}).length"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def told_of(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that brings examples and a card."""
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    save(tiny_checkpoint, folder, metadata={"examples": ["slow ideas", "fast ideas"]})
    (folder / "README.md").write_text("**Licence.** CC0-1.0")
    return folder


@pytest.fixture(scope="module")
def address(told_of: Path, outputs: Path) -> Iterator[str]:
    with serving(told_of, outputs, "--max-upload-mb", str(MAX_UPLOAD_MB)) as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    page = opened(browser, address, viewport={"width": 1200, "height": 900})
    yield page
    page.context.close()


def tone(path: Path, seconds: float) -> Path:
    soundfile.write(path, 0.1 * np.sin(np.arange(int(16_000 * seconds))), 16_000)
    return path


def seconds_in(estimate: str) -> int:
    found = re.search(r"(\d+) s", estimate)
    assert found
    return int(found[1])


def test_create_shows_a_take_with_a_sentence(page: Any, outputs: Path) -> None:
    before = len(list(outputs.rglob("*.flac")))
    create(page, "slow piano", **FEW)
    finished(page)
    expect(page.get_by_text(re.compile(r"2\.0 seconds"))).to_be_visible()
    assert len(list(outputs.rglob("*.flac"))) == before + 1


def test_ideas_and_card_are_those_of_the_loaded_model(page: Any) -> None:
    page.get_by_role("button", name="fast ideas").click()
    expect(page.locator("#prompt textarea")).to_have_value("fast ideas")
    expect(page.get_by_role("button", name="bossa nova")).to_have_count(0)
    page.get_by_role("tab", name="About").click()
    page.get_by_role("button", name="Licence and model card").click()
    expect(page.locator("#card")).to_contain_text("Licence. CC0-1.0")


def test_an_empty_prompt_is_a_sentence_and_the_next_request_works(page: Any) -> None:
    page.locator("#make").click()
    page.locator("#create-status").get_by_text("the prompt is empty").wait_for()
    create(page, "slow piano", **FEW)
    finished(page)


def test_stop_ends_a_long_rendering(page: Any) -> None:
    create(page, "slow piano", seconds=20, steps=500)
    page.locator("#create-status").get_by_text(re.compile(r"step \d+ of 500")).first.wait_for()
    page.locator("#cancel").click()
    page.locator("#create-status").get_by_text("Stopped").first.wait_for()


@pytest.mark.parametrize("action", ["Variation", "Loop it", "Repaint the region", "Extend"])
def test_actions_on_a_take(page: Any, outputs: Path, action: str) -> None:
    create(page, "slow piano", **FEW)
    finished(page)
    page.get_by_label("Region from (s)").first.fill("0.5")
    page.get_by_label("Region to (s)").first.fill("1")
    before = len(list(outputs.rglob("*.flac")))
    page.get_by_role("button", name=action).first.click()
    page.locator("#create-status").get_by_text(re.compile("Waiting|step")).first.wait_for()
    finished(page)
    assert len(list(outputs.rglob("*.flac"))) == before + 1


def test_again_keeps_the_settings_and_changes_the_noise(page: Any, outputs: Path) -> None:
    create(page, "slow piano again", **FEW)
    finished(page)
    page.get_by_role("button", name="Again with these settings").first.click()
    page.get_by_role("radio", name="Take 2").wait_for()
    finished(page)
    first, second = (
        json.loads(path.read_text())
        for path in sorted(outputs.rglob("*.json"))
        if "slow piano again" in path.read_text()
    )
    for name in ("prompt", "seed", "seconds", "bpm", "key"):
        assert second["request"][name] == first["request"][name]
    assert second["sampling"] == first["sampling"]
    assert (first["take"], second["take"]) == (0, 1)


def test_a_region_is_chosen_by_two_clicks_on_the_picture(page: Any) -> None:
    create(page, "slow piano", **FEW)
    finished(page)
    picture = page.locator("#create-status ~ * img").locator("visible=true").first
    width = picture.bounding_box()["width"]
    start, end = (page.get_by_label(f"Region {side} (s)").first for side in ("from", "to"))
    picture.click(position={"x": width / 4, "y": 10})
    expect(start).to_have_value(re.compile(r"^0\.(49|5)"))
    expect(end).to_have_value("2")
    picture.click(position={"x": width / 2, "y": 10})
    expect(end).to_have_value(re.compile(r"^(0\.99|1)"))


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "wav"])
def test_a_download_in_another_format_carries_its_record(
    page: Any, tmp_path: Path, suffix: str
) -> None:
    create(page, f"slow piano as {suffix}", **FEW)
    finished(page)
    page.get_by_label("Download as").first.click()
    page.get_by_role("option", name=suffix).click()
    page.get_by_role("button", name="Prepare download").first.click()
    with page.expect_download() as download:
        page.locator(f"a[download$='.{suffix}']").first.click()
    file = tmp_path / f"take.{suffix}"
    download.value.save_as(file)
    found = verify(file)
    assert found.intact
    assert found.record is not None
    assert found.record["prompt"] == f"slow piano as {suffix}"


def test_a_prompts_file_becomes_an_archive(page: Any, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    few = {"seconds": FEW["seconds"], "sampling": {"steps": FEW["steps"]}}
    lines = [{"id": name, "prompt": f"slow {name}"} | few for name in ("piano", "flute")]
    prompts.write_text("\n".join(map(json.dumps, lines)))
    page.get_by_role("tab", name="Batch").click()
    with page.expect_response("**/upload*"):
        page.locator("input[type=file][accept*=jsonl]").set_input_files(prompts)
    page.get_by_role("button", name="Render all").click()
    page.get_by_text("Done: 2 files.").wait_for()
    with page.expect_download() as download:
        page.locator("a[download$='.zip']").first.click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert sorted(archive.namelist()) == [
            "flute.flac",
            "flute.json",
            "piano.flac",
            "piano.json",
        ]
        archive.extractall(tmp_path)
    assert verify(tmp_path / "flute.flac").intact
    assert json.loads((tmp_path / "flute.json").read_text())["prompt"] == "slow flute"


def test_history_survives_a_restart_and_a_file_comes_back(
    browser: Any, tiny_folder: Path, tmp_path: Path
) -> None:
    with serving(tiny_folder, tmp_path) as (address, _):
        page = opened(browser, address)
        create(page, "a very particular flute", **FEW)
        finished(page)
        page.context.close()
    with serving(tiny_folder, tmp_path) as (address, _):
        page = opened(browser, address)
        page.get_by_role("tab", name="History").click()
        page.get_by_role("gridcell", name="a very particular flute").click()
        file = next(tmp_path.rglob("*.flac"))
        page.locator("#drop input[type=file]").set_input_files(file)
        page.locator("#verdict").get_by_text("unchanged since").wait_for()
        page.get_by_role("tab", name="Create").click()
        expect(page.locator("#prompt textarea")).to_have_value("a very particular flute")
        page.get_by_role("tab", name="History").click()
        page.get_by_role("button", name="Work on this take").click()
        expect(page.get_by_role("button", name="Variation").first).to_be_visible()
        page.get_by_role("tab", name="History").click()
        page.get_by_role("button", name="Delete", exact=True).click()
        page.get_by_role("button", name="Keep it").click()
        assert file.is_file()
        page.get_by_role("button", name="Delete", exact=True).click()
        page.get_by_role("button", name="Delete for good").click()
        page.get_by_text("Deleted.").wait_for()
        page.get_by_text("Nothing here yet").wait_for()
        assert not file.exists()
        page.context.close()


def test_a_search_without_a_find_says_so(page: Any) -> None:
    page.get_by_role("tab", name="History").click()
    page.get_by_label("Search your music").fill("zither of the deep sea")
    page.get_by_label("Search your music").press("Enter")
    page.locator("#history-nothing").get_by_text("None of your music matches").wait_for()


def test_a_foreign_file_is_told_apart(page: Any, tmp_path: Path) -> None:
    page.get_by_role("tab", name="History").click()
    page.locator("#drop input[type=file]").set_input_files(tone(tmp_path / "foreign.wav", 1))
    page.locator("#verdict").get_by_text("Not made by this program").wait_for()


def test_an_oversized_upload_is_refused_and_a_smaller_one_taken(page: Any, tmp_path: Path) -> None:
    page.get_by_role("tab", name="History").click()
    drop = page.locator("#drop input[type=file]")
    drop.set_input_files(tone(tmp_path / "long.wav", 60 * MAX_UPLOAD_MB))
    page.get_by_text(re.compile("exceed", re.I)).first.wait_for()
    page.reload()
    page.get_by_role("tab", name="History").click()
    drop.set_input_files(tone(tmp_path / "short.wav", 1))
    page.locator("#verdict").get_by_text("Not made by this program").wait_for()


def test_a_file_that_is_no_sound_is_a_sentence(page: Any, tmp_path: Path) -> None:
    text = tmp_path / "shopping.wav"
    text.write_text("two lemons")
    page.get_by_role("tab", name="Transform").click()
    with page.expect_response("**/upload*"):
        page.locator("#source input[type=file]").set_input_files(text)
    page.locator("#transform-prompt textarea").fill("slow piano")
    page.locator("#transform-make").click()
    page.get_by_text("cannot be read as audio").first.wait_for()


def test_the_time_is_told_before_a_sound_is_varied(page: Any, tmp_path: Path) -> None:
    page.get_by_role("tab", name="Transform").click()
    said = page.locator("#transform-estimate").get_by_text("on this machine")
    expect(said).to_have_text(re.compile(r"About \d+ s"))
    before = said.inner_text()
    page.get_by_label("Length in seconds").locator("visible=true").first.fill("60")
    expect(said).not_to_have_text(before)
    whole = said.inner_text()
    assert seconds_in(whole) > seconds_in(before)
    with page.expect_response("**/upload*"):
        page.locator("#source input[type=file]").set_input_files(tone(tmp_path / "short.wav", 1))
    # A sound that is varied keeps its own length.
    expect(said).not_to_have_text(whole)
    assert seconds_in(said.inner_text()) < seconds_in(whole)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(browser: Any, address: str, scheme: str) -> None:
    page = opened(browser, address, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.context.close()


def test_the_keyboard_alone_is_enough(page: Any, outputs: Path) -> None:
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
    page.locator("#create-status").get_by_text(re.compile("step")).first.wait_for()
    page.locator("#cancel").focus()
    page.keyboard.press("Enter")
    page.locator("#create-status").get_by_text(re.compile("Stopped|Done")).first.wait_for()
    assert len(list(outputs.rglob("*.flac"))) >= before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_accessibility_violations(browser: Any, address: str, scheme: str) -> None:
    page = opened(browser, address, viewport={"width": 1200, "height": 900}, color_scheme=scheme)
    create(page, "slow piano", **FEW)
    finished(page)
    found = []
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        for violation in axe_playwright.Axe().run(page).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                found += [(tab, violation["id"], node["html"]) for node in violation["nodes"]]
    assert found == []
    page.context.close()


def test_nothing_moves_for_those_who_asked_for_less_motion(browser: Any, address: str) -> None:
    page = opened(browser, address, reduced_motion="reduce")
    # The page's own style arrives a moment after its first words.
    page.wait_for_function(f"({MOVING})() === 0")
    page.context.close()
    page = opened(browser, address)
    assert page.evaluate(MOVING) > 0
    page.context.close()
