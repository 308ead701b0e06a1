"""Similarity ratios, baselines, alignment and health."""

import numpy as np
import pytest
from synthetic_music import RATE, melody

from musicgen_ldm.audio import Waveform
from musicgen_ldm.errors import MetricError
from musicgen_ldm.measure import signal_health
from musicgen_ldm.metrics import alignment, health, novelty


def test_ratio_is_strict_and_the_curve_never_rises():
    nearest = np.array([0.5, 0.9, 0.91, 0.96, 1.0])
    assert novelty.similarity_ratio(nearest, 0.90).value == pytest.approx(3 / 5)
    curve = novelty.survival_curve(nearest)
    assert (np.diff(curve) <= 0).all()
    assert curve[0] == 1
    assert curve[-1] == 0
    assert curve[90] == pytest.approx(3 / 5)


def test_evaluate_names_baselines_and_excess():
    rng = np.random.default_rng(0)
    copied, style = np.full(200, 0.97), rng.uniform(0.6, 0.96, 200)
    scores = novelty.evaluate(copied, train_train=style, heldout_train=style)
    assert scores["sim_aa@95"].value == 1
    assert scores["excess_train_train@95"].ci95[0] > 0.5
    same = novelty.evaluate(style, train_train=style)
    low, high = same["excess_train_train@90"].ci95
    assert low < 0 < high
    assert "heldout_train@90" not in same


@pytest.mark.parametrize("nearest", [[], [[0.5]], [np.nan], [1.2]])
def test_nearest_similarities_are_checked(nearest):
    with pytest.raises(MetricError):
        novelty.similarity_ratio(nearest, 0.9)


def plant(kind, original, other):
    if kind == "exact":
        return original
    if kind == "shifted":
        return np.concatenate([other[: RATE * 3 // 2], original])
    if kind == "excerpt":
        return np.concatenate([other[: RATE * 2], original[RATE : RATE * 4 + RATE // 5], other])
    return original + 0.5 * other[: len(original)]  # the copy mixed with new material at -6 dB


@pytest.mark.parametrize("kind", ["exact", "shifted", "excerpt", "mixed"])
def test_mel_alignment_finds_planted_copies(kind):
    original, other = melody(1, seconds=6), melody(2, seconds=6)
    unrelated = alignment.mel_alignment(Waveform(other, RATE), Waveform(original, RATE))
    found = alignment.mel_alignment(
        Waveform(plant(kind, original, other), RATE), Waveform(original, RATE)
    )
    assert unrelated.similarity < 0.6
    assert found.similarity > unrelated.similarity + 0.2
    if kind == "exact":
        assert found.similarity == pytest.approx(1, abs=1e-6)
        assert found.first_s == found.second_s
    if kind == "shifted":
        assert found.first_s - found.second_s == pytest.approx(1.5, abs=0.05)


def test_chroma_alignment_finds_a_transposed_copy_and_its_interval():
    original, moved = (
        Waveform(melody(1, seconds=6), RATE),
        Waveform(melody(1, seconds=6, semitones=3), RATE),
    )
    found = alignment.evaluate(moved, original)["chroma"]
    unrelated = alignment.chroma_alignment(Waveform(melody(5, seconds=6), RATE), original)
    assert found.semitones == 3
    assert found.similarity > 0.9 > unrelated.similarity


def test_silence_aligns_with_nothing_and_short_clips_are_refused():
    silence = Waveform(np.zeros(5 * RATE), RATE)
    assert alignment.mel_alignment(silence, Waveform(melody(1, seconds=6), RATE)).similarity <= 0
    with pytest.raises(MetricError, match="at least 3 s"):
        alignment.evaluate(silence, Waveform(np.zeros(RATE), RATE))


def test_health_counts_faulty_clips():
    rng = np.random.default_rng(0)
    noise = (0.1 * rng.standard_normal(RATE)).astype(np.float32)
    clipped = np.clip(30 * noise, -1, 1)
    clips = [signal_health(Waveform(x, RATE)) for x in (noise, 0 * noise, clipped, noise + 0.3)]
    scores = health.evaluate(clips)
    assert scores["silent_share"].value == 0.25
    assert scores["clipped_share"].value == 0.25
    assert scores["dc_share"].value == 0.25
    assert -40 < scores["loudness_lufs"].value < 0
    assert health.mean_loudness(clips[1:2]) is None
    with pytest.raises(MetricError, match="no clips"):
        health.evaluate([])
