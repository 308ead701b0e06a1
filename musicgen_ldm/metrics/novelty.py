"""Novelty: how much of the output was already in the training set.

Goal: the paper's measure of plagiarism (Chen et al. 2023), with what is needed to read it.

Conventions: `nearest` (n,) is each clip's largest cosine to any training clip, from an exact
search. A threshold is exceeded strictly. The ratio means nothing alone, because neighbours of
one style are near anyway: report it beside the same number for the training set against itself
(own recording left out) and for held-out recordings against the training set. Where more than
`SATURATED_SHARE` of a baseline exceeds a threshold, the ratio cannot tell a copy from the style.

Metrics:
    similarity_ratio    SIM_AA@τ, the share of clips whose nearest similarity exceeds τ (Wilson)
    survival_curve      that share at every τ
    excess              a ratio minus a baseline's ratio, with an interval: copying beyond style
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from musicgen_ldm.config.novelty import PUBLISHED_THRESHOLD
from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics.checks import Array
from musicgen_ldm.metrics.statistics import Estimate, share_estimate

THRESHOLDS = {"90": PUBLISHED_THRESHOLD, "95": 0.95}  # SIM_AA@90 and @95 of the paper
CALIBRATED = "calibrated"  # the threshold that a bank's own recordings set
TAGS = (*THRESHOLDS, CALIBRATED)
SATURATED_SHARE = 0.5
EXCESS = "excess_"  # prefix of a ratio minus a baseline
CURVE = tuple(round(i / 100, 2) for i in range(101))  # τ of the survival curve


def validate(nearest: npt.ArrayLike) -> Array:
    """Nearest similarities as a finite vector within [-1, 1].

    Raises:
        MetricError: If there are none, or one is not a cosine.
    """
    array = np.asarray(nearest, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise MetricError(f"nearest has shape {array.shape}, must be (n,) with n > 0")
    if not np.isfinite(array).all() or (np.abs(array) > 1 + 1e-6).any():
        raise MetricError("a nearest similarity is no cosine; normalise the embeddings")
    return array


def similarity_ratio(
    nearest: npt.ArrayLike, threshold: float, prompts: npt.ArrayLike | None = None
) -> Estimate:
    """Share of clips whose nearest training similarity exceeds `threshold`.

    Args:
        nearest: (n,).
        threshold: Cosine.
        prompts: (n,) label of each clip's prompt, where several takes share one.
    """
    return share_estimate(validate(nearest) > threshold, prompts)


def survival_curve(nearest: npt.ArrayLike, thresholds: Sequence[float] = CURVE) -> Array:
    """Share of clips above each threshold; never rises with the threshold."""
    array = np.sort(validate(nearest))
    above: Array = 1 - np.searchsorted(array, np.asarray(thresholds), side="right") / len(array)
    return above


def excess(
    nearest: npt.ArrayLike,
    baseline: npt.ArrayLike,
    threshold: float,
    prompts: npt.ArrayLike | None = None,
) -> Estimate:
    """Ratio of the clips minus the baseline's ratio, with Newcombe's interval.

    An interval above zero means more near-copies than the style alone explains.
    """
    ours = similarity_ratio(nearest, threshold, prompts)
    theirs = similarity_ratio(baseline, threshold)
    value = ours.value - theirs.value
    below = np.hypot(ours.value - ours.ci95[0], theirs.ci95[1] - theirs.value)
    above = np.hypot(ours.ci95[1] - ours.value, theirs.value - theirs.ci95[0])
    se = float(np.hypot(ours.se, theirs.se))
    return Estimate(value, se, (value - float(below), value + float(above)))


def evaluate(
    nearest: npt.ArrayLike,
    *,
    train_train: npt.ArrayLike | None = None,
    heldout_train: npt.ArrayLike | None = None,
    thresholds: Mapping[str, float] = THRESHOLDS,
    prompts: npt.ArrayLike | None = None,
) -> dict[str, Estimate]:
    """Ratios at each threshold, the baselines' ratios and the excess over each.

    Args:
        nearest: (n,) generated against training.
        train_train: (m,) training against training, own recording left out.
        heldout_train: (h,) held-out recordings against training.
        thresholds: τ by name.
        prompts: (n,) label of each clip's prompt, where several takes share one.

    Returns:
        sim_aa@90, sim_aa@95 (by name), then train_train@…, heldout_train@… and their
        excess_…@… where given.
    """
    scores: dict[str, Estimate] = {}
    baselines = {"train_train": train_train, "heldout_train": heldout_train}
    for tag, threshold in thresholds.items():
        scores[f"sim_aa@{tag}"] = similarity_ratio(nearest, threshold, prompts)
        for name, baseline in baselines.items():
            if baseline is not None:
                scores[f"{name}@{tag}"] = similarity_ratio(baseline, threshold)
                scores[f"{EXCESS}{name}@{tag}"] = excess(nearest, baseline, threshold, prompts)
    return scores
