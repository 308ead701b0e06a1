"""Tempo of a recording, and how well it agrees with the tempo that was asked for."""

from dataclasses import dataclass

import numpy as np

from musicgen_ldm.audio import Waveform
from musicgen_ldm.beats import Beats, get_tracker
from musicgen_ldm.beats.tracker import steady_period_s

TOLERANCE = 0.04  # relative; the "accuracy 1" of tempo estimation (Gouyon et al. 2006)
OCTAVES = (1.0, 2.0, 0.5, 3.0, 1 / 3)  # metrical levels admitted by "accuracy 2"
MIN_BEATS = 3  # two intervals: below that steadiness cannot be seen


@dataclass(frozen=True)
class Tempo:
    """A measured tempo.

    Attributes:
        bpm: Beats per minute; None where no pulse was found.
        confidence: 0 (no pulse) to 1: the tracker's own confidence times the share of beats
            that lie on a steady grid.
    """

    bpm: float | None
    confidence: float

    def matches(self, bpm: float, *, octaves: bool = False) -> bool:
        """Whether this tempo is within 4 % of `bpm`, or of its double, half, triple or third.

        Args:
            bpm: What was asked for.
            octaves: Admit other metrical levels of the same pulse.
        """
        return tempo_agreement(bpm, self, octaves=octaves) > 0


def measure_tempo(waveform: Waveform, tracker: str = "auto") -> Tempo:
    """Tempo of `waveform` by least squares over its tracked beats.

    Args:
        waveform: Any rate; ten seconds give about 0.5 % precision on a steady pulse.
        tracker: Name of a beat tracker (`musicgen_ldm.beats.TRACKERS`).

    Raises:
        ConfigError: If the tracker is unknown.
        MissingExtraError: If the tracker's package is not installed.
    """
    return tempo_of_beats(get_tracker(tracker)(waveform))


def tempo_of_beats(beats: Beats) -> Tempo:
    """Tempo of already tracked beats."""
    if len(beats.beats_s) < MIN_BEATS:
        return Tempo(None, 0.0)
    times = np.asarray(beats.beats_s)
    period = steady_period_s(beats.beats_s)
    phase = (times - times[0]) / period
    steady = np.abs(phase - np.rint(phase) - np.median(phase - np.rint(phase))) < 0.1
    return Tempo(60 / period, beats.confidence * float(steady.mean()))


def tempo_agreement(asked_bpm: float, measured: Tempo, *, octaves: bool = True) -> float:
    """Score of a measured tempo against the one asked for, 0 to 1.

    1 for equality, falling linearly to 0 at a deviation of 4 %; another metrical level of the
    same pulse (when `octaves`) counts half, because a listener may tap either.

    Args:
        asked_bpm: Beats per minute, positive.
        measured: What `measure_tempo` returned; a missing pulse scores 0.
        octaves: Admit double, half, triple and third.
    """
    if measured.bpm is None:
        return 0.0
    levels = OCTAVES if octaves else OCTAVES[:1]
    scores = [
        (1.0 if level == 1 else 0.5)
        * max(0.0, 1 - abs(measured.bpm / (asked_bpm * level) - 1) / TOLERANCE)
        for level in levels
    ]
    return max(scores)
