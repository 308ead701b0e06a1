"""How many different clips there are: the Vendi score.

Goal: catch a system that answers every prompt, or every seed of one prompt, with the same clip.

Conventions: one embedding a clip, (n, D), normalised here; the kernel is the cosine. Computed
from the D x D side, never from n x n. The score grows with n, so compare at equal n.

Metrics:
    vendi        exp of the entropy of the kernel's spectrum (Friedman and Dieng 2023), 1 to n
    vendi_2      1 over the sum of squared eigenvalues (order 2): weighs frequent modes more
    per_prompt   mean Vendi over the takes of each prompt
"""

import numpy as np
import numpy.typing as npt

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics.checks import Array, clip_index, matrix, unit_rows
from musicgen_ldm.metrics.moments import NUM_GROUPS, clip_groups
from musicgen_ldm.metrics.statistics import Estimate, jackknife, mean_estimate


def validate(embeddings: npt.ArrayLike) -> Array:
    """Embeddings as rows of length one.

    Raises:
        MetricError: If there are no rows, a value is not finite or a row is zero.
    """
    return unit_rows(matrix("embeddings", embeddings))


def _spectrum_score(gram: Array, order: int) -> float:
    values = np.clip(np.linalg.eigvalsh(gram), 0, None)
    share = values[values > 0] / values.sum()
    if order == 1:
        return float(np.exp(-(share * np.log(share)).sum()))
    return float(1 / (share**2).sum())


def _gram(unit: Array) -> Array:
    # K = X Xᵀ / n and Xᵀ X / n share their non-zero eigenvalues: take the smaller.
    return unit.T @ unit if len(unit) > unit.shape[1] else unit @ unit.T


def vendi_score(embeddings: npt.ArrayLike, *, order: int = 1) -> float:
    """Effective number of different clips.

    Args:
        embeddings: (n, D).
        order: 1 (Shannon) or 2 (collision) entropy.

    Returns:
        1 when all clips are equal, n when all are orthogonal.
    """
    return _spectrum_score(_gram(validate(embeddings)), order)


def vendi(
    embeddings: npt.ArrayLike,
    *,
    order: int = 1,
    seed: int = 0,
    prompts: npt.ArrayLike | None = None,
) -> Estimate:
    """Vendi score with the standard error of a jackknife over groups of prompts.

    The value is the plain score: it has no limit in n to be corrected towards. Its interval is
    symmetric around it; takes of a single prompt have none.

    Args:
        embeddings: (n, D), n at least 2.
        order: 1 or 2.
        seed: Of the groups.
        prompts: (n,) label of each clip's prompt, where several takes share one.

    Raises:
        MetricError: With fewer than two clips.
    """
    unit = validate(embeddings)
    if len(unit) < 2:
        raise MetricError("the Vendi score of 1 clip has no error bar; add clips")
    index, score = clip_index(len(unit), prompts), _spectrum_score(_gram(unit), order)
    groups = clip_groups(int(index.max()) + 1, NUM_GROUPS, seed)[index]
    if not groups.any():
        return Estimate(score, float("nan"), (float("nan"), float("nan")))
    left_out = [_spectrum_score(_gram(unit[groups != g]), order) for g in np.unique(groups)]
    return jackknife(score, left_out, correct=False)


def per_prompt(embeddings: npt.ArrayLike, prompts: npt.ArrayLike) -> Estimate:
    """Mean over prompts of the Vendi score of that prompt's takes.

    Args:
        embeddings: (n, D).
        prompts: (n,) prompt of each take.

    Raises:
        MetricError: If no prompt has two takes.
    """
    unit = validate(embeddings)
    index = clip_index(len(unit), prompts)
    scores = [vendi_score(unit[index == p]) for p in np.flatnonzero(np.bincount(index) > 1)]
    if not scores:
        raise MetricError("no prompt has two takes; generate several seeds a prompt")
    return mean_estimate(scores)


def evaluate(
    embeddings: npt.ArrayLike, *, seed: int = 0, prompts: npt.ArrayLike | None = None
) -> dict[str, Estimate]:
    """All set-level metrics of this module: vendi, vendi_2, in this order."""
    return {
        "vendi": vendi(embeddings, order=1, seed=seed, prompts=prompts),
        "vendi_2": vendi(embeddings, order=2, seed=seed, prompts=prompts),
    }
