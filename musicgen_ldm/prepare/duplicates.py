"""Which tracks of a collection are the same recording twice."""

from collections.abc import Sequence

import numpy as np

from musicgen_ldm.prepare.fingerprint import Fingerprint, bit_error_rate
from musicgen_ldm.prepare.track import Track

SAME_BITS = 0.35  # bit error rate below which Haitsma & Kalker call two signals the same
SAME_TIMBRE = 0.6  # nepers RMS between mean spectra; a lossy copy differs by about 0.1
MAX_LENGTH_RATIO = 1.05  # of tracks shorter than what is fingerprinted
BLOCK = 512  # tracks compared with all others at once


def find_duplicates(tracks: Sequence[Track]) -> dict[int, tuple[int, str]]:
    """Tracks that repeat an earlier one.

    Returns:
        Index of the repeated track -> (index of the first one, "duplicate" for equal bytes or
        "near-duplicate" for the same recording in other bytes).
    """
    repeats: dict[int, tuple[int, str]] = {}
    first_with: dict[str, int] = {}
    for index, track in enumerate(tracks):
        first = first_with.setdefault(track.sha256, index)
        if first != index:
            repeats[index] = (first, "duplicate")
    remaining = [
        (index, track.fingerprint)
        for index, track in enumerate(tracks)
        if index not in repeats and track.fingerprint is not None
    ]
    for later, earlier in sorted(_similar_timbre([f for _, f in remaining])):
        (index, a), (first, b) = remaining[later], remaining[earlier]
        if (
            index not in repeats
            and first not in repeats
            and _same_length(tracks[index], tracks[first])
            and bit_error_rate(a, b) < SAME_BITS
        ):
            repeats[index] = (first, "near-duplicate")
    return repeats


def _similar_timbre(prints: Sequence[Fingerprint]) -> list[tuple[int, int]]:
    """Pairs (later, earlier) whose mean spectra are close enough to compare bit by bit."""
    if len(prints) < 2:
        return []
    spectra = np.stack([item.timbre for item in prints])
    norms = np.square(spectra).mean(axis=1)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(spectra), BLOCK):
        block = spectra[start : start + BLOCK]
        squared = (
            norms[start : start + BLOCK, None] + norms - 2 * block @ spectra.T / block.shape[1]
        )
        later, earlier = np.nonzero(squared < SAME_TIMBRE**2)
        pairs += [
            (int(a) + start, int(b)) for a, b in zip(later, earlier, strict=True) if b < a + start
        ]
    return pairs


def _same_length(a: Track, b: Track) -> bool:
    return max(a.seconds, b.seconds) <= MAX_LENGTH_RATIO * min(a.seconds, b.seconds) + 0.5
