"""The form and a request are two views of the same thing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicgen_ldm import GenerateRequest, MusicLDM, read_audio
from musicgen_ldm.config.generation import Blend
from musicgen_ldm.errors import RequestError
from musicgen_ldm.ui import forms, texts
from musicgen_ldm.ui.batch import requests_of
from musicgen_ldm.ui.pictures import WIDTH, describe, picture
from musicgen_ldm.ui.takes import next_region
from musicgen_ldm.ui.transform import request_of

FAST = {"sampler": "dpm++", "steps": 1, "guidance": 1.0}
EMPTY = {
    "prompt": "slow piano", "negative_prompt": "", "seconds": 2.0, "bpm": 0, "key": "", "bars": 0,
    "loop": False, "takes": 1, "seed": 3, "sampler": forms.CHECKPOINT_DEFAULT, "steps": 0,
    "guidance": 0, "interval_start": 0, "interval_end": 1, "bridge": forms.CHECKPOINT_DEFAULT,
    "vocoder": forms.CHECKPOINT_DEFAULT, "candidates": 0, "first_take": 0,
}  # fmt: skip


UNTOUCHED = {
    "source": None, "mode": texts.MODE_VARY, "strength": 0.5, "prompt": None, "second": None,
    "weight": 0.3, "seconds": 5, "takes": 1, "seed": 0,
}  # fmt: skip


def test_zero_and_empty_mean_not_given() -> None:
    assert forms.request_of(EMPTY) == GenerateRequest(prompt="slow piano", seconds=2.0, seed=3)


def test_settings_come_back_from_a_record(tiny_model: MusicLDM) -> None:
    values = EMPTY | {
        "bpm": 120.0, "key": "A minor", "bars": 1, "loop": True, "sampler": "dpm++", "steps": 2,
        "guidance": 2.5, "interval_end": 0.5, "bridge": "none",
        "vocoder": "griffin-lim", "candidates": 2, "first_take": 2,
    }  # fmt: skip
    record = tiny_model.generate(forms.request_of(values))[0].record
    assert forms.values_of(record) == values
    assert tuple(forms.values_of(record)) == forms.FIELDS
    del record["sampling"]["vocoder"]
    assert forms.values_of(record)["vocoder"] == "hifi-gan"
    del record["sampling"]["candidates"]
    assert forms.values_of(record)["candidates"] == 1


def test_actions_on_a_take_keep_words_and_settings(tiny_model: MusicLDM) -> None:
    asked = GenerateRequest(prompt="slow piano", seconds=1, bpm=90.0, sampling=FAST)
    record = tiny_model.generate(asked)[0].record
    again = forms.again(record)
    assert (again.first_take, again.bpm, again.prompt) == (1, 90.0, "slow piano")
    repaint = forms.on_take(record, {"init": "x.flac", "repaint": ((0.2, 0.4),)})
    assert (repaint.init, repaint.sampling["steps"]) == ("x.flac", 1)
    with pytest.raises(RequestError, match="START-END"):
        forms.on_take(record, {"init": "x.flac", "repaint": ((0.4, 0.2),)})


def test_transform_needs_something_to_work_with() -> None:
    with pytest.raises(RequestError, match="prompt is empty"):
        request_of(UNTOUCHED)
    varied = request_of(UNTOUCHED | {"source": "a.wav", "prompt": "a", "takes": 3})
    assert (varied.init, varied.strength, varied.seconds, varied.takes) == ("a.wav", 0.5, None, 3)


def test_two_ideas_are_blended_by_the_slider() -> None:
    words = request_of(UNTOUCHED | {"prompt": "a", "second": "b"})
    assert words.blends == (Blend(text="b", weight=0.3),)
    sound = {"source": "a.wav", "mode": texts.MODE_PROMPT}
    alone = request_of(UNTOUCHED | sound)
    assert (alone.audio_prompt, alone.blends, alone.seconds) == ("a.wav", (), 5.0)
    shared = request_of(UNTOUCHED | sound | {"prompt": "a"})
    assert (shared.audio_prompt, shared.blends) == (None, (Blend(audio="a.wav", weight=0.3),))
    unheard = request_of(UNTOUCHED | sound | {"prompt": "a", "weight": 0})
    assert (unheard.audio_prompt, unheard.blends) == (None, ())
    all_three = request_of(UNTOUCHED | sound | {"prompt": "a", "second": "b"})
    assert (all_three.audio_prompt, len(all_three.blends)) == ("a.wav", 1)


def test_a_prompts_file_cannot_open_files_on_the_server(tmp_path: Path) -> None:
    from musicgen_ldm.config.demo import DemoConfig

    config = DemoConfig(max_prompts=2)
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "a", "init": "/etc/passwd"}\n')
    with pytest.raises(RequestError, match="words only"):
        requests_of(file, config)
    file.write_text("one\ntwo\nthree\n")
    with pytest.raises(RequestError, match="3 prompts; this page takes at most 2"):
        requests_of(file, config)
    file.write_text('{"prompt": "a", "seconds": 600}\n')
    with pytest.raises(RequestError, match="at most 60 s"):
        requests_of(file, config)


def test_a_sentence_and_a_picture_for_every_take(tiny_model: MusicLDM) -> None:
    request = GenerateRequest(prompt="slow piano", seconds=1.5, bpm=90.0, sampling=FAST)
    take = tiny_model.generate(request)[0]
    sentence = describe(take.waveform.seconds, take.record)
    assert sentence.startswith("1.5 seconds, ")
    assert "(asked 90)" in sentence
    assert picture(take.waveform).width == WIDTH


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ({"bpm": 92.3}, "about 92 beats per minute"),
        ({"bpm": 92.3, "asked_bpm": 90.0}, "about 92 beats per minute (asked 90)"),
        ({"bpm": None, "asked_bpm": 90.0}, "no clear tempo (asked 90)"),
        ({"key": "E minor", "asked_key": "Eb major"}, "sounds like E minor (asked Eb major)"),
    ],
)
def test_what_was_asked_stands_beside_what_is_heard(measured: dict[str, Any], said: str) -> None:
    assert describe(2.0, {"measured": measured}) == f"2.0 seconds, {said}."


def test_a_tempo_in_the_prompt_is_held_against_the_sound(tiny_model: MusicLDM) -> None:
    request = GenerateRequest(prompt="piano, 90 bpm, in Eb major", seconds=1.5, sampling=FAST)
    take = tiny_model.generate(request)[0]
    sentence = describe(take.waveform.seconds, take.record)
    assert "(asked 90)" in sentence
    assert "(asked Eb major)" in sentence
    assert {"tempo_agreement", "key_agreement"} <= take.scores.keys()


def test_the_chosen_region_is_lit_up(stereo_file: Path) -> None:
    waveform = read_audio(stereo_file)
    whole, lit = (
        np.asarray(picture(waveform, region), dtype=int)
        for region in (None, (waveform.seconds / 2, waveform.seconds))
    )
    np.testing.assert_array_equal(lit[:, WIDTH // 2 :], whole[:, WIDTH // 2 :])
    np.testing.assert_array_equal(lit[:, : WIDTH // 2], whole[:, : WIDTH // 2] // 3)


def test_two_clicks_choose_a_region() -> None:
    first = next_region(0.25, (3.0, 6.0), 8.0)
    assert first == (2.0, 8.0)
    assert next_region(0.5, first, 8.0) == (2.0, 4.0)
    assert next_region(0.125, first, 8.0) == (1.0, 8.0)
    assert next_region(1.0, (2.0, 3.0), 8.006) == (8.0, 8.0)


@pytest.mark.parametrize(
    ("lufs", "said"),
    [
        (-23.0, "9 dB quieter than streamed music"),
        (-10.4, "4 dB louder than streamed music"),
        (-14.3, "as loud as streamed music"),
    ],
)
def test_loudness_is_told_against_what_everybody_hears(lufs: float, said: str) -> None:
    assert describe(5.0, {"measured": {"loudness_lufs": lufs}}) == f"5.0 seconds, {said}."


def test_the_sentence_tells_of_novelty() -> None:
    record: dict[str, Any] = {"scores": {"nearest_training": 0.87}}
    assert "nearest training clip 0.87 (no sign of a copy)" in describe(5.0, record)
    record["novelty_threshold"] = {"similarity": 0.85, "is_calibrated": True}
    assert "0.87 (listen whether it copies)" in describe(5.0, record)
