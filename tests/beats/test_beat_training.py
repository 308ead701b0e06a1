import hashlib

import numpy as np
import pytest
import soundfile
import torch

from musicgen_ldm.config.beats_training import (
    BEAT_MEL,
    BeatAugmentConfig,
    BeatNetworkConfig,
    BeatsStageConfig,
)
from musicgen_ldm.config.training import DataConfig, OptimConfig
from musicgen_ldm.data.manifest import Clip, Tags, write_manifest
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.training.beat_augment import (
    LOG_FLOOR,
    add_noise,
    augment,
    bandlimit,
    mask,
    stretch,
    transpose,
)
from musicgen_ldm.training.beats import BeatsTask, frame_targets
from musicgen_ldm.training.task import StepContext

RATE = BEAT_MEL.sample_rate


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def mel(rng):
    return rng.normal(-2, 1, (300, BEAT_MEL.num_bins)).astype(np.float32).clip(LOG_FLOOR)


@pytest.fixture
def config(tmp_path):
    """Four click tracks of known tempo in both splits, and a tiny network."""
    clips = []
    for index, bpm in enumerate((90, 110, 130, 150)):
        beats = np.arange(0.2, 6, 60 / bpm)
        samples = 1e-3 * np.random.default_rng(index).standard_normal(6 * RATE)
        for beat in beats[:-1]:
            start = round(beat * RATE)
            samples[start : start + 400] += 0.5 * np.exp(-np.arange(400) / 60)
        path = tmp_path / f"{bpm}.wav"
        soundfile.write(path, samples, RATE)
        clips.append(
            Clip(
                id=f"click-{bpm}",
                path=path.name,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                start_s=0.0,
                duration_s=6.0,
                sample_rate=RATE,
                captions=("clicks",),
                tags=Tags(bpm=bpm),
                beats_s=tuple(beats[:-1]),
                downbeats_s=tuple(beats[:-1:4]),
                split="valid" if index == 3 else "train",
                licence="CC0-1.0",
                source="test",
                attribution="",
            )
        )
    write_manifest(tmp_path / "manifest.jsonl", clips)
    return BeatsStageConfig(
        preset="tiny",
        data=DataConfig(manifest=str(tmp_path / "manifest.jsonl"), seconds=4.0),
        network=BeatNetworkConfig(channels=8, layers=4, dropout=0.0),
        optim=OptimConfig(lr=1e-2),
    )


def test_targets_peak_at_the_beat_and_fade_over_two_frames():
    target = frame_targets([0.1, 1.0], 60)
    assert target[5] == target[50] == 1
    assert target[[3, 4, 6, 7]].tolist() == [0.25, 0.5, 0.5, 0.25]
    assert target.sum() == 5
    assert frame_targets([], 60).sum() == 0
    assert frame_targets([0.0, 99.0], 60).tolist()[:3] == [1, 0.5, 0.25]


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_stretch_moves_a_click_where_its_target_moves(factor):
    click = np.full((300, 4), LOG_FLOOR, np.float32)
    click[200] = 0
    stretched = stretch(click, factor)
    assert len(stretched) == round(300 / factor)
    target = frame_targets([200 / factor / BEAT_MEL.frame_rate], len(stretched))
    assert abs(int(stretched[:, 0].argmax()) - int(target.argmax())) <= 1


def test_transpose_by_zero_and_back(mel):
    assert np.array_equal(transpose(mel, 0), mel)
    assert np.array_equal(transpose(transpose(mel, 3), -3)[:, 3:-3], mel[:, 3:-3])


def test_noise_only_adds_and_masks_only_remove(mel, rng):
    assert (add_noise(mel, rng) >= mel).all()
    for change in (bandlimit, mask):
        changed = change(mel, rng)
        assert ((changed == mel) | (changed == LOG_FLOOR)).all()


def test_augmentation_switched_off_is_the_identity(mel, rng):
    off = BeatAugmentConfig(
        stretch=0,
        transpose_bins=0,
        gain_db=0,
        equaliser_db=0,
        contrast=0,
        noise_probability=0,
        bandlimit_probability=0,
        mask_probability=0,
    )
    assert augment(mel, off, rng) == pytest.approx(mel, abs=1e-5)


def test_augmentation_is_seeded_and_finite(mel):
    first, second = (augment(mel, BeatAugmentConfig(), np.random.default_rng(5)) for _ in "ab")
    assert np.array_equal(first, second)
    assert np.isfinite(first).all()
    assert not np.array_equal(first, augment(mel, BeatAugmentConfig(), np.random.default_rng(6)))


def test_an_example_depends_on_epoch_and_index_alone(config):
    once, again = BeatsTask(config).dataset("train"), BeatsTask(config).dataset("train")
    again[ClipRef(0, 0)]  # a warm cache must not change anything
    example = once[ClipRef(1, 0)]
    assert np.array_equal(example["mel"], again[ClipRef(1, 0)]["mel"])
    assert not np.array_equal(example["mel"], once[ClipRef(2, 0)]["mel"])
    assert example["mel"].shape == (200, BEAT_MEL.num_bins)
    assert example["target"].shape == (200, 2)
    assert (example["target"][:, 1] <= example["target"][:, 0]).all()


def test_validation_examples_are_not_augmented(config):
    valid = BeatsTask(config).dataset("valid")
    assert np.array_equal(valid[ClipRef(0, 0)]["mel"], valid[ClipRef(9, 0)]["mel"])


def test_a_tiny_network_learns_clicks_and_exports_a_tracker(config, tmp_path):
    torch.manual_seed(0)
    task = BeatsTask(config)
    optimizer = task.optimizers()["network"].optimizer

    def optimize(name, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    dataset = task.dataset("train")
    losses = []
    for step in range(30):
        batch = task.collate([dataset[ClipRef(step, index)] for index in range(3)])
        context = StepContext(step, torch.Generator().manual_seed(step), optimize)
        losses.append(float(task.step(batch, context)["loss"]))
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:3])
    task.export(tmp_path)
    assert (tmp_path / "tcn.safetensors").is_file()
    clicked = task.samples(torch.Generator())
    assert list(clicked) == ["click-150"]
    assert clicked["click-150"].seconds == pytest.approx(6)
