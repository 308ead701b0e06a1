"""The form and a request are two views of the same thing."""

from pathlib import Path

import pytest

from musicgen_ldm import GenerateRequest, MusicLDM
from musicgen_ldm.errors import RequestError
from musicgen_ldm.ui import forms, texts
from musicgen_ldm.ui.batch import requests_of
from musicgen_ldm.ui.pictures import WIDTH, describe, picture
from musicgen_ldm.ui.takes import Visitors
from musicgen_ldm.ui.transform import request_of

FAST = {"sampler": "dpm++", "steps": 1, "guidance": 1.0}
EMPTY = {
    "prompt": "slow piano", "negative_prompt": "", "seconds": 2.0, "bpm": 0, "key": "", "bars": 0,
    "loop": False, "takes": 1, "seed": 3, "sampler": forms.CHECKPOINT_DEFAULT, "steps": 0,
    "guidance": 0, "interval_start": 0, "interval_end": 1, "bridge": forms.CHECKPOINT_DEFAULT,
}  # fmt: skip


def test_zero_and_empty_mean_not_given() -> None:
    assert forms.request_of(EMPTY) == GenerateRequest(prompt="slow piano", seconds=2.0, seed=3)


def test_settings_come_back_from_a_record(tiny_model: MusicLDM) -> None:
    values = EMPTY | {
        "bpm": 120.0, "key": "A minor", "bars": 1, "loop": True, "sampler": "dpm++", "steps": 2,
        "guidance": 2.5, "interval_end": 0.5, "bridge": "none",
    }  # fmt: skip
    record = tiny_model.generate(forms.request_of(values))[0].record
    assert forms.values_of(record) == values
    assert tuple(forms.values_of(record)) == forms.FIELDS


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
        request_of(None, texts.MODE_VARY, 0.5, "", "", 0.0, 0)
    assert request_of("a.wav", texts.MODE_PROMPT, 0.5, "", "", 0.0, 0).audio_prompt == "a.wav"
    assert request_of(None, texts.MODE_VARY, 0.5, "a", "b", 0.3, 0).blends[0].weight == 0.3


def test_a_prompts_file_cannot_open_files_on_the_server(tmp_path: Path) -> None:
    from musicgen_ldm.config.demo import DemoConfig
    from musicgen_ldm.ui.engine import Engine

    visitors = Visitors(Engine(DemoConfig(max_prompts=2)))
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "a", "init": "/etc/passwd"}\n')
    with pytest.raises(RequestError, match="words only"):
        requests_of(file, visitors)
    file.write_text("one\ntwo\nthree\n")
    with pytest.raises(RequestError, match="3 prompts; this page takes at most 2"):
        requests_of(file, visitors)
    file.write_text('{"prompt": "a", "seconds": 600}\n')
    with pytest.raises(RequestError, match="at most 60 s"):
        requests_of(file, visitors)


def test_a_sentence_and_a_picture_for_every_take(tiny_model: MusicLDM) -> None:
    request = GenerateRequest(prompt="slow piano", seconds=1.5, bpm=90.0, sampling=FAST)
    take = tiny_model.generate(request)[0]
    sentence = describe(take.waveform.seconds, take.record)
    assert sentence.startswith("1.5 seconds, about ")
    assert "(asked 90)" in sentence
    image = picture(take.waveform, tiny_model.checkpoint.mel)
    assert image.width == WIDTH
