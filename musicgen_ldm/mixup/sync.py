"""Bring two clips onto one bar line.

Times are seconds from the start of each clip. The anchor is never altered but for the cut; the
partner is shifted and, where asked, played faster or slower.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from musicgen_ldm.audio import FloatArray
from musicgen_ldm.config.mixup import MixupConfig
from musicgen_ldm.mixup.warp import sample_at

Times = npt.NDArray[np.float64]

MIN_SAMPLES = 100  # the reference leaves the anchor unmixed below this common length
MAX_SPEED = 1.06  # a semitone; beyond it a beat was missed rather than the tempo different


@dataclass(frozen=True)
class Track:
    """A mono waveform with its bar lines.

    Attributes:
        samples: (T,) in [-1, 1].
        sample_rate: Hz.
        beats_s: Beat times.
        downbeats_s: Times of the first beats of the bars.
    """

    samples: FloatArray
    sample_rate: int
    beats_s: Sequence[float]
    downbeats_s: Sequence[float]

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True)
class TimeMap:
    """Piecewise-linear map from anchor time to partner time, extended at both ends.

    Attributes:
        anchor_s: (K,) increasing, K >= 2.
        partner_s: (K,) increasing.
    """

    anchor_s: Times
    partner_s: Times

    @property
    def speeds(self) -> Times:
        """Partner seconds that pass in one anchor second, between knots, (K - 1,)."""
        return np.diff(self.partner_s) / np.diff(self.anchor_s)

    def __call__(self, anchor_s: npt.ArrayLike) -> Times:
        """Partner times of anchor times."""
        return _extended(np.asarray(anchor_s, np.float64), self.anchor_s, self.partner_s)

    def inverse(self, partner_s: npt.ArrayLike) -> Times:
        """Anchor times of partner times."""
        return _extended(np.asarray(partner_s, np.float64), self.partner_s, self.anchor_s)


def _extended(x: Times, knots: Times, values: Times) -> Times:
    """`np.interp` that goes on with the outermost slopes instead of standing still."""
    slopes = np.diff(values) / np.diff(knots)
    before = np.minimum(x - knots[0], 0) * slopes[0]
    after = np.maximum(x - knots[-1], 0) * slopes[-1]
    return np.interp(x, knots, values) + before + after


@dataclass(frozen=True)
class Alignment:
    """Where the two clips meet.

    Attributes:
        time_map: Anchor time to partner time.
        start_s: First common moment, anchor time.
        end_s: Last common moment, anchor time.
    """

    time_map: TimeMap
    start_s: float
    end_s: float

    def downbeat_errors(self, anchor: Track, partner: Track) -> Times:
        """Distance from each shared anchor downbeat to the partner's nearest, in seconds.

        The partner's grid goes on for a bar at both ends, for a downbeat just outside its clip is
        a downbeat nevertheless.

        Args:
            anchor: The clip that keeps its time.
            partner: The other clip, not yet shifted.

        Returns:
            (number of anchor downbeats in the common stretch,).
        """
        ours = np.asarray(anchor.downbeats_s)
        ours = ours[(ours >= self.start_s) & (ours < self.end_s)]
        bars = np.asarray(partner.downbeats_s)
        grid = np.concatenate([[2 * bars[0] - bars[1]], bars, [2 * bars[-1] - bars[-2]]])
        theirs = self.time_map.inverse(grid)
        return np.abs(ours[:, None] - theirs[None]).min(axis=1)


def align(
    anchor: Track, partner: Track, config: MixupConfig, rng: np.random.Generator
) -> Alignment | None:
    """Choose a downbeat of each clip and lay them upon each other (Chen et al. 2023, BAM).

    Args:
        anchor: Keeps its time.
        partner: Is moved.
        config: `start` and `sync`.
        rng: Chooses the downbeats where `start` is "random".

    Returns:
        None where the clips cannot be aligned: fewer than two downbeats in one of them, hardly
        any common stretch, or speeds further apart than `MAX_SPEED`.
    """
    if min(len(anchor.downbeats_s), len(partner.downbeats_s)) < 2:
        return None
    first, second = _choose_downbeats(anchor, partner, config, rng)
    time_map = _time_map(anchor, partner, first, second, config.sync)
    if max(time_map.speeds.max(), 1 / time_map.speeds.min()) > MAX_SPEED:
        return None
    start_s = anchor.downbeats_s[first]
    if config.start == "overlap":
        start_s = max(0.0, float(time_map.inverse(0.0)))
    end_s = min(anchor.seconds, float(time_map.inverse(partner.seconds)))
    if (end_s - start_s) * anchor.sample_rate <= MIN_SAMPLES:
        return None
    return Alignment(time_map, start_s, end_s)


def _choose_downbeats(
    anchor: Track, partner: Track, config: MixupConfig, rng: np.random.Generator
) -> tuple[int, int]:
    """Indices of the two downbeats that will coincide."""
    if config.start == "random":
        # As in the reference the last downbeat is no candidate: too little follows it.
        last = len(anchor.downbeats_s) - 1, len(partner.downbeats_s) - 1
        return int(rng.integers(last[0])), int(rng.integers(last[1]))
    ours = np.asarray(anchor.downbeats_s)[:, None]
    theirs = np.asarray(partner.downbeats_s)[None]
    after = np.minimum(anchor.seconds - ours, partner.seconds - theirs)
    common = np.minimum(ours, theirs) + after
    first, second = np.unravel_index(int(common.argmax()), common.shape)
    return int(first), int(second)


def _time_map(anchor: Track, partner: Track, first: int, second: int, sync: str) -> TimeMap:
    """The map in which downbeat `first` of the anchor meets downbeat `second` of the partner."""
    ours = np.asarray(anchor.downbeats_s, np.float64)
    theirs = np.asarray(partner.downbeats_s, np.float64)
    if sync == "downbeats":
        before = min(first, second)
        after = min(len(ours) - first, len(theirs) - second)
        if before + after > 1:
            return TimeMap(
                ours[first - before : first + after], theirs[second - before : second + after]
            )
    speed = 1.0
    if sync == "tempo":
        speed = _beat_period(partner.beats_s) / _beat_period(anchor.beats_s)
    return TimeMap(ours[first] + np.array([0.0, 1.0]), theirs[second] + np.array([0.0, speed]))


def _beat_period(beats_s: Sequence[float]) -> float:
    """Mean seconds from beat to beat."""
    return (beats_s[-1] - beats_s[0]) / (len(beats_s) - 1)


def tempo_ratio(anchor: Track, partner: Track) -> float:
    """Partner tempo over anchor tempo."""
    return _beat_period(anchor.beats_s) / _beat_period(partner.beats_s)


def synchronise(
    anchor: Track, partner: Track, alignment: Alignment
) -> tuple[FloatArray, FloatArray]:
    """The common stretch of both clips.

    Returns:
        Two waveforms (T,) of one length. Without a change of speed both are plain cuts, at most
        half a sample apart.
    """
    rate = anchor.sample_rate
    start = round(alignment.start_s * rate)
    length = int((alignment.end_s - alignment.start_s) * rate)
    ours = anchor.samples[start : start + length]
    if np.allclose(alignment.time_map.speeds, 1, rtol=0, atol=1e-9):
        other = max(0, round(float(alignment.time_map(alignment.start_s)) * rate))
        theirs = partner.samples[other : other + length]
    else:
        theirs = sample_at(partner.samples, _positions(alignment.time_map, start, length, rate))
    length = min(len(ours), len(theirs))
    return ours[:length], theirs[:length]


def _positions(time_map: TimeMap, start: int, length: int, rate: int) -> Times:
    """Partner samples that sound with anchor samples `start` to `start + length`, (length,).

    Between knots the map is linear, so it is evaluated at the knots alone.
    """
    inner = time_map.anchor_s * rate
    inner = inner[(inner > start) & (inner < start + length)]
    knots = np.concatenate([[start], inner, [start + length]])
    return np.interp(np.arange(start, start + length), knots, time_map(knots / rate) * rate)
