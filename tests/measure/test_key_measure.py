import mir_eval.key
import numpy as np
import pytest

from musicgen_ldm.audio import Waveform
from musicgen_ldm.errors import AudioError, RequestError
from musicgen_ldm.measure import Key, key_agreement, measure_key, parse_key
from musicgen_ldm.measure.key import PROFILES, SPELLING, key_of_chroma

RATE = 16_000


def chords(*triads: tuple[int, ...], seconds: float = 0.7) -> Waveform:
    """Chords of MIDI pitches with six decaying harmonics each, one after the other."""
    time = np.arange(round(seconds * RATE)) / RATE
    pieces = [
        sum(
            np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * harmonic * time) / harmonic**2
            for pitch in triad
            for harmonic in range(1, 7)
        )
        for triad in triads
    ]
    return Waveform(0.1 * np.concatenate(pieces), RATE)


@pytest.mark.parametrize("tonic", [0, 3, 6, 10])
def test_cadences_give_their_key(tonic):
    root = 48 + tonic
    major = [(0, 4, 7, 12), (5, 9, 12), (7, 11, 14), (0, 4, 7, 12)]
    minor = [(0, 3, 7, 12), (5, 8, 12), (7, 11, 14), (0, 3, 7, 12)]
    for mode, degrees in (("major", major), ("minor", minor)):
        key = measure_key(chords(*[tuple(root + step for step in d) for d in degrees]))
        assert str(key) == f"{SPELLING[mode][tonic]} {mode}"
        assert 0.6 < key.confidence <= 1


def test_each_profile_is_its_own_best_key():
    for mode, profile in PROFILES.items():
        for tonic in range(12):
            key = key_of_chroma(np.roll(profile, tonic))
            assert (key.pitch_class, key.mode) == (tonic, mode)
            assert key.confidence == pytest.approx(1)


def test_noise_has_a_key_of_low_confidence():
    noise = Waveform(np.random.default_rng(0).normal(0, 0.1, RATE * 4), RATE)
    assert measure_key(noise).confidence < 0.6


def test_silent_sound_has_no_key():
    with pytest.raises(AudioError, match=r"at least 0.5 s of sound above -60 dBFS"):
        measure_key(Waveform(np.zeros(RATE), RATE))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A minor", "A minor"),
        ("F#m", "F# minor"),
        ("Bb major", "Bb major"),
        ("bb", "Bb major"),
        ("B minor", "B minor"),
        ("c sharp min", "C# minor"),
        ("E♭ Maj", "Eb major"),
        ("G", "G major"),
        ("DM", "D major"),
        ("d-flat-major", "Db major"),
        (" A MINOR ", "A minor"),
    ],
)
def test_keys_as_musicians_write_them(text, name):
    assert str(parse_key(text)) == name


@pytest.mark.parametrize("text", ["", "H minor", "A dorian", "minor", "F##", "A minor 7", "🎵"])
def test_anything_else_is_refused_with_examples(text):
    with pytest.raises(RequestError, match=r'write for example "A minor", "F#m" or "Bb major"'):
        parse_key(text)


def test_agreement_is_the_mirex_score():
    for mode in ("major", "minor"):
        for tonic in range(12):
            asked = Key("C", "major")
            measured = Key(SPELLING[mode][tonic], mode)
            reference = mir_eval.key.weighted_score(str(asked), str(measured))
            assert key_agreement(asked, measured) == reference
    assert key_agreement(Key("F#", "minor"), Key("Gb", "minor")) == 1
