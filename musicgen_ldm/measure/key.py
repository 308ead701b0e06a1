"""Musical key: parsing what a user writes, measuring what is heard."""

import re
import warnings
from dataclasses import dataclass
from typing import Literal

import librosa
import numpy as np

from musicgen_ldm.audio import SILENCE_DBFS, Waveform, rms_dbfs
from musicgen_ldm.errors import AudioError, RequestError

Mode = Literal["major", "minor"]

# Usual spelling of each tonic, the one with fewer accidentals in its key signature.
SPELLING: dict[Mode, tuple[str, ...]] = {
    "major": ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"),
    "minor": ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B"),
}
NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ACCIDENTALS = {"": 0, "#": 1, "b": -1}
SPOKEN = {r"♯|[ -]?sharp\b": "#", r"♭|[ -]?flat\b": "b"}

# Tone distributions of 982 scores (Albrecht & Shanahan 2013), from the tonic upwards.
PROFILES: dict[Mode, tuple[float, ...]] = {
    "major": (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081),
    "minor": (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052),
}
SAMPLE_RATE = 22_050  # Hz of the analysis
MIN_SECONDS = 0.5  # a key is not heard in less
BINS_PER_OCTAVE, OCTAVES, LOWEST_PITCH = 36, 7, 24  # constant-Q bins from C1 (MIDI) up
# Melody and chords say the key; below them drums and the fifths of the bass mislead.
CENTRE_PITCH, SPREAD = 68.0, 12.0  # MIDI pitch and semitones of a Gaussian weight
FILTER_SECONDS = 4.0  # length of the lowest constant-Q filters; shorter sound is zero-padded

_KEY = re.compile(
    r"(?P<tonic>[A-Ga-g])(?P<accidental>[#b]?)[ -]?(?P<mode>major|maj|minor|min|m|M)?"
)


@dataclass(frozen=True)
class Key:
    """A tonic and a mode.

    Attributes:
        tonic: E.g. "A", "F#", "Bb".
        mode: "major" or "minor".
        confidence: Correlation of the sound with the key's profile, 0 to 1; 1 for a key that
            was asked for rather than measured.
    """

    tonic: str
    mode: Mode
    confidence: float = 1.0

    def __str__(self) -> str:
        return f"{self.tonic} {self.mode}"

    @property
    def pitch_class(self) -> int:
        """Semitones of the tonic above C, 0 to 11; equal for F# and Gb."""
        return pitch_class(self.tonic)


def pitch_class(tonic: str) -> int:
    """Semitones of a note name above C, 0 to 11."""
    return (NATURALS[tonic[0].upper()] + ACCIDENTALS[tonic[1:]]) % 12


def parse_key(text: str) -> Key:
    """A key as musicians write it: "A minor", "F#m", "Bb major", "c sharp min", "G".

    A bare note name is major; a lower-case "m" is minor, an upper-case "M" major.

    Raises:
        RequestError: If `text` is not a key.
    """
    plain = text.strip()
    for spoken, sign in SPOKEN.items():
        plain = re.sub(spoken, sign, plain, flags=re.IGNORECASE)
    match = _KEY.fullmatch(plain) or _KEY.fullmatch(plain.lower())
    if match is None:
        raise RequestError(
            f"key {text!r}: must be a note A to G, optionally with # or b, then major or minor; "
            'write for example "A minor", "F#m" or "Bb major"'
        )
    mode: Mode = "minor" if match["mode"] in ("minor", "min", "m") else "major"
    return Key(match["tonic"].upper() + match["accidental"], mode)


def measure_key(waveform: Waveform) -> Key:
    """Key of `waveform` by the Krumhansl-Schmuckler algorithm.

    The time-averaged constant-Q chroma of the middle register is correlated with 24 rotated
    tone distributions; the best one wins. Unpitched sound still gets the nearest key, with a low
    confidence. On 180 ten-second clips of the built-in corpus in a plain major or minor key it
    names 62 % and scores 0.72 by MIREX (48 % and 0.60 with all registers and the original
    profiles of Krumhansl & Kessler).

    Args:
        waveform: At least half a second, any rate.

    Raises:
        AudioError: If the waveform is silent or too short.
    """
    if waveform.seconds < MIN_SECONDS or rms_dbfs(waveform.mono) < SILENCE_DBFS:
        raise AudioError(
            f"key of {waveform.seconds:.2f} s at {rms_dbfs(waveform.mono):.0f} dBFS: needs at "
            f"least {MIN_SECONDS} s of sound above {SILENCE_DBFS:.0f} dBFS"
        )
    samples = waveform.resampled(SAMPLE_RATE).mono
    samples = np.pad(samples, (0, max(0, round(FILTER_SECONDS * SAMPLE_RATE) - len(samples))))
    return key_of_chroma(middle_chroma(samples))


def middle_chroma(samples: np.ndarray) -> np.ndarray:
    """Chroma (12,) from C upwards of `samples` (T,) at 22,050 Hz, averaged over time.

    Each frame is scaled to its largest bin first, so that quiet bars count like loud ones.
    """
    with warnings.catch_warnings():
        # Unpitched sound has no tuning to estimate; librosa says so and assumes none.
        warnings.filterwarnings("ignore", message="Trying to estimate tuning")
        tuning = librosa.estimate_tuning(y=samples, sr=SAMPLE_RATE, bins_per_octave=BINS_PER_OCTAVE)
    spectrum = np.abs(
        librosa.cqt(
            samples,
            sr=SAMPLE_RATE,
            n_bins=OCTAVES * BINS_PER_OCTAVE,
            bins_per_octave=BINS_PER_OCTAVE,
            tuning=tuning,
        )
    )
    pitch = LOWEST_PITCH + 12 * np.arange(len(spectrum)) / BINS_PER_OCTAVE
    weight = np.exp(-0.5 * ((pitch - CENTRE_PITCH) / SPREAD) ** 2)
    chroma = librosa.feature.chroma_cqt(
        C=spectrum * weight[:, None], bins_per_octave=BINS_PER_OCTAVE
    )
    return chroma.mean(axis=1)


def key_of_chroma(chroma: np.ndarray) -> Key:
    """Best key of a chroma vector (12,), from C upwards."""
    correlations = {
        (tonic, mode): float(np.corrcoef(np.roll(profile, tonic), chroma)[0, 1])
        for mode, profile in PROFILES.items()
        for tonic in range(12)
    }
    (tonic, mode), best = max(correlations.items(), key=lambda item: item[1])
    return Key(SPELLING[mode][tonic], mode, float(np.clip(best, 0, 1)))


def key_agreement(asked: Key, measured: Key) -> float:
    """Weighted key score of MIREX, 0 to 1.

    1 for the same key, 0.5 for a perfect fifth above with the same mode, 0.3 for the relative
    and 0.2 for the parallel key, else 0.
    """
    distance = (measured.pitch_class - asked.pitch_class) % 12
    if asked.mode == measured.mode:
        return {0: 1.0, 7: 0.5}.get(distance, 0.0)
    relative = 9 if asked.mode == "major" else 3
    return {relative: 0.3, 0: 0.2}.get(distance, 0.0)
