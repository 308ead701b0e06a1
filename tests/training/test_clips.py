import numpy as np
import pytest
import soundfile
import torch

from musicgen_ldm.config.training import DataConfig
from musicgen_ldm.data.clips import ClipDataset, normalise_peak, random_crop, select_clips
from musicgen_ldm.data.loading import SkipLog, build_loader, stack_waveforms
from musicgen_ldm.data.manifest import Clip, Tags, write_manifest
from musicgen_ldm.data.sampler import ClipRef, StreamSampler, clip_at, split_batch
from musicgen_ldm.errors import AudioError, ConfigError, ManifestError, TrainingError

RATE = 16_000


@pytest.fixture
def manifest(tmp_path):
    """Six one-second tones; the odd ones are CC0, the last is of the split "valid"."""
    clips = []
    for i in range(6):
        time = np.arange(RATE) / RATE
        tone = (0.1 * (i + 1) * np.sin(2 * np.pi * 110 * (i + 1) * time)).astype(np.float32)
        soundfile.write(tmp_path / f"{i}.wav", tone, RATE)
        clips.append(
            Clip(
                id=f"clip{i}", path=f"{i}.wav", sha256="", start_s=0, duration_s=1.0,
                sample_rate=RATE, captions=("a tone",), tags=Tags(), beats_s=(), downbeats_s=(),
                split="valid" if i == 5 else "train", licence="CC0-1.0" if i % 2 else "CC-BY-4.0",
                source="synthetic", attribution="",
            )
        )  # fmt: skip
    write_manifest(tmp_path / "manifest.jsonl", clips)
    return tmp_path / "manifest.jsonl"


@pytest.fixture
def dataset(manifest):
    return ClipDataset.from_config(
        DataConfig(manifest=str(manifest)), "train", sample_rate=RATE, num_samples=4000, seed=1
    )


def test_selection_by_split_and_licence(manifest):
    data = DataConfig(manifest=str(manifest), licences=("CC0-1.0",))
    assert [clip.id for clip in select_clips(data, "train")] == ["clip1", "clip3"]
    assert [clip.id for clip in select_clips(data, "valid")] == ["clip5"]
    with pytest.raises(ManifestError, match="no clip has split 'test'"):
        select_clips(data, "test")
    with pytest.raises(ManifestError, match=r"\['MIT'\]; present: CC-BY-4.0 \(3\), CC0-1.0 \(2\)"):
        select_clips(DataConfig(manifest=str(manifest), licences=("MIT",)), "train")


def test_a_quiet_passage_stays_quiet():
    """The peak is that of the whole clip, wherever the crop falls."""
    rng = np.random.default_rng(0)
    samples = np.concatenate([0.01 * np.ones(500), np.sin(np.arange(500))]).astype(np.float32)
    normalised = normalise_peak(samples - samples.mean(), 0.5)
    assert np.abs(normalised).max() == pytest.approx(0.5)
    crops = [np.abs(random_crop(normalised, 100, rng)).max() for _ in range(50)]
    assert min(crops) < 0.1 < max(crops)


def test_crop_reaches_both_ends_and_pads_short_clips():
    rng = np.random.default_rng(0)
    samples = np.arange(10, dtype=np.float32)
    starts = {int(random_crop(samples, 8, rng)[0]) for _ in range(100)}
    assert starts == {0, 1, 2}
    np.testing.assert_array_equal(random_crop(samples[:3], 5, rng), [0, 1, 2, 0, 0])


def test_examples_depend_on_epoch_and_index_only(dataset):
    first, again = dataset[ClipRef(0, 2)], dataset[ClipRef(0, 2)]
    np.testing.assert_array_equal(first["waveform"], again["waveform"])
    assert not np.array_equal(first["waveform"], dataset[ClipRef(1, 2)]["waveform"])
    assert first["waveform"].shape == (4000,)


def test_silence_is_refused(dataset, manifest):
    soundfile.write(manifest.parent / "0.wav", np.zeros(RATE), RATE)
    with pytest.raises(AudioError, match=r"0.wav: the clip is silent"):
        dataset[ClipRef(0, 0)]


def stream(num_batches, **kwargs):
    sampler = iter(StreamSampler(**kwargs))
    return [next(sampler) for _ in range(num_batches)]


@pytest.mark.parametrize(("processes", "micro"), [(1, 4), (2, 2), (2, 1), (4, 1)])
def test_every_split_of_the_work_sees_the_same_stream(processes, micro):
    """No duplicates, no omissions, whatever the number of processes and micro-batches."""
    accumulate = 4 // (processes * micro)
    per_process = [
        stream(
            5 * accumulate, num_clips=10, seed=3, batch_size=4, micro_batch=micro,
            process=rank, num_processes=processes,
        )
        for rank in range(processes)
    ]  # fmt: skip
    seen = [ref for batches in zip(*per_process, strict=True) for b in batches for ref in b]
    assert seen == [clip_at(i, seed=3, num_clips=10) for i in range(20)]
    for epoch in (0, 1):
        assert sorted(ref.index for ref in seen if ref.epoch == epoch) == list(range(10))


def test_resuming_on_another_number_of_processes_goes_on_with_the_stream():
    common = {"num_clips": 7, "seed": 0, "batch_size": 4}
    resumed = [
        stream(1, **common, micro_batch=2, process=rank, num_processes=2, first_step=3)[0]
        for rank in range(2)
    ]
    uninterrupted = stream(4, **common, micro_batch=4)[3]
    assert resumed[0] + resumed[1] == uninterrupted


def test_the_batch_must_divide_over_the_processes():
    assert split_batch(24, None, 2) == (12, 1)
    assert split_batch(24, 4, 2) == (4, 3)
    for batch_size, micro, processes in [(5, None, 2), (8, 3, 1), (2, None, 4)]:
        with pytest.raises(ConfigError, match=rf"batch_size={batch_size} is not a multiple of"):
            split_batch(batch_size, micro, processes)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_clip_is_replaced_and_counted(dataset, manifest, workers):
    (manifest.parent / "2.wav").write_bytes(b"not audio")
    refs = [[ClipRef(0, 1), ClipRef(0, 2)], [ClipRef(0, 3), ClipRef(0, 0)]]
    loader = build_loader(dataset, refs, stack_waveforms, workers=workers, pin_memory=False)
    (first, skips), (second, no_skips) = list(loader)
    assert first["id"] == ["clip1", "clip3"]
    assert first["waveform"].shape == second["waveform"].shape == torch.Size((2, 4000))
    assert no_skips == []
    log = SkipLog(len(dataset), max_skipped=0.2)
    assert "2.wav: cannot be read as audio" in log.add(skips)[0]
    assert log.add(skips) == []
    log.check()
    log.add([(0, "0.wav: gone")])
    with pytest.raises(TrainingError, match=r"2 of 5 clips cannot be used, more than .*=0.2"):
        log.check()


def test_a_wholly_broken_dataset_fails_at_once(dataset, manifest):
    for path in manifest.parent.glob("*.wav"):
        path.unlink()
    loader = build_loader(dataset, [[ClipRef(0, 0)]], stack_waveforms, workers=0, pin_memory=False)
    with pytest.raises(TrainingError, match=r"5 clips in a row cannot be used; .*no such audio"):
        next(iter(loader))
