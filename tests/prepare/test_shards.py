"""Shards are trained from as the files they were cut from are."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, song

from musicgen_ldm.config.mixup import MixupConfig
from musicgen_ldm.config.training import DataConfig
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.manifest import Clip, Tags, read_manifest, write_manifest
from musicgen_ldm.data.mixed_clips import MixedClipDataset
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.prepare.shards import write_shards
from musicgen_ldm.prepare.track import hash_file
from musicgen_ldm.training.assemble import data_summary

SECONDS, CLIPS, RECORDINGS = 4.0, 3, 3
BEATS = tuple(np.arange(0.1, SECONDS, 0.5))


@pytest.fixture
def prepared(tmp_path) -> Path:
    """A folder prepared from three recordings of one tempo, three clips each."""
    clips = []
    for number in range(RECORDINGS):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, song(number, seconds=SECONDS * CLIPS), RATE)
        clips += [
            Clip(
                id=f"{number}-{place}",
                path=path.name,
                sha256=hash_file(path),
                start_s=SECONDS * place,
                duration_s=SECONDS,
                sample_rate=RATE,
                captions=("clicks",),
                tags=Tags(),
                beats_s=BEATS,
                downbeats_s=BEATS[::4],
                split="train",
                licence=("CC0-1.0", "CC-BY-4.0")[number > 0],
                source="synthetic",
                attribution="",
            )
            for place in range(CLIPS)
        ]
    write_manifest(tmp_path / "manifest.jsonl", clips)
    write_shards(tmp_path, clips)
    return tmp_path


def mixed(manifest: Path) -> MixedClipDataset:
    data = DataConfig(manifest=str(manifest), seconds=2.0)
    clips = ClipDataset.from_config(data, "train", sample_rate=RATE, num_samples=2 * RATE, seed=0)
    return MixedClipDataset(clips, MixupConfig(kind="bam", probability=1.0))


def test_clips_of_one_recording_are_not_mixed_from_shards_either(prepared):
    whole, shards = (mixed(folder / "manifest.jsonl") for folder in (prepared, prepared / "shards"))
    assert len({clip.sha256 for clip in shards.source.clips}) == RECORDINGS * CLIPS
    rng = np.random.default_rng(0)
    for index, clip in enumerate(shards.source.clips):
        others = {c.id for c in whole.source.clips if c.id[0] != clip.id[0]}
        assert {shards.draw_partner(index, rng).id for _ in range(80)} == others
    assert shards[ClipRef(0, 0)]["mixed"]


def test_mixtures_from_shards_equal_those_from_files(prepared):
    whole, shards = (mixed(folder / "manifest.jsonl") for folder in (prepared, prepared / "shards"))
    for index in range(len(whole)):
        ours, theirs = (dataset[ClipRef(1, index)] for dataset in (whole, shards))
        assert ours["id"] == theirs["id"]
        np.testing.assert_allclose(ours["waveform"], theirs["waveform"], atol=1e-3)  # 16 bits


def test_a_card_counts_licences_from_shards_as_from_files(prepared):
    ours, theirs = (
        data_summary(DataConfig(manifest=str(folder / "manifest.jsonl")))
        for folder in (prepared, prepared / "shards")
    )
    assert ours == theirs
    assert ours["licences"] == {"CC0-1.0": CLIPS, "CC-BY-4.0": 2 * CLIPS}


def test_shards_of_shards_still_know_the_recordings(prepared):
    lines = list(read_manifest(prepared / "shards/manifest.jsonl"))
    write_shards(prepared / "shards", lines)
    again = read_manifest(prepared / "shards/shards/manifest.jsonl")
    assert [clip.recording for clip in again] == [clip.recording for clip in lines]
