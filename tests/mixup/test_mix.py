"""Limits and bounds of the mixture."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicgen_ldm.audio import peak, rms_dbfs
from musicgen_ldm.config.mixup import MixupConfig
from musicgen_ldm.errors import AudioError
from musicgen_ldm.mixup.mix import (
    beat_mixup,
    draw_ratio,
    latent_mixup,
    match_energy,
    merge_captions,
    mix_tracks,
)
from musicgen_ldm.mixup.sync import Track

RATE = 16_000


def noise_track(seed: int, level: float = 0.3, bpm: float = 120.0, seconds: float = 4.0) -> Track:
    rng = np.random.default_rng(seed)
    samples = (level * rng.uniform(-1, 1, round(seconds * RATE))).astype(np.float32)
    beats = np.arange(0.1, seconds, 60 / bpm)
    return Track(samples, RATE, tuple(beats), tuple(beats[::4]))


def waveforms(seed, size=1000):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (2, size)).astype(np.float32)


def test_the_weights_one_and_zero_return_the_inputs():
    first, second = waveforms(0)
    assert np.array_equal(beat_mixup(first, second, 1.0), first)
    assert np.array_equal(beat_mixup(first, second, 0.0), second)


def test_the_latent_weights_one_and_zero_return_the_inputs():
    first, second = torch.randn(2, 2, 4, 8, 4, generator=torch.Generator().manual_seed(0))
    mixed = latent_mixup(first, second, torch.tensor([1.0, 0.0]))
    assert torch.equal(mixed[0], first[0])
    assert torch.equal(mixed[1], second[1])


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 1), st.integers(0, 10**6))
def test_a_mixture_is_never_louder_than_the_louder_input(ratio, seed):
    first, second = waveforms(seed)
    mixed = beat_mixup(first, second, ratio)
    assert peak(mixed) <= max(peak(first), peak(second)) * (1 + 1e-6)
    level = max(np.linalg.norm(first), np.linalg.norm(second))
    assert np.linalg.norm(mixed) <= level * (1 + 1e-6)


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 1), st.integers(0, 10**6))
def test_mixing_is_symmetric(ratio, seed):
    first, second = waveforms(seed)
    np.testing.assert_allclose(
        beat_mixup(first, second, ratio), beat_mixup(second, first, 1 - ratio), atol=1e-6
    )


def test_unequal_lengths_and_weights_beyond_one_are_refused():
    first, second = waveforms(0)
    with pytest.raises(AudioError, match="one length"):
        beat_mixup(first, second[1:], 0.5)
    with pytest.raises(AudioError, match=r"ratio is 1\.5"):
        beat_mixup(first, second, 1.5)


def test_ratios_follow_beta_five_five():
    rng = np.random.default_rng(0)
    ratios = np.array([draw_ratio(MixupConfig(), rng) for _ in range(4000)])
    assert ratios.mean() == pytest.approx(0.5, abs=0.01)
    assert ratios.var() == pytest.approx(1 / 44, rel=0.1)  # ab / ((a+b)^2 (a+b+1))


def test_energy_matching_makes_both_parts_equally_loud():
    loud, soft = noise_track(0, level=0.8), noise_track(1, level=0.05)
    mixtures = {
        matched: mix_tracks(
            loud,
            soft,
            MixupConfig(kind="bam", match_energy=matched),
            np.random.default_rng(0),
        )
        for matched in (True, False)
    }
    difference = {
        matched: rms_dbfs(mixture.first) - rms_dbfs(mixture.second)
        for matched, mixture in mixtures.items()
    }
    assert difference[True] == pytest.approx(0, abs=1e-3)
    assert difference[False] == pytest.approx(24, abs=1)


def test_silence_is_not_scaled():
    silence = np.zeros(10, np.float32)
    assert np.array_equal(match_energy(silence, np.ones(10, np.float32)), silence)


@pytest.mark.parametrize("kind", ["plain", "bam"])
def test_the_same_generator_state_yields_the_same_mixture(kind):
    tracks = noise_track(0), noise_track(1)
    results = [
        mix_tracks(*tracks, MixupConfig(kind=kind), np.random.default_rng(3)) for _ in range(2)
    ]
    assert np.array_equal(results[0].samples, results[1].samples)
    assert results[0].ratio == results[1].ratio


def test_what_cannot_be_aligned_is_not_mixed():
    track = noise_track(0)
    beatless = Track(track.samples, RATE, (), ())
    rng = np.random.default_rng(0)
    assert mix_tracks(track, beatless, MixupConfig(kind="bam"), rng) is None
    assert mix_tracks(track, beatless, MixupConfig(kind="plain"), rng) is not None


def test_captions_name_the_louder_clip_first():
    first, second = "A calm piano ballad.", "Fast techno, 140 bpm"
    expected = "A calm piano ballad, together with fast techno, 140 bpm"
    assert merge_captions(first, second, 0.7) == expected
    assert merge_captions(first, second, 0.3) == (
        "Fast techno, 140 bpm, together with a calm piano ballad."
    )
    assert merge_captions("A waltz", "EDM with pads", 0.9).endswith("EDM with pads")
