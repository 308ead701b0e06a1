"""The page in a real browser: headless Chromium over loopback.

Needs `pip install .[browser]` and Debian's `chromium` (or CHROMIUM=/path/to/another).
"""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="needs pip install .[browser]")

from demo_driver import create, finished, opened, serving, typed
from playwright.sync_api import expect

from musicgen_ldm.provenance import verify

pytestmark = pytest.mark.browser
FEW = {"seconds": 2, "steps": 2}


def seconds_in(estimate: str) -> int:
    found = re.search(r"(\d+) s", estimate)
    assert found
    return int(found[1])


def test_create_makes_what_the_form_says(page: Any, made: Any) -> None:
    typed(page, "Tempo in beats per minute", "90")
    typed(page, "Key", "A minor")
    typed(page, "What should it avoid?", "drums")
    typed(page, "number input for Takes", "2")
    create(page, "slow piano", **FEW)
    finished(page)
    expect(page.get_by_text(re.compile(r"^2\.0 seconds"))).to_have_count(2)
    takes = made()
    assert [record["take"] for _, record in takes] == [0, 1]
    for path, record in takes:
        asked = record["request"]
        assert (asked["prompt"], asked["negative_prompt"]) == ("slow piano", "drums")
        assert (asked["bpm"], asked["key"]) == (90, "A minor")
        assert asked["seconds"] == record["seconds"] == FEW["seconds"]
        assert record["sampling"]["steps"] == FEW["steps"]
        assert verify(path).intact


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


def test_again_keeps_the_settings_and_changes_the_noise(page: Any, made: Any) -> None:
    create(page, "slow piano again", **FEW)
    finished(page)
    page.get_by_role("button", name="Again with these settings").first.click()
    page.get_by_role("radio", name="Take 2").wait_for()
    finished(page)
    (_, first), (_, second) = made()
    for name in ("prompt", "seed", "seconds", "bpm", "key"):
        assert second["request"][name] == first["request"][name]
    assert second["sampling"] == first["sampling"]
    assert (first["take"], second["take"]) == (0, 1)
    assert first["audio"]["sha256"] != second["audio"]["sha256"]


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


def test_a_foreign_file_is_told_apart(page: Any, tone: Callable) -> None:
    page.get_by_role("tab", name="History").click()
    page.locator("#drop input[type=file]").set_input_files(tone("foreign.wav", 1))
    page.locator("#verdict").get_by_text("Not made by this program").wait_for()


def test_an_oversized_upload_is_refused_and_a_smaller_one_taken(page: Any, tone: Callable) -> None:
    page.get_by_role("tab", name="History").click()
    drop = page.locator("#drop input[type=file]")
    drop.set_input_files(tone("long.wav", 60))  # two megabytes; the demo takes one
    page.get_by_text(re.compile("exceed", re.I)).first.wait_for()
    page.reload()
    page.get_by_role("tab", name="History").click()
    drop.set_input_files(tone("short.wav", 1))
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


def test_the_time_is_told_before_a_sound_is_varied(page: Any, tone: Callable) -> None:
    page.get_by_role("tab", name="Transform").click()
    said = page.locator("#transform-estimate").get_by_text("on this machine")
    expect(said).to_have_text(re.compile(r"About \d+ s"))
    before = said.inner_text()
    page.get_by_label("Length in seconds").locator("visible=true").first.fill("60")
    expect(said).not_to_have_text(before)
    whole = said.inner_text()
    assert seconds_in(whole) > seconds_in(before)
    with page.expect_response("**/upload*"):
        page.locator("#source input[type=file]").set_input_files(tone("short.wav", 1))
    # A sound that is varied keeps its own length.
    expect(said).not_to_have_text(whole)
    assert seconds_in(said.inner_text()) < seconds_in(whole)
