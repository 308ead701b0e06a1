import numpy as np
import pytest

from musicgen_ldm.audio import Waveform
from musicgen_ldm.errors import AudioError
from musicgen_ldm.measure import loop_seam_score, seam_score

RATE = 16_000


def tune(seconds: float, pitch_hz: float = 220.0) -> np.ndarray:
    """Plucked notes every quarter second, phase continuous from the start of time."""
    time = np.arange(round(seconds * RATE)) / RATE
    notes = 2 ** (np.array([0, 4, 7, 12, 7, 4])[(time * 4).astype(int) % 6] / 12)
    return 0.3 * np.sin(2 * np.pi * pitch_hz * notes * time) * np.exp(-4 * (time % 0.25))


def test_no_seam_scores_below_one():
    clip = Waveform(tune(6), RATE)
    assert seam_score(clip, 3.1) < 1
    assert seam_score(clip, [1.13, 2.6, 4.2]) < 1


def test_a_splice_on_a_note_is_hidden_and_in_a_note_it_is_not():
    first, second = tune(3), tune(3, 311.0)
    hidden = Waveform(np.concatenate([first, second]), RATE)  # 3 s is the onset of a note
    assert seam_score(hidden, 3.0) < 1.3
    cut = Waveform(np.concatenate([tune(3.08), np.zeros(600), tune(3)]), RATE)
    assert seam_score(cut, 3.08) > seam_score(hidden, 3.0)


def test_a_click_in_a_drone_stands_out():
    drone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(RATE * 4) / RATE)
    clicked = drone.copy()
    clicked[RATE * 2 :] *= -1
    assert seam_score(Waveform(drone, RATE), 2.0) < 1
    assert seam_score(Waveform(clicked, RATE), 2.0) > 3


def test_score_does_not_depend_on_gain_or_rate():
    clicked = tune(4)
    clicked[RATE * 2 + 1300 :] *= -1
    wave = Waveform(clicked, RATE)
    score = seam_score(wave, 2 + 1300 / RATE)
    assert seam_score(Waveform(clicked * 0.1, RATE), 2 + 1300 / RATE) == pytest.approx(score)
    assert seam_score(wave.resampled(44_100), 2 + 1300 / RATE) == pytest.approx(score, rel=0.1)


def test_loop_of_whole_periods_beats_a_cut_one():
    whole = Waveform(tune(6), RATE)  # four rounds of six notes
    cut = Waveform(tune(5.9)[: round(5.15 * RATE)], RATE)
    assert loop_seam_score(whole) < 1.2
    assert loop_seam_score(cut) > loop_seam_score(whole)


def test_seams_outside_and_silence_are_refused():
    with pytest.raises(AudioError, match=r"must lie inside 0 to 2.00 s"):
        seam_score(Waveform(tune(2), RATE), [1.0, 2.0])
    with pytest.raises(AudioError, match="needs at least 1 s that is not silent"):
        seam_score(Waveform(np.zeros(RATE * 2), RATE), 1.0)
