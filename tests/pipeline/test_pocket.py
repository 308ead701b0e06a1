"""The checkpoint that is shipped: whole, and the one that its samples tell of."""

import json
from pathlib import Path

import pytest

from musicgen_ldm import GenerateRequest, MusicLDM
from musicgen_ldm.checkpoint import verify

ROOT = Path(__file__).parents[2]
POCKET = ROOT / "checkpoints" / "pocket"
MOST_BYTES, MOST_BYTES_A_FILE = 130e6, 50e6


@pytest.fixture(scope="module")
def pocket() -> MusicLDM:
    return MusicLDM.from_pretrained(POCKET, device="cpu")


def test_it_is_whole_and_small() -> None:
    assert verify(POCKET) == []
    sizes = [path.stat().st_size for path in POCKET.rglob("*") if path.is_file()]
    assert sum(sizes) <= MOST_BYTES
    assert max(sizes) <= MOST_BYTES_A_FILE


def test_a_take_is_sound_and_knows_its_neighbours(pocket: MusicLDM) -> None:
    request = GenerateRequest(prompt="upbeat funk with drums", seconds=2.56, sampling={"steps": 4})
    take = pocket.generate(request)[0]
    assert take.waveform.samples.shape == (1, 40_960)
    assert take.measured["faults"] == []
    assert len(take.record["nearest"]) == 3


def test_the_samples_are_its_own(pocket: MusicLDM) -> None:
    records = sorted((ROOT / "docs" / "samples").glob("*.json"))
    assert len(records) == 8
    for path in records:
        assert json.loads(path.read_text())["checkpoint"]["sha256"] == pocket.identity, path
