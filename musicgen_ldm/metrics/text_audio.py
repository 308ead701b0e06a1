"""Does the music match its prompt: CLAP score, its floor and ceiling, and retrieval.

Goal: text-audio agreement on a scale that can be read: between shuffled captions (floor) and
real recordings with their own captions (ceiling).

Conventions: text and audio embeddings (n, D) of one CLAP checkpoint, row i of both for the same
id; they are normalised here. Cosines are in [-1, 1] and mean different things for different
checkpoints, so the checkpoint belongs in the metric's name; the retrieval metrics depend on it
far less.

Metrics:
    clap_score          mean cosine of each clip and its own prompt
    shuffled_floor      exact mean cosine over all pairs of a clip and another clip's prompt
    ranks               rank of the true prompt among all prompts, 1 is best
    recall_at           share of clips whose own prompt is among the k best (R@k)
"""

import numpy as np
import numpy.typing as npt

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics.checks import (
    Array,
    IntArray,
    clip_index,
    matrix,
    same_length,
    same_width,
    unit_rows,
)
from musicgen_ldm.metrics.statistics import Estimate, mean_estimate, share_estimate

BLOCK_ROWS = 1024


def validate(text: npt.ArrayLike, audio: npt.ArrayLike) -> tuple[Array, Array]:
    """Paired embeddings as rows of length one.

    Raises:
        MetricError: If shapes differ, a value is not finite or a row is zero.
    """
    text, audio = matrix("text", text), matrix("audio", audio)
    same_width("text", text, "audio", audio)
    same_length("text", text, "audio", audio)
    return unit_rows(text), unit_rows(audio)


def pair_cosines(text: npt.ArrayLike, audio: npt.ArrayLike) -> Array:
    """Cosine of each clip with its own prompt, (n,)."""
    text, audio = validate(text, audio)
    return np.einsum("nd,nd->n", text, audio)


def clap_score(
    text: npt.ArrayLike, audio: npt.ArrayLike, prompts: npt.ArrayLike | None = None
) -> Estimate:
    """Mean cosine of clips (n, D) with their own prompts (n, D), which `prompts` (n,) labels."""
    return mean_estimate(pair_cosines(text, audio), prompts)


def shuffled_floor(text: npt.ArrayLike, audio: npt.ArrayLike) -> float:
    """Mean cosine over all pairs of a clip and another prompt: what a blind system scores.

    Computed exactly from the sums, so no shuffle has to be drawn. Clips of equal prompts (takes)
    are never paired with them.

    Raises:
        MetricError: With fewer than two different prompts.
    """
    text, audio = validate(text, audio)
    distinct, own, clips = np.unique(text, axis=0, return_inverse=True, return_counts=True)
    if len(distinct) < 2:
        raise MetricError("the shuffled floor needs at least 2 different prompts; add clips")
    heard = np.zeros_like(distinct)
    np.add.at(heard, own.ravel(), audio)
    matched = (distinct * heard * clips[:, None]).sum()
    pairs = len(text) ** 2 - (clips**2).sum()
    return float((text.sum(axis=0) @ audio.sum(axis=0) - matched) / pairs)


def ranks(text: npt.ArrayLike, audio: npt.ArrayLike) -> IntArray:
    """Rank of each clip's own prompt among the distinct prompts, (n,), 1 is best.

    Prompts that occur several times count once. A tie counts against the clip, so constant
    embeddings score last rather than first.
    """
    text, audio = validate(text, audio)
    distinct, own = np.unique(text, axis=0, return_inverse=True)
    result = np.empty(len(audio), dtype=np.int64)
    for start in range(0, len(audio), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        cosines = audio[block] @ distinct.T
        true = np.take_along_axis(cosines, own[block].reshape(-1, 1), axis=1)
        result[block] = (cosines >= true).sum(axis=1)
    return result


def recall_at(true_ranks: npt.ArrayLike, k: int, prompts: npt.ArrayLike | None = None) -> Estimate:
    """Share of clips whose prompt ranks k or better, with the Wilson interval.

    Args:
        true_ranks: (n,).
        k: At least 1.
        prompts: (n,) label of each clip's prompt, where several takes share one.

    Raises:
        MetricError: If k is below 1.
    """
    array = np.asarray(true_ranks)
    if k < 1:
        raise MetricError(f"R@{k}: k must be at least 1")
    return share_estimate(array <= k, prompts)


def mean_window(windows: npt.ArrayLike, clips: npt.ArrayLike) -> Array:
    """One vector a clip: the mean of its windows *before* normalising, (clips, D).

    Averaging normalised windows instead gives another number; this order is the convention here.
    Rows follow the sorted clip labels.
    """
    array = matrix("windows", windows)
    index = clip_index(len(array), clips)
    sums = np.zeros((int(index.max()) + 1, array.shape[1]))
    np.add.at(sums, index, array)
    return sums / np.bincount(index)[:, None]


def evaluate(
    text: npt.ArrayLike, audio: npt.ArrayLike, *, real_audio: npt.ArrayLike | None = None
) -> dict[str, Estimate | float]:
    """All metrics of this module.

    Args:
        text: (n, D) prompts.
        audio: (n, D) generated clips.
        real_audio: (n, D) reference clips of the same ids, for the ceiling.

    Returns:
        clap, floor, r1, r10, median_rank and, with `real_audio`, ceiling, in this order.
    """
    true_ranks = ranks(text, audio)
    scores: dict[str, Estimate | float] = {
        "clap": clap_score(text, audio),
        "floor": shuffled_floor(text, audio),
        "r1": recall_at(true_ranks, 1),
        "r10": recall_at(true_ranks, 10),
        "median_rank": float(np.median(true_ranks)),
    }
    if real_audio is not None:
        scores["ceiling"] = clap_score(text, real_audio)
    return scores
