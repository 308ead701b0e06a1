import io

import numpy as np
import pytest
import soundfile
import soxr
from conftest import RATE, song

from musicgen_ldm.prepare.duplicates import find_duplicates
from musicgen_ldm.prepare.fingerprint import bit_error_rate, fingerprint
from musicgen_ldm.prepare.track import Track


def through(samples: np.ndarray, file_format: str, subtype: str) -> np.ndarray:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format=file_format, subtype=subtype)
    buffer.seek(0)
    return soundfile.read(buffer, dtype="float32")[0]


def track(samples: np.ndarray, sha256: str) -> Track:
    found = fingerprint(np.asarray(samples, dtype=np.float32))
    return Track(path=sha256, sha256=sha256, seconds=len(samples) / RATE, fingerprint=found)


def copies(samples: np.ndarray) -> dict[str, np.ndarray]:
    """The same recording after what collections do to files."""
    resampled = soxr.resample(soxr.resample(samples, RATE, 44_100), 44_100, RATE)
    return {
        "louder": samples * 1.7,
        "mp3": through(samples * 0.5, "MP3", "MPEG_LAYER_III"),
        "ogg": through(samples * 0.5, "OGG", "VORBIS"),
        "8 bit": through(samples * 0.5, "WAV", "PCM_U8"),
        "resampled": resampled,
        "padded": np.concatenate([np.zeros(3_000), samples, np.zeros(900)]),
        "trimmed": samples[700:],
    }


@pytest.mark.parametrize("kind", copies(song(3)))
def test_copies_are_recognised(kind):
    original = fingerprint(song(3).astype(np.float32))
    copy = fingerprint(copies(song(3))[kind].astype(np.float32))
    assert bit_error_rate(original, copy) < 0.25


def test_other_recordings_differ_in_nearly_half_the_bits():
    prints = [fingerprint(song(seed).astype(np.float32)) for seed in range(5)]
    rates = [bit_error_rate(a, b) for i, a in enumerate(prints) for b in prints[:i]]
    assert min(rates) > 0.38


def test_first_of_equal_tracks_is_kept():
    first, other = song(1), song(2)
    tracks = [
        track(first, "a"),
        track(other, "b"),
        track(copies(first)["mp3"], "c"),
        track(first, "a"),
        track(copies(first)["louder"], "d"),
    ]
    assert find_duplicates(tracks) == {
        2: (0, "near-duplicate"),
        3: (0, "duplicate"),
        4: (0, "near-duplicate"),
    }


def test_silence_and_short_sound_have_no_fingerprint():
    assert fingerprint(np.zeros(RATE * 10, np.float32)) is None
    assert fingerprint(song(0, seconds=2).astype(np.float32)) is None


def test_unreadable_tracks_repeat_nothing():
    broken = [Track(path=name, sha256=name, error="broken") for name in "ab"]
    assert find_duplicates(broken) == {}
    assert find_duplicates([]) == {}
