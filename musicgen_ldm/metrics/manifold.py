"""Fidelity and coverage apart: precision, recall, density and coverage.

Goal: a distance mixes "sounds wrong" with "misses half of the music"; these four tell which.

Conventions: one embedding a clip, (n, D); Euclidean distance; k = 5 neighbours. The manifold of
a set is the union of balls around its points, each reaching the point's k-th neighbour. All
four are means over points, in [0, 1] except density. Distances are computed in blocks: memory
is O(block x n), never n².

Metrics:
    precision    share of generated points inside the reference manifold (Kynkäänniemi 2019)
    recall       share of reference points inside the generated manifold
    density      mean number of reference balls around a generated point, over k (Naeem 2020)
    coverage     share of reference balls that hold a generated point

The standard errors take the manifold as given and describe the sampling of the points counted:
prompts for precision and density, reference clips for recall and coverage.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics.checks import Array, matrix, same_width
from musicgen_ldm.metrics.kernel import squared_distances
from musicgen_ldm.metrics.statistics import Estimate, mean_estimate, share_estimate

NEIGHBOURS = 5
BLOCK_ROWS = 1024


def validate(gen: npt.ArrayLike, ref: npt.ArrayLike, k: int) -> tuple[Array, Array]:
    """Both sets as finite float64 matrices with more than k rows.

    Raises:
        MetricError: If a set is too small or the widths differ.
    """
    if k < 1:
        raise MetricError(f"k is {k}, must be at least 1")
    gen = matrix("gen", gen, min_rows=k + 1)
    ref = matrix("ref", ref, min_rows=k + 1)
    same_width("gen", gen, "ref", ref)
    return gen, ref


def _blocks(first: Array, second: Array) -> Iterator[tuple[slice, Array]]:
    for start in range(0, len(first), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        yield block, squared_distances(first[block], second)


def _radii(points: Array, k: int) -> Array:
    """Squared distance of each point to its k-th neighbour in its own set, (n,)."""
    radii = np.empty(len(points))
    for block, distances in _blocks(points, points):
        rows = np.arange(block.start, block.start + len(distances))
        # Rounding may leave a point at a tiny distance from itself; it is its own 0th neighbour.
        distances[np.arange(len(rows)), rows] = 0
        radii[block] = np.partition(distances, k, axis=1)[:, k]
    return radii


def evaluate(
    gen: npt.ArrayLike,
    ref: npt.ArrayLike,
    *,
    k: int = NEIGHBOURS,
    prompts: npt.ArrayLike | None = None,
) -> dict[str, Estimate]:
    """Precision, recall, density and coverage, in this order.

    One pass over the distances serves all four.

    Args:
        gen: (n, D) one embedding a generated clip.
        ref: (m, D) one embedding a reference clip.
        k: Neighbours that set the radius of each ball.
        prompts: (n,) label of each clip's prompt, where several takes share one.
    """
    gen, ref = validate(gen, ref, k)
    gen_radii, ref_radii = _radii(gen, k), _radii(ref, k)
    balls_around_gen = np.empty(len(gen))
    recalled = np.zeros(len(ref), dtype=bool)
    nearest_gen = np.full(len(ref), np.inf)
    for block, distances in _blocks(gen, ref):
        balls_around_gen[block] = (distances < ref_radii).sum(axis=1)
        recalled |= (distances < gen_radii[block, None]).any(axis=0)
        nearest_gen = np.minimum(nearest_gen, distances.min(axis=0))
    return {
        "precision": share_estimate(balls_around_gen > 0, prompts),
        "recall": share_estimate(recalled),
        "density": mean_estimate(balls_around_gen / k, prompts),
        "coverage": share_estimate(nearest_gen < ref_radii),
    }
