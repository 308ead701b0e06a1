"""Error bars and tests: what makes a difference between two systems more than noise.

Goal: an interval beside every number, and a p-value beside every comparison.

Conventions: intervals are two-sided 95 %. Resampling units are clips (or prompts), never frames,
since frames of one clip are correlated. Randomness comes from an explicit generator.

Functions:
    jackknife            bias-corrected value and standard error from leave-one-group-out values
    mean_estimate        mean over clips with its t interval
    wilson_interval      a share of clips (Wilson 1927)
    share_estimate       the same, where several takes of a prompt are no independent clips
    paired_bootstrap     interval of a mean difference over the same prompts
    paired_permutation   sign-flip p-value of a mean difference
    holm                 p-values corrected for the number of comparisons (Holm 1979)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, t

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics.checks import Array, clip_index

CONFIDENCE = 0.95
Z_95 = float(norm.ppf(0.5 + CONFIDENCE / 2))


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty.

    Attributes:
        value: The estimate, bias-corrected where the metric says so.
        se: Standard error; NaN where the input allows none (a single clip).
        ci95: Two-sided 95 % interval.
    """

    value: float
    se: float
    ci95: tuple[float, float]


def t_estimate(value: float, se: float, degrees: float) -> Estimate:
    """`value` with a Student t interval of `degrees` degrees of freedom."""
    half = float(t.ppf(0.5 + CONFIDENCE / 2, degrees)) * se
    return Estimate(value, se, (value - half, value + half))


def jackknife(value: float, *sides: npt.ArrayLike, correct: bool = True) -> Estimate:
    """Delete-a-group jackknife over one or more independent samples.

    The sides' corrections and variances add up, because the samples are independent; the degrees
    of freedom follow Welch and Satterthwaite.

    Args:
        value: The statistic on everything.
        sides: For each finite sample, (G,) values with one group left out.
        correct: Subtract the estimated 1/n bias. A corrected distance may be slightly negative.

    Raises:
        MetricError: If a side has fewer than two groups, or there is no side.
    """
    corrected, variances, degrees = value, [], []
    for side in sides:
        left_out = np.asarray(side, dtype=np.float64)
        groups = len(left_out)
        if groups < 2:
            raise MetricError(f"the jackknife got {groups} group(s), needs at least 2; add clips")
        if correct:
            corrected += (groups - 1) * (value - float(left_out.mean()))
        variances.append((groups - 1) * float(left_out.var()))
        degrees.append(groups - 1)
    if not variances:
        raise MetricError("the jackknife needs the leave-one-out values of at least one side")
    total = sum(variances)
    spread = sum(v * v / d for v, d in zip(variances, degrees, strict=True))
    return t_estimate(corrected, total**0.5, total**2 / spread if spread else min(degrees))


def mean_estimate(values: npt.ArrayLike, groups: npt.ArrayLike | None = None) -> Estimate:
    """Mean of per-clip values (n,) with its t interval.

    Args:
        values: One a clip.
        groups: (n,) label of each clip, such as its prompt; clips of one group are not
            independent, and the error is that of the groups (Liang and Zeger 1986). None means
            that all clips are.

    Raises:
        MetricError: If there are no values or one is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise MetricError(f"expected finite values (n,) with n > 0, got shape {array.shape}")
    mean = float(array.mean())
    deviations = np.bincount(clip_index(len(array), groups), weights=array - mean)
    count = len(deviations)
    if count == 1:
        return Estimate(mean, float("nan"), (float("nan"), float("nan")))
    variance = float(np.square(deviations).sum()) * count / (count - 1)
    return t_estimate(mean, variance**0.5 / len(array), count - 1)


def wilson_interval(successes: int, trials: int) -> Estimate:
    """A share with the Wilson score interval; it stays inside [0, 1] even at 0 of n.

    Args:
        successes: Clips that meet the condition.
        trials: All clips.

    Raises:
        MetricError: If trials is 0 or successes is outside [0, trials].
    """
    if trials <= 0 or not 0 <= successes <= trials:
        raise MetricError(f"{successes} of {trials}: needs 0 <= successes <= trials, trials > 0")
    return _wilson(successes / trials, trials)


def share_estimate(hits: npt.ArrayLike, groups: npt.ArrayLike | None = None) -> Estimate:
    """Share of clips (n,) that meet the condition, with its Wilson interval.

    Args:
        hits: True or false for each clip.
        groups: (n,) label of each clip, such as its prompt. Where groups have several clips, the
            interval is that of as many independent clips as would have the groups' error
            (Korn and Graubard 1998).

    Raises:
        MetricError: If there are no clips.
    """
    array = np.asarray(hits, dtype=np.float64)
    index = clip_index(len(array), groups)
    count = len(np.unique(index))
    if count == len(array):
        return wilson_interval(int(array.sum()), len(array))
    share = float(array.mean())
    if share in (0.0, 1.0) or count == 1:
        return _wilson(share, count)
    variance = mean_estimate(array, index).se ** 2
    return _wilson(share, min(len(array), share * (1 - share) / variance))


def _wilson(share: float, trials: float) -> Estimate:
    shrink = 1 + Z_95**2 / trials
    centre = (share + Z_95**2 / (2 * trials)) / shrink
    half = Z_95 / shrink * (share * (1 - share) / trials + (Z_95 / (2 * trials)) ** 2) ** 0.5
    se = (share * (1 - share) / trials) ** 0.5
    # At 0 and 1 the exact bound is the share itself; rounding would miss it by 1e-17.
    low = centre - half if share > 0 else 0.0
    high = centre + half if share < 1 else 1.0
    return Estimate(share, se, (low, high))


def paired_bootstrap(
    differences: npt.ArrayLike, rng: np.random.Generator, *, draws: int = 10_000
) -> Estimate:
    """Mean of per-prompt differences with a percentile interval.

    Valid for means only: the percentile bootstrap of a Fréchet distance never covers the truth.

    Args:
        differences: (n,) system A minus system B on the same prompts.
        rng: Source of the resamples.
        draws: Number of resamples.
    """
    array = np.asarray(differences, dtype=np.float64)
    mean = mean_estimate(array).value
    counts = rng.multinomial(len(array), np.full(len(array), 1 / len(array)), size=draws)
    means = counts @ array / len(array)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(mean, float(means.std(ddof=1)), (float(low), float(high)))


def paired_permutation(
    differences: npt.ArrayLike, rng: np.random.Generator, *, draws: int = 10_000
) -> float:
    """Two-sided p-value of "the mean difference is zero" by random sign flips.

    The observed arrangement counts as one of the draws, so p is never 0.
    """
    array = np.asarray(differences, dtype=np.float64)
    observed = abs(mean_estimate(array).value)
    signs = rng.choice(np.array([-1.0, 1.0]), size=(draws, len(array)))
    means: Array = np.abs(signs @ array) / len(array)
    # The slack keeps flips that equal the observation up to rounding on its side.
    extreme = int((means >= observed * (1 - 1e-12)).sum())
    return (extreme + 1) / (draws + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the given order.

    Each corrected value is at least the raw one, at most 1, and keeps the order of the raw ones.
    """
    corrected, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = running
    return corrected
