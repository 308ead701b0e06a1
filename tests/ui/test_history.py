"""Files that are dropped on the page: whose they are, and what may be unpacked to find out."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_ldm import GenerateRequest, MusicLDM
from musicgen_ldm.config.generation import MAX_SECONDS
from musicgen_ldm.provenance import write_audio
from musicgen_ldm.ui import texts
from musicgen_ldm.ui.history import told_of

FAST = {"sampler": "dpm++", "steps": 1, "guidance": 1.0}


def silence(path: Path, seconds: float, rate: int = 8_000, channels: int = 1) -> Path:
    """A small file whatever its length."""
    block = np.zeros((rate, channels), dtype=np.int16)
    with soundfile.SoundFile(path, "w", rate, channels) as file:
        for _ in range(int(seconds)):
            file.write(block)
    return path


def test_a_file_made_here_brings_its_settings_back(tiny_model: MusicLDM, tmp_path: Path) -> None:
    asked = GenerateRequest(prompt="slow piano", seconds=0.6, seed=7, sampling=FAST)
    take = tiny_model.generate(asked)[0]
    path = write_audio(take.waveform, tmp_path / "take.flac", record=take.record)
    said, values = told_of(path, tiny_model)
    assert said.startswith(texts.VERIFIED)
    assert values is not None
    assert (values["prompt"], values["seed"], values["steps"]) == ("slow piano", 7, 1)


def test_a_foreign_sound_is_told_apart(tmp_path: Path) -> None:
    assert told_of(silence(tmp_path / "foreign.flac", 1), None) == (texts.FOREIGN, None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seconds": MAX_SECONDS + 100}, "long.flac lasts 700 s; at most 600 s"),
        ({"seconds": 100, "rate": 192_000, "channels": 8}, "long.flac holds 154 million samples"),
    ],
)
def test_a_small_file_that_holds_hours_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, int], said: str
) -> None:
    def unpack(*_: object) -> None:
        raise AssertionError("was unpacked")

    monkeypatch.setattr("musicgen_ldm.ui.history.verify", unpack)
    path = silence(tmp_path / "long.flac", **given)
    assert path.stat().st_size < 200_000
    told, values = told_of(path, None)
    assert told.startswith(f"**{said}")
    assert values is None
