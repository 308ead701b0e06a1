import mir_eval.beat
import numpy as np
import pytest

from musicgen_ldm.audio import Waveform
from musicgen_ldm.beats import TRACKERS, get_tracker
from musicgen_ldm.beats.librosa_tracker import LibrosaTracker, bar_phase
from musicgen_ldm.beats.tracker import NO_BEATS

RATE = 16_000


def drum_loop(bpm: float, meter: int, seconds: float = 10.24, first_s: float = 0.2):
    """A bass drum on the first beat of each bar, a hi-hat on all; truth beside it."""
    rng = np.random.default_rng(0)
    samples = 1e-3 * rng.standard_normal(round(seconds * RATE))
    time = np.arange(2_400) / RATE
    kick = np.sin(2 * np.pi * 70 * time) * np.exp(-time * 25)
    hat = 0.4 * rng.standard_normal(2_400) * np.exp(-time * 150)
    beats = np.arange(first_s, seconds - 0.2, 60 / bpm)
    for number, beat_s in enumerate(beats):
        start = round(beat_s * RATE)
        samples[start : start + 2_400] += hat + (kick if number % meter == 0 else 0)
    return Waveform(0.5 * samples, RATE), beats, beats[::meter]


@pytest.mark.parametrize(("bpm", "meter"), [(120.0, 4), (100.0, 3)])
def test_beats_and_downbeats_of_a_drum_loop(bpm, meter):
    waveform, beats, downbeats = drum_loop(bpm, meter)
    found = LibrosaTracker()(waveform)
    assert mir_eval.beat.f_measure(beats, np.asarray(found.beats_s)) > 0.9
    assert mir_eval.beat.f_measure(downbeats, np.asarray(found.downbeats_s)) > 0.8
    assert set(found.downbeats_s) <= set(found.beats_s)
    assert found.confidence > 0.6


def test_silence_and_a_blip_have_no_beats():
    tracker = LibrosaTracker()
    assert tracker(Waveform(np.zeros(RATE * 4), RATE)) == NO_BEATS
    assert tracker(Waveform(np.full(800, 0.5), RATE)) == NO_BEATS


def test_bar_phase_follows_the_accents():
    accents = np.ones(16, dtype=np.float32)
    accents[2::4] = 3
    assert bar_phase(accents) == (4, 2)
    waltz = np.ones(15, dtype=np.float32)
    waltz[1::3] = 3
    assert bar_phase(waltz) == (3, 1)
    assert bar_phase(np.ones(5, dtype=np.float32)) == (4, 0)


def test_trackers_are_loaded_once():
    assert get_tracker("librosa") is get_tracker("librosa")
    assert "librosa" in TRACKERS
