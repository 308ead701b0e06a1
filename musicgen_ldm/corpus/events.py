"""Events in beats, what every line is written in before it is performed."""

from typing import NamedTuple

from musicgen_ldm.corpus.rhythm import Meter

ACCENTS = {"X": 1.0, "x": 0.78, "o": 0.45, "?": 0.55, "r": 0.6}


class Event(NamedTuple):
    """A note in beats.

    Attributes:
        beat: Onset from the start of the piece.
        length: Held for this many beats.
        pitch: MIDI note.
        force: Loudness 0-1, before mood and touch.
    """

    beat: float
    length: float
    pitch: int
    force: float


def beat_accent(beat: float, meter: Meter) -> float:
    """Metric weight of a place in the bar: downbeat, strong beat, beat, off-beat."""
    if beat % 1:
        return 0.68
    if beat == 0:
        return 0.88
    return 0.82 if beat in meter.strong_beats else 0.75
