"""What a beat tracker takes and returns, whatever algorithm it holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.stats import theilslopes

from musicgen_ldm.audio import SILENCE_DBFS, Waveform, rms_dbfs

MIN_SECONDS = 1.0  # shorter sound holds no two beats of a common tempo


@dataclass(frozen=True)
class Beats:
    """The metrical grid of a recording.

    Attributes:
        beats_s: Beat times in seconds, ascending; empty where no pulse was found.
        downbeats_s: The beats that begin a bar, a subset of `beats_s`.
        confidence: 0 (no pulse) to 1 (the tracker is sure). Each tracker documents its own
            measure; values of different trackers do not compare.
    """

    beats_s: tuple[float, ...]
    downbeats_s: tuple[float, ...]
    confidence: float


NO_BEATS = Beats((), (), 0.0)


class BeatTracker(Protocol):
    """Anything that finds the beats of a waveform, at any sample rate and channel count."""

    name: str
    identity: str
    """Changes whenever the beats of some sound may: part of the key under which they are kept."""

    def __call__(self, waveform: Waveform) -> Beats:
        """The beats of `waveform`; `NO_BEATS` for silence and for pulseless sound."""
        ...


def has_sound(waveform: Waveform) -> bool:
    """Whether there is enough sound to look for beats at all."""
    return waveform.seconds >= MIN_SECONDS and rms_dbfs(waveform.mono) >= SILENCE_DBFS


def steady_period_s(beats_s: Sequence[float]) -> float:
    """Beat period that fits all beats best, in seconds.

    Single intervals carry the tracker's frame rounding; the slope over the whole clip does
    not. Beats are numbered by their distance in median intervals, so that a missed beat
    leaves the numbering intact, and the slope is Theil-Sen's, which a few beats invented
    before the first note cannot bend.

    Args:
        beats_s: At least two ascending times.
    """
    times = np.asarray(beats_s, dtype=np.float64)
    intervals = np.diff(times)
    steps = np.maximum(np.rint(intervals / np.median(intervals)), 1)
    return float(theilslopes(times, np.concatenate([[0], np.cumsum(steps)])).slope)
