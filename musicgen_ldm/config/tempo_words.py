"""What "slow", "medium" and "fast" mean, for whoever writes the words and whoever judges them."""

from typing import Literal

TempoWord = Literal["slow", "medium", "fast"]

# Beats per minute of the pulse that a listener taps. Between the ranges two listeners differ.
SLOW_BELOW_BPM = 85.0
MEDIUM_BPM = (94.0, 122.0)
FAST_ABOVE_BPM = 132.0


def tempo_word(felt_bpm: float | None) -> TempoWord | None:
    """The word a listener would use for a pulse, None where two listeners would differ."""
    if felt_bpm is None:
        return None
    if felt_bpm < SLOW_BELOW_BPM:
        return "slow"
    if felt_bpm > FAST_ABOVE_BPM:
        return "fast"
    return "medium" if MEDIUM_BPM[0] <= felt_bpm <= MEDIUM_BPM[1] else None


def fits_tempo_word(word: TempoWord, felt_bpm: float) -> bool:
    """Whether some listener would use `word`: between two ranges both words fit."""
    ranges = {
        "slow": (0.0, MEDIUM_BPM[0]),
        "medium": (SLOW_BELOW_BPM, FAST_ABOVE_BPM),
        "fast": (MEDIUM_BPM[1], float("inf")),
    }
    low, high = ranges[word]
    return low <= felt_bpm <= high
