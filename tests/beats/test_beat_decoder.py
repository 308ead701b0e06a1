import mir_eval.beat
import numpy as np
import pytest

from musicgen_ldm.beats.decoder import decode, peak_offset
from musicgen_ldm.beats.tracker import NO_BEATS

FRAME_RATE = 50.0


def ideal_activations(bpm: float, meter: int, seconds: float = 10.0, first_s: float = 0.13):
    """Gaussian bumps (30 ms) at the beats, on a floor of 1 %; truth beside them."""
    beats = np.arange(first_s, seconds, 60 / bpm)
    downbeats = beats[1::meter]
    frames = np.arange(round(seconds * FRAME_RATE)) / FRAME_RATE
    columns = [
        0.01 + 0.9 * np.exp(-0.5 * ((frames[:, None] - times) / 0.03) ** 2).max(axis=1)
        for times in (beats, downbeats)
    ]
    return np.stack(columns, axis=1).astype(np.float32), beats, downbeats


@pytest.mark.parametrize(("bpm", "meter"), [(63.0, 3), (121.0, 4), (178.0, 4), (140.0, 4)])
def test_ideal_activations_give_back_the_grid(bpm, meter):
    activations, beats, downbeats = ideal_activations(bpm, meter)
    found = decode(activations, FRAME_RATE)
    for truth, times in ((beats, found.beats_s), (downbeats, found.downbeats_s)):
        score = mir_eval.beat.f_measure(truth, np.asarray(times), f_measure_threshold=0.012)
        assert score > 0.96
    assert set(found.downbeats_s) <= set(found.beats_s)
    assert 0.8 < found.confidence <= 0.92


def test_no_activation_means_no_beats():
    assert decode(np.full((500, 2), 1e-3, np.float32), FRAME_RATE) == NO_BEATS


def test_a_missing_beat_is_bridged():
    activations, beats, _ = ideal_activations(120, 4)
    gap = round(beats[6] * FRAME_RATE)
    activations[gap - 4 : gap + 5] = 0.01
    found = np.asarray(decode(activations, FRAME_RATE).beats_s)
    assert np.abs(found - beats[6]).min() < 0.03


def test_peak_offset_recovers_a_parabola():
    frames = np.arange(21, dtype=np.float64)
    for true in (9.7, 10.0, 10.4):
        activation = 1 - 0.01 * (frames - true) ** 2
        peak = int(np.rint(true))
        assert peak + peak_offset(activation, np.array([peak]))[0] == pytest.approx(true)
    assert peak_offset(np.linspace(0, 1, 5), np.array([2]))[0] == 0  # a slope has no peak
