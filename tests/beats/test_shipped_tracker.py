"""The shipped weights, on sound that no corpus made."""

import mir_eval.beat
import numpy as np
import pytest

from musicgen_ldm.audio import Waveform
from musicgen_ldm.beats import get_tracker
from musicgen_ldm.beats.tcn_tracker import WEIGHTS
from musicgen_ldm.measure import measure_tempo

RATE = 16_000


def groove(bpm: float, seconds: float = 10.24, first_s: float = 0.31):
    """Bass drum on one and three, snare on two and four, hi-hat in eighths, a chord a bar."""
    rng = np.random.default_rng(0)
    samples = 1e-3 * rng.standard_normal(round(seconds * RATE) + 2 * RATE)
    time = np.arange(3_200) / RATE
    kick = np.sin(2 * np.pi * 60 * time * (1 + np.exp(-time * 40))) * np.exp(-time * 18)
    snare = 0.5 * rng.standard_normal(3_200) * np.exp(-time * 30)
    hat = 0.1 * rng.standard_normal(3_200) * np.exp(-time * 120)
    beats = np.arange(first_s, seconds, 60 / bpm)
    for number, beat_s in enumerate(beats):
        add(samples, beat_s, snare if number % 2 else kick)
        for eighth in (0, 30 / bpm):
            add(samples, beat_s + eighth, hat)
        if number % 4 == 0:
            length = np.arange(round(240 / bpm * RATE)) / RATE
            root = (131, 175, 196, 131)[number // 4 % 4]
            chord = sum(np.sin(2 * np.pi * root * ratio * length) for ratio in (1, 1.26, 1.5))
            add(samples, beat_s, 0.1 * chord * np.exp(-length))
    return Waveform(samples[: round(seconds * RATE)], RATE), beats


def add(samples: np.ndarray, start_s: float, sound: np.ndarray) -> None:
    start = round(start_s * RATE)
    samples[start : start + len(sound)] += sound[: len(samples) - start]


def test_weights_are_small_enough_to_ship():
    assert WEIGHTS.stat().st_size < 500_000


@pytest.mark.parametrize("bpm", [112.0, 124.0])
def test_beats_and_tempo_of_a_groove(bpm):
    waveform, beats = groove(bpm)
    found = get_tracker("tcn")(waveform)
    assert mir_eval.beat.f_measure(beats, np.asarray(found.beats_s)) > 0.9
    assert measure_tempo(waveform, "tcn").bpm == pytest.approx(bpm, rel=0.01)
    assert set(found.downbeats_s) <= set(found.beats_s)
    assert get_tracker() is get_tracker("tcn")


def test_a_pulseless_tone_gets_little_confidence():
    time = np.arange(RATE * 8) / RATE
    tone = Waveform(0.2 * np.sin(2 * np.pi * 220 * time) * (1 - np.exp(-time)), RATE)
    confidence = get_tracker("tcn")(tone).confidence
    assert confidence < 0.5 * get_tracker("tcn")(groove(124)[0]).confidence


def test_silence_around_music_does_not_move_its_beats():
    waveform, beats = groove(124)
    padded = Waveform(np.pad(waveform.samples, [(0, 0), (RATE, RATE)]), RATE)
    found = np.asarray(get_tracker("tcn")(padded).beats_s) - 1
    assert mir_eval.beat.f_measure(beats, found[found >= 0]) > 0.9
