"""Shaping music in a real browser: what each action asks for, as the written files tell it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright", reason="needs pip install .[browser]")

from demo_driver import create, finished, turn_to, typed
from playwright.sync_api import expect

from musicgen_ldm import read_audio
from musicgen_ldm.audio import FloatArray
from musicgen_ldm.pipeline.plans import FADE_S

pytestmark = pytest.mark.browser
FEW = {"seconds": 2, "steps": 2}


def samples(path: Path) -> tuple[FloatArray, int]:
    sound = read_audio(path)
    return sound.samples, sound.sample_rate


def worked_on(
    page: Any, made: Any, action: str, settings: dict[str, float]
) -> tuple[Path, Path, dict[str, Any]]:
    """Makes a take and works on it: both files, and what the tags of the second one say."""
    create(page, "slow piano", **FEW)
    finished(page)
    for label, value in settings.items():
        typed(page, label, str(value))
    page.get_by_role("button", name=action).first.click()
    page.get_by_role("radio", name="Take 2").wait_for()
    finished(page)
    (first, before), (second, record) = made()
    for name in ("prompt", "seed", "negative_prompt"):
        assert record["request"][name] == before["request"][name]
    assert record["sampling"] == before["sampling"]
    assert record["take"] == before["take"] + 1
    return first, second, record


@pytest.mark.parametrize(("action", "loops"), [("Variation", False), ("Loop it", True)])
def test_a_take_is_varied_and_looped(page: Any, made: Any, action: str, loops: bool) -> None:
    strength = {"number input for How far to move away": 0.7}
    first, second, record = worked_on(page, made, action, strength)
    asked = record["request"]
    assert (asked["init"], asked["strength"], asked["loop"]) == (first.name, 0.7, loops)
    assert (asked["repaint"], asked["continue_file"]) == ([], None)
    assert not np.array_equal(samples(first)[0], samples(second)[0])


def test_a_region_is_repainted_and_nothing_else(page: Any, made: Any) -> None:
    start_s, end_s = 0.5, 1.0
    region = {"Region from (s)": start_s, "Region to (s)": end_s}
    first, second, record = worked_on(page, made, "Repaint the region", region)
    assert record["request"]["init"] == first.name
    assert record["request"]["repaint"] == [[start_s, end_s]]
    (before, rate), (after, _) = samples(first), samples(second)
    start, end = round(start_s * rate), round(end_s * rate)
    np.testing.assert_array_equal(after[:, :start], before[:, :start])
    np.testing.assert_array_equal(after[:, end:], before[:, end:])
    assert not np.array_equal(after[:, start:end], before[:, start:end])


def test_a_take_is_extended_by_what_was_asked(page: Any, made: Any) -> None:
    first, second, record = worked_on(page, made, "Extend", {"Extend by (s)": 1.5})
    assert record["request"]["continue_file"] == first.name
    assert record["request"]["seconds"] == 1.5
    assert record["seconds"] == FEW["seconds"] + 1.5
    (before, rate), (after, _) = samples(first), samples(second)
    kept = before.shape[1] - round(FADE_S * rate)
    np.testing.assert_array_equal(after[:, :kept], before[:, :kept])


# --- Transform ---------------------------------------------------------------------------------


def given(page: Any, sound: Path) -> None:
    """Opens Transform and uploads a sound."""
    turn_to(page, "Transform")
    with page.expect_response("**/upload*"):
        page.locator("#source input[type=file]").set_input_files(sound)
    page.locator("#source").get_by_role("button", name="Play", exact=True).wait_for()


def transformed(page: Any, made: Any) -> tuple[Path, dict[str, Any]]:
    page.locator("#transform-make").click()
    finished(page, "transform")
    (take,) = made()
    return take


def test_an_upload_is_varied(page: Any, made: Any, outputs: Path, tone: Callable) -> None:
    given(page, tone("my song.wav", 1.5))
    page.locator("#transform-prompt textarea").fill("slow flute")
    typed(page, "number input for How far to move away", "0.3")
    _, record = transformed(page, made)
    asked = record["request"]
    assert (asked["prompt"], asked["strength"], asked["audio_prompt"]) == ("slow flute", 0.3, None)
    assert record["seconds"] == 1.5
    # The upload outlives the page, so that the take can be made again.
    assert len(list(outputs.rglob(f"sources/{asked['init']}"))) == 1
    assert asked["init"].endswith("-my song.wav")


def test_a_sound_alone_is_the_prompt(page: Any, made: Any, tone: Callable) -> None:
    given(page, tone("hum.wav", 1))
    page.get_by_role("radio", name="Use the sound as the prompt").check()
    typed(page, "number input for Length in seconds", "1")
    _, record = transformed(page, made)
    asked = record["request"]
    assert asked["audio_prompt"].endswith("-hum.wav")
    assert (asked["prompt"], asked["init"], asked["blends"]) == ("", None, [])
    assert record["seconds"] == 1


def test_two_ideas_are_blended(page: Any, made: Any) -> None:
    turn_to(page, "Transform")
    page.locator("#transform-prompt textarea").fill("slow flute")
    typed(page, "Second idea", "fast drums")
    typed(page, "number input for How much of the second idea", "0.25")
    typed(page, "number input for Length in seconds", "1")
    _, record = transformed(page, made)
    (blend,) = record["request"]["blends"]
    assert (blend["text"], blend["weight"], blend["audio"]) == ("fast drums", 0.25, None)
    assert record["request"]["prompt"] == "slow flute"


def test_words_and_a_sound_are_blended(page: Any, made: Any, tone: Callable) -> None:
    given(page, tone("hum.wav", 1))
    page.get_by_role("radio", name="Use the sound as the prompt").check()
    page.locator("#transform-prompt textarea").fill("slow flute")
    typed(page, "number input for How much of the second idea", "0.75")
    typed(page, "number input for Length in seconds", "1")
    _, record = transformed(page, made)
    (blend,) = record["request"]["blends"]
    assert blend["audio"].endswith("-hum.wav")
    assert (blend["text"], blend["weight"]) == (None, 0.75)
    assert record["request"]["audio_prompt"] is None


# --- judging and keeping -----------------------------------------------------------------------


def test_the_nearest_training_clips_are_told_and_played(page: Any, made: Any) -> None:
    create(page, "slow piano", seconds=1, steps=2)
    finished(page)
    page.get_by_role("button", name="Does it copy?").locator("visible=true").click()
    ((_, record),) = made()
    assert {clip["id"] for clip in record["nearest"]} == {"steps", "elsewhere"}
    nearest = max(clip["similarity"] for clip in record["nearest"])
    said = page.get_by_text(re.compile("No sign of it|Listen and judge")).locator("visible=true")
    expect(said.locator("..")).to_contain_text(f"{nearest:.2f}")
    expect(page.get_by_role("row", name="a steady tone")).to_contain_text("CC0-1.0")
    page.get_by_role("button", name="Listen to the nearest").locator("visible=true").click()
    page.get_by_text("The sound of elsewhere is not on this machine").wait_for()
    # Of five seconds of file the two that were trained on.
    player = page.locator(".block").filter(has_text=": a steady tone").locator("visible=true").last
    expect(player).to_contain_text("0:02")
    expect(player.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_a_favourite_is_kept_and_found(page: Any, made: Any, outputs: Path) -> None:
    create(page, "a flute worth keeping", **FEW)
    finished(page)
    ((path, _),) = made()
    mark = path.with_suffix(".favourite")
    page.get_by_role("checkbox", name="Favourite", exact=True).locator("visible=true").check()
    page.locator("#create-status").get_by_text("Kept as a favourite").wait_for()
    assert mark.is_file()
    turn_to(page, "History")
    page.get_by_role("checkbox", name="Favourites only").check()
    row = page.get_by_role("gridcell", name="a flute worth keeping")
    expect(row).to_have_count(1)
    expect(page.get_by_role("gridcell", name="★")).to_have_count(1)
    row.click()
    page.get_by_text(re.compile(r"^2\.0 seconds")).locator("visible=true").wait_for()
    page.get_by_role("button", name="Favourite", exact=True).click()
    page.get_by_text("None of your music matches").wait_for()
    assert not mark.exists()
