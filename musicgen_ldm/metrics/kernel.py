"""Kernel distances between two sets of embeddings (KAD, KID): unbiased at any number of clips.

Goal: the Fréchet distance's question without its Gaussian assumption and without its bias.

Conventions: frames (F, D) and the clip of each frame (F,). Pairs of frames of one clip are left
out of the within-set means, since they are not independent draws. Values are maximum mean
discrepancies squared times 100, as published for KAD; near zero they may be negative.

Metrics:
    kad    Gaussian kernel, bandwidth = median distance of the *reference* (Chung et al. 2025)
    kid    polynomial kernel (x·y / D + 1)³ (Bińkowski et al. 2018)

Both return the standard error of the leave-one-clip-out jackknife, computed from row sums.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics.checks import Array, IntArray, clip_index, matrix, same_width
from musicgen_ldm.metrics.statistics import Estimate, jackknife

SCALE = 100.0  # published KAD values are 100 MMD²
BANDWIDTH_PAIRS = 10_000
BLOCK_ROWS = 1024  # rows of a kernel block: 1024 x 10,000 float64 is 80 MB

Kernel = Callable[[Array, Array], Array]


def validate(
    gen: npt.ArrayLike, ref: npt.ArrayLike, gen_clips: npt.ArrayLike | None,
    ref_clips: npt.ArrayLike | None,
) -> tuple[Array, Array, IntArray, IntArray]:  # fmt: skip
    """Frames and clip numbers of both sets.

    Raises:
        MetricError: If a set has fewer than three clips, or widths differ.
    """
    gen, ref = matrix("gen", gen), matrix("ref", ref)
    same_width("gen", gen, "ref", ref)
    indices = []
    for name, frames, clips in (("gen", gen, gen_clips), ("ref", ref, ref_clips)):
        index = clip_index(len(frames), clips)
        if index.max() < 2:
            raise MetricError(f"{name} has {index.max() + 1} clip(s), needs at least 3; add clips")
        indices.append(index)
    return gen, ref, indices[0], indices[1]


def squared_distances(first: Array, second: Array) -> Array:
    """Pairwise squared Euclidean distances (rows, rows'), clamped at 0 against cancellation."""
    norms = (first * first).sum(axis=1)[:, None] + (second * second).sum(axis=1)
    return np.maximum(norms - 2 * first @ second.T, 0)


def median_bandwidth(
    frames: npt.ArrayLike, rng: np.random.Generator, *, pairs: int = BANDWIDTH_PAIRS
) -> float:
    """Median distance between different frames, from all pairs or a random `pairs` of them.

    Raises:
        MetricError: If at least half of the frames coincide.
    """
    array = matrix("ref", frames, min_rows=2)
    rows = len(array)
    if rows * (rows - 1) // 2 <= pairs:
        first, second = np.triu_indices(rows, k=1)
    else:
        first = rng.integers(rows, size=pairs)
        second = (first + rng.integers(1, rows, size=pairs)) % rows
    distance = float(np.median(np.linalg.norm(array[first] - array[second], axis=1)))
    if distance == 0:
        raise MetricError("the reference's median distance is 0: its clips are duplicates")
    return distance


def gaussian(bandwidth: float) -> Kernel:
    """k(x, y) = exp(-|x - y|² / (2 bandwidth²))."""
    return lambda x, y: np.exp(squared_distances(x, y) / (-2 * bandwidth**2))


def polynomial(x: Array, y: Array) -> Array:
    """k(x, y) = (x·y / D + 1)³."""
    cubic: Array = (x @ y.T / x.shape[1] + 1) ** 3
    return cubic


@dataclass(frozen=True)
class _Within:
    """Kernel sums and pair counts of one set, over ordered pairs of different clips."""

    total: float
    pairs: float
    clip_totals: Array
    clip_pairs: Array

    @property
    def mean(self) -> float:
        return self.total / self.pairs

    @property
    def left_out(self) -> Array:
        # A clip takes part in ordered pairs twice: as first and as second.
        means: Array = (self.total - 2 * self.clip_totals) / (self.pairs - 2 * self.clip_pairs)
        return means


def _within(frames: Array, index: IntArray, kernel: Kernel) -> _Within:
    rows = np.empty(len(frames))
    for start in range(0, len(frames), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        values = kernel(frames[block], frames)
        values[index[block, None] == index] = 0
        rows[block] = values.sum(axis=1)
    sizes = np.bincount(index).astype(np.float64)
    clip_pairs = sizes * (len(frames) - sizes)
    clip_totals = np.bincount(index, rows).astype(np.float64)
    return _Within(float(rows.sum()), float(clip_pairs.sum()), clip_totals, clip_pairs)


def _between(gen: Array, ref: Array, kernel: Kernel) -> tuple[Array, Array]:
    gen_sums, ref_sums = np.empty(len(gen)), np.zeros(len(ref))
    for start in range(0, len(gen), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        values = kernel(gen[block], ref)
        gen_sums[block] = values.sum(axis=1)
        ref_sums += values.sum(axis=0)
    return gen_sums, ref_sums


def mmd(
    gen: npt.ArrayLike,
    ref: npt.ArrayLike,
    kernel: Kernel,
    *,
    gen_clips: npt.ArrayLike | None = None,
    ref_clips: npt.ArrayLike | None = None,
) -> Estimate:
    """Unbiased squared maximum mean discrepancy, unscaled, with a leave-one-clip-out error.

    Kernel values are summed block by block in float64; memory is O(block x frames).
    """
    gen, ref, gen_index, ref_index = validate(gen, ref, gen_clips, ref_clips)
    inside_gen, inside_ref = _within(gen, gen_index, kernel), _within(ref, ref_index, kernel)
    gen_sums, ref_sums = _between(gen, ref, kernel)
    cross = float(gen_sums.sum())
    value = inside_gen.mean + inside_ref.mean - 2 * cross / (len(gen) * len(ref))
    gen_left = inside_gen.left_out + inside_ref.mean
    gen_left -= 2 * _left_out_cross(cross, gen_sums, gen_index, len(ref))
    ref_left = inside_ref.left_out + inside_gen.mean
    ref_left -= 2 * _left_out_cross(cross, ref_sums, ref_index, len(gen))
    return jackknife(value, gen_left, ref_left, correct=False)


def _left_out_cross(total: float, sums: Array, index: IntArray, others: int) -> Array:
    remaining = len(sums) - np.bincount(index)
    means: Array = (total - np.bincount(index, sums)) / (remaining * others)
    return means


def _scaled(estimate: Estimate) -> Estimate:
    low, high = estimate.ci95
    return Estimate(SCALE * estimate.value, SCALE * estimate.se, (SCALE * low, SCALE * high))


def kad(
    gen: npt.ArrayLike,
    ref: npt.ArrayLike,
    bandwidth: float,
    *,
    gen_clips: npt.ArrayLike | None = None,
    ref_clips: npt.ArrayLike | None = None,
) -> Estimate:
    """Kernel audio distance, 100 MMD² with a Gaussian kernel.

    Args:
        gen: (F, D) generated frames.
        ref: (F', D) reference frames.
        bandwidth: Of the kernel; `median_bandwidth(ref, rng)`. Taken from the reference, it is
            the same for every system that is compared.
        gen_clips: (F,) clip of each generated frame.
        ref_clips: (F',) clip of each reference frame.
    """
    return _scaled(mmd(gen, ref, gaussian(bandwidth), gen_clips=gen_clips, ref_clips=ref_clips))


def kid(
    gen: npt.ArrayLike,
    ref: npt.ArrayLike,
    *,
    gen_clips: npt.ArrayLike | None = None,
    ref_clips: npt.ArrayLike | None = None,
) -> Estimate:
    """Kernel inception distance, 100 MMD² with the cubic kernel."""
    return _scaled(mmd(gen, ref, polynomial, gen_clips=gen_clips, ref_clips=ref_clips))


def evaluate(
    gen: npt.ArrayLike,
    ref: npt.ArrayLike,
    *,
    gen_clips: npt.ArrayLike | None = None,
    ref_clips: npt.ArrayLike | None = None,
    seed: int = 0,
) -> dict[str, Estimate]:
    """All metrics of this module: kad, kid, in this order.

    Args:
        gen: (F, D) generated frames.
        ref: (F', D) reference frames.
        gen_clips: (F,) clip of each generated frame.
        ref_clips: (F',) clip of each reference frame.
        seed: Of the pairs that set the bandwidth.
    """
    bandwidth = median_bandwidth(ref, np.random.default_rng(seed))
    return {
        "kad": kad(gen, ref, bandwidth, gen_clips=gen_clips, ref_clips=ref_clips),
        "kid": kid(gen, ref, gen_clips=gen_clips, ref_clips=ref_clips),
    }
