import numpy as np
import pytest

from musicgen_ldm.audio import Waveform
from musicgen_ldm.measure import integrated_loudness, signal_health

RATE = 16_000
TIME = np.arange(RATE * 4) / RATE


def sine(frequency: float, amplitude: float = 1.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency * TIME)


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_full_scale_sine_reads_the_level_of_the_standard(rate):
    samples = np.sin(2 * np.pi * 997 * np.arange(rate * 3) / rate)
    assert integrated_loudness(Waveform(samples, rate)) == pytest.approx(-3.01, abs=0.05)
    both = Waveform(np.stack([samples, samples]), rate)
    assert integrated_loudness(both) == pytest.approx(0.0, abs=0.05)


def test_loudness_falls_with_gain_and_ignores_long_pauses():
    loud = Waveform(sine(997, 0.5), RATE)
    quiet = Waveform(sine(997, 0.05), RATE)
    assert integrated_loudness(loud) - integrated_loudness(quiet) == pytest.approx(20, abs=0.01)
    paused = Waveform(np.concatenate([sine(997, 0.5), np.zeros(RATE * 20)]), RATE)
    assert integrated_loudness(paused) == pytest.approx(integrated_loudness(loud), abs=0.3)
    assert integrated_loudness(Waveform(np.zeros(RATE), RATE)) == -np.inf
    assert np.isfinite(integrated_loudness(Waveform(sine(997)[:100], RATE)))


def test_clean_tones_at_full_scale_are_healthy():
    for frequency in (25, 440, 5_000):
        health = signal_health(Waveform(sine(frequency), RATE))
        assert health.faults == ()
        assert health.score == pytest.approx(1, abs=0.05)
        assert health.rms_dbfs == pytest.approx(-3.01, abs=0.01)


def test_cut_wave_tops_are_clipping():
    health = signal_health(Waveform(np.clip(sine(440, 1.5), -1, 1), RATE))
    assert health.faults == ("clipped",)
    assert health.clipped_fraction == pytest.approx(1 - 2 * np.arcsin(1 / 1.5) / np.pi, abs=0.05)
    assert health.score == 0


def test_offset_is_signed_and_found_in_one_channel():
    stereo = np.stack([sine(440, 0.5), sine(440, 0.5) - 0.05])
    health = signal_health(Waveform(stereo, RATE))
    assert health.faults == ("dc",)
    assert health.dc_offset == pytest.approx(-0.05, abs=1e-4)


def test_gaps_and_silence_differ():
    gaps = np.where(TIME < 2, sine(440, 0.5), 0)
    health = signal_health(Waveform(gaps, RATE))
    assert health.silent_fraction == pytest.approx(0.5, abs=0.02)
    assert health.faults == ("gaps",)
    silent = signal_health(Waveform(np.zeros(RATE), RATE))
    assert (silent.faults, silent.score, silent.rms_dbfs) == (("silent",), 0.0, -np.inf)
