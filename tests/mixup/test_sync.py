"""Downbeats of both clips meet within one mel frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicgen_ldm.config.mixup import MixupConfig
from musicgen_ldm.mixup.sync import (
    MAX_SPEED,
    Alignment,
    TimeMap,
    Track,
    align,
    synchronise,
    tempo_ratio,
)
from musicgen_ldm.mixup.warp import sample_at

RATE = 16_000
FRAME_S = 0.01


def clicks(bpm: float, *, start_s: float = 0.3, seconds: float = 10.24, meter: int = 4) -> Track:
    """A click on each beat, twice as loud on the first of a bar."""
    beats = np.arange(start_s, seconds, 60 / bpm)
    samples = np.zeros(round(seconds * RATE), np.float32)
    for number, beat in enumerate(beats):
        samples[round(beat * RATE)] = 1.0 if number % meter == 0 else 0.5
    return Track(samples, RATE, tuple(beats), tuple(beats[::meter]))


def click_times(samples, threshold=0.6):
    """Centres of the loud clicks, which the varispeed may smear over two samples."""
    energy = np.convolve(samples**2, np.ones(8), "same")
    loud = np.flatnonzero(energy > threshold**2)
    groups = np.split(loud, np.flatnonzero(np.diff(loud) > 100) + 1)
    return np.array([group.mean() for group in groups]) / RATE


def config(**changes):
    return MixupConfig(kind="bam", **changes)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(66, 180),
    st.floats(0, 0.6),
    st.floats(0, 0.6),
    st.sampled_from(["random", "overlap"]),
    st.integers(0, 10**6),
)
def test_the_chosen_downbeats_coincide(bpm, first_s, second_s, start, seed):
    anchor = clicks(bpm, start_s=first_s)
    partner = clicks(bpm, start_s=second_s)
    alignment = align(anchor, partner, config(start=start), np.random.default_rng(seed))
    assert alignment.downbeat_errors(anchor, partner).max() < 1e-9
    ours, theirs = synchronise(anchor, partner, alignment)
    assert len(ours) == len(theirs)
    ours_s, theirs_s = click_times(ours), click_times(theirs)
    assert np.abs(ours_s[:, None] - theirs_s).min(axis=1).max() < FRAME_S


def test_a_bin_of_three_bpm_drifts_and_the_switches_stop_it():
    anchor, partner = clicks(120.0), clicks(122.4)
    worst = {}
    for sync in ("start", "tempo", "downbeats"):
        rng = np.random.default_rng(0)
        alignment = align(anchor, partner, config(sync=sync, start="overlap"), rng)
        worst[sync] = alignment.downbeat_errors(anchor, partner).max()
        ours, theirs = synchronise(anchor, partner, alignment)
        distance = np.abs(click_times(ours)[:, None] - click_times(theirs)).min(axis=1)
        assert distance.max() == pytest.approx(worst[sync], abs=2e-3)
    assert worst["start"] > 5 * FRAME_S
    assert worst["tempo"] < FRAME_S
    assert worst["downbeats"] < 1e-9


def test_a_bar_line_just_outside_the_partner_counts():
    anchor = clicks(120.0, start_s=0.24, seconds=10.28)  # its last downbeat is at 10.24
    partner = clicks(121.0, start_s=0.20, seconds=10.24)
    partner = Track(partner.samples, RATE, partner.beats_s[:-1], partner.downbeats_s[:5])
    time_map = TimeMap(np.array([0.24, 1.24]), np.array([0.20, 1.20]))
    errors = Alignment(time_map, 0.0, 10.28).downbeat_errors(anchor, partner)
    assert len(errors) == 6
    assert errors.max() == pytest.approx(5 * (2.0 - 4 * 60 / 121), abs=1e-6)  # five bars of drift


def test_uneven_bars_are_straightened_by_downbeats_only():
    anchor = clicks(100.0, start_s=0.0)
    times = np.cumsum([0.0, 2.4, 2.35, 2.45, 2.4])
    played = clicks(100.0, start_s=0.0)
    partner = Track(played.samples, RATE, played.beats_s, tuple(times))
    rng = np.random.default_rng(0)
    for sync, limit in (("downbeats", 1e-9), ("tempo", None)):
        alignment = align(anchor, partner, config(sync=sync, start="overlap"), rng)
        error = alignment.downbeat_errors(anchor, partner).max()
        assert error < limit if limit else error > FRAME_S


def test_the_same_generator_state_yields_the_same_stretch():
    anchor, partner = clicks(120.0), clicks(121.0)
    pairs = [align(anchor, partner, config(), np.random.default_rng(5)) for _ in range(2)]
    assert pairs[0].start_s == pairs[1].start_s
    assert pairs[0].end_s == pairs[1].end_s


def test_random_start_never_takes_the_last_downbeat():
    anchor = clicks(120.0)
    starts = {
        align(anchor, anchor, config(), np.random.default_rng(seed)).start_s for seed in range(200)
    }
    assert starts == set(anchor.downbeats_s[:-1])


def test_overlap_keeps_more_than_random_starts():
    anchor, partner = clicks(120.0, start_s=0.2), clicks(120.0, start_s=1.7)
    kept = align(anchor, partner, config(start="overlap"), np.random.default_rng(0))
    assert kept.end_s - kept.start_s > 10.24 - 1.01  # half a bar lasts 1 s
    for seed in range(20):
        alignment = align(anchor, partner, config(), np.random.default_rng(seed))
        assert alignment.end_s - alignment.start_s <= kept.end_s - kept.start_s


def test_too_few_downbeats_or_too_different_a_tempo_cannot_be_aligned():
    anchor = clicks(120.0)
    lonely = Track(anchor.samples, RATE, anchor.beats_s, anchor.downbeats_s[:1])
    rng = np.random.default_rng(0)
    assert align(anchor, lonely, config(), rng) is None
    assert align(lonely, anchor, config(), rng) is None
    fast = clicks(120.0 * MAX_SPEED * 1.01)
    assert align(anchor, fast, config(sync="tempo"), rng) is None
    assert align(anchor, fast, config(sync="start"), rng) is not None


def test_tempo_ratio_is_partner_over_anchor():
    assert tempo_ratio(clicks(100.0), clicks(110.0)) == pytest.approx(1.1)


def test_time_map_and_its_inverse_agree_outside_the_knots_too():
    time_map = TimeMap(np.array([1.0, 2.0, 4.0]), np.array([0.5, 1.6, 3.5]))
    times = np.linspace(-1, 7, 50)
    np.testing.assert_allclose(time_map.inverse(time_map(times)), times, atol=1e-12)


def test_whole_positions_return_the_samples():
    samples = np.random.default_rng(0).standard_normal(500).astype(np.float32)
    np.testing.assert_allclose(sample_at(samples, np.arange(500.0)), samples, atol=1e-6)


@pytest.mark.parametrize("frequency", [200, 2000, 5000])
def test_varispeed_of_a_sine_is_a_sine_of_the_scaled_frequency(frequency):
    time = np.arange(4000)
    samples = np.sin(2 * np.pi * frequency * time / RATE).astype(np.float32)
    positions = np.arange(100, 3800) * 1.02
    expected = np.sin(2 * np.pi * frequency * positions / RATE)
    inner = positions < 3900
    error = (sample_at(samples, positions) - expected)[inner]
    assert np.sqrt((error**2).mean() / (expected[inner] ** 2).mean()) < 2e-3
