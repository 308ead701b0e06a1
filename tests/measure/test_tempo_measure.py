import numpy as np
import pytest

from musicgen_ldm.audio import Waveform
from musicgen_ldm.beats import Beats, get_tracker
from musicgen_ldm.beats.tracker import steady_period_s
from musicgen_ldm.errors import ConfigError
from musicgen_ldm.measure import Tempo, measure_tempo, tempo_agreement
from musicgen_ldm.measure.tempo import tempo_of_beats

RATE = 16_000


def click_track(bpm: float, seconds: float = 10.24) -> Waveform:
    """Short decaying noise bursts on the beat over a faint noise floor."""
    rng = np.random.default_rng(0)
    samples = 1e-3 * rng.standard_normal(round(seconds * RATE))
    burst = rng.standard_normal(800) * np.exp(-np.arange(800) / 120)
    for beat_s in np.arange(0.1, seconds - 0.1, 60 / bpm):
        start = round(beat_s * RATE)
        samples[start : start + 800] += 0.5 * burst
    return Waveform(samples, RATE)


@pytest.mark.parametrize("bpm", [75.0, 99.5, 120.0, 140.0])
def test_tempo_of_clicks_is_measured_within_half_a_percent(bpm):
    tempo = measure_tempo(click_track(bpm), "librosa")
    assert tempo.bpm == pytest.approx(bpm, rel=0.005)
    assert tempo.confidence > 0.7


def test_tempo_does_not_depend_on_level_or_channels():
    mono = click_track(110)
    stereo = Waveform(np.stack([mono.samples[0], mono.samples[0]]) * 0.25, RATE)
    quiet = measure_tempo(stereo, "librosa").bpm
    assert quiet == pytest.approx(measure_tempo(mono, "librosa").bpm, rel=1e-3)


def test_silence_and_steady_tones_have_no_confident_tempo():
    assert measure_tempo(Waveform(np.zeros(RATE * 5), RATE), "librosa") == Tempo(None, 0.0)
    tone = Waveform(0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE * 5) / RATE), RATE)
    assert measure_tempo(tone).confidence < 0.5 * measure_tempo(click_track(120)).confidence


def test_unknown_tracker_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"'essentia'.*auto.*librosa"):
        get_tracker("essentia")


def test_period_survives_jitter_and_a_missing_beat():
    rng = np.random.default_rng(1)
    times = np.arange(20) * 0.5 + rng.uniform(-0.01, 0.01, 20)
    assert steady_period_s(np.delete(times, 7).tolist()) == pytest.approx(0.5, rel=2e-3)


def test_unsteady_beats_lower_the_confidence():
    steady = np.arange(16) * 0.5
    drifting = np.cumsum(np.linspace(0.4, 0.6, 16))
    confident = tempo_of_beats(Beats(tuple(steady), (), 1.0)).confidence
    assert confident == 1.0
    assert tempo_of_beats(Beats(tuple(drifting), (), 1.0)).confidence < 0.5


def test_agreement_is_one_at_equality_and_half_at_another_metrical_level():
    assert tempo_agreement(120, Tempo(120.0, 1.0)) == 1
    assert tempo_agreement(120, Tempo(240.0, 1.0)) == 0.5
    assert tempo_agreement(120, Tempo(240.0, 1.0), octaves=False) == 0
    assert tempo_agreement(120, Tempo(120 * 1.02, 1.0)) == pytest.approx(0.5)
    assert tempo_agreement(120, Tempo(None, 0.0)) == 0
    assert Tempo(61.0, 1.0).matches(120, octaves=True)
    assert not Tempo(61.0, 1.0).matches(120)
