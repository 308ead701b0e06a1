"""What a classifier hears: inception score and paired Kullback-Leibler divergence.

Goal: are the generated clips clear and varied (IS), and does each contain what its reference
contains (KL)?

Conventions: logits (n, C) of one classifier, in natural-log units; row i of both sets belongs
to the same id. Softmax treats the C classes as exclusive; Bernoulli treats each as a yes/no of
its own, which is what AudioSet's labels are. No epsilon: everything stays in log space. Both
directions of the KL are returned because published "KL" columns differ in it.

Metrics:
    inception_score    exp E KL(p(y|x) ‖ p(y)) (Salimans et al. 2016), between 1 and C
    softmax_kl         per-pair KL of categorical distributions, in nats
    bernoulli_kl       per-pair KL summed over independent labels, in nats
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_softmax, logsumexp

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics.checks import Array, clip_index, matrix, same_length, same_width
from musicgen_ldm.metrics.statistics import Estimate, jackknife, mean_estimate


def validate(gen: npt.ArrayLike, ref: npt.ArrayLike) -> tuple[Array, Array]:
    """Paired logits as finite float64 matrices.

    Raises:
        MetricError: If shapes differ or a value is not finite.
    """
    gen, ref = matrix("gen logits", gen), matrix("ref logits", ref)
    same_width("gen logits", gen, "ref logits", ref)
    same_length("gen logits", gen, "ref logits", ref)
    return gen, ref


def _log_inception(log_p: Array) -> float:
    marginal = logsumexp(log_p, axis=0) - np.log(len(log_p))
    return float((np.exp(log_p) * (log_p - marginal)).sum(axis=1).mean())


def inception_score(logits: npt.ArrayLike, prompts: npt.ArrayLike | None = None) -> Estimate:
    """Inception score over all clips, with the leave-one-prompt-out jackknife.

    The plain score is biased low by the finite marginal; the value is corrected for it. Leaving
    a prompt out is O(C): the mean KL is the mean negative entropy plus the marginal's entropy.

    Args:
        logits: (n, C), n at least 3.
        prompts: (n,) label of each clip's prompt, where several takes share one.

    Raises:
        MetricError: If all clips are of one prompt.
    """
    log_p = log_softmax(matrix("logits", logits, min_rows=3), axis=1)
    p, n = np.exp(log_p), len(log_p)
    negentropy, index = (p * log_p).sum(axis=1), clip_index(n, prompts)
    left = (n - np.bincount(index)).astype(np.float64)
    if not left.all():
        raise MetricError("the inception score of 1 prompt has no error bar; add prompts")
    heard = np.zeros((len(left), p.shape[1]))
    np.add.at(heard, index, p)
    marginals = (p.sum(axis=0) - heard) / left[:, None]
    safe = np.clip(marginals, np.finfo(np.float64).tiny, None)  # 0 log 0 = 0
    negentropies = (negentropy.sum() - np.bincount(index, weights=negentropy)) / left
    left_out = negentropies - (marginals * np.log(safe)).sum(axis=1)
    return jackknife(float(np.exp(_log_inception(log_p))), np.exp(left_out))


def split_inception_score(
    logits: npt.ArrayLike, *, splits: int = 10, shuffle_seed: int = 2020
) -> tuple[float, float]:
    """Mean and standard deviation over shuffled splits, as audioldm_eval prints them.

    It grows with the split size, so compare it only at equal n and splits.

    Args:
        logits: (n, C).
        splits: Number of equal parts.
        shuffle_seed: Of numpy's legacy `RandomState`, whose permutation the published numbers
            used.

    Raises:
        MetricError: If there are fewer clips than splits, or fewer splits than one.
    """
    array = matrix("logits", logits)
    if splits < 1:
        raise MetricError(f"--is-splits is {splits}, must be at least 1")
    if len(array) < splits:
        raise MetricError(f"{len(array)} clips cannot fill {splits} splits; use --is-splits 1")
    order = np.random.RandomState(shuffle_seed).permutation(len(array))
    log_p = log_softmax(array[order], axis=1)
    bounds = [i * len(array) // splits for i in range(splits + 1)]
    scores = [np.exp(_log_inception(log_p[a:b])) for a, b in pairwise(bounds)]
    return float(np.mean(scores)), float(np.std(scores))


def softmax_kl(p_logits: npt.ArrayLike, q_logits: npt.ArrayLike) -> Array:
    """KL(p ‖ q) of each pair of rows, (n,) nats, at least 0 up to rounding.

    Args:
        p_logits: (n, C) of the first argument.
        q_logits: (n, C) of the second.
    """
    p, q = validate(p_logits, q_logits)
    log_p, log_q = log_softmax(p, axis=1), log_softmax(q, axis=1)
    divergence: Array = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)
    return divergence


def bernoulli_kl(p_logits: npt.ArrayLike, q_logits: npt.ArrayLike) -> Array:
    """KL(p ‖ q) of independent yes/no labels, summed over the C labels, (n,) nats.

    With softplus(x) = log(1 + eˣ): σ(a)(a - b) + softplus(b) - softplus(a), which holds both the
    p and the 1 - p half and never overflows.
    """
    a, b = validate(p_logits, q_logits)
    divergence: Array = (
        expit(a) * (a - b) + np.logaddexp(0, b) - np.logaddexp(0, a)
    ).sum(axis=1)  # fmt: skip
    return divergence


def epsilon_kl(p: npt.ArrayLike, q: npt.ArrayLike, epsilon: float) -> Array:
    """Σ p (log p - log(q + ε)) of each pair of rows of *probabilities*, as older tools print it.

    On sigmoid outputs this leaves out the (1 - p) half of the Bernoulli divergence; it exists to
    match published tables only.
    """
    first, second = validate(p, q)
    safe = np.clip(first, np.finfo(np.float64).tiny, None)
    divergence: Array = (first * (np.log(safe) - np.log(second + epsilon))).sum(axis=1)
    return divergence


def evaluate(gen: npt.ArrayLike, ref: npt.ArrayLike) -> dict[str, Estimate]:
    """All metrics of this module on paired logits (n, C).

    Returns:
        is, kl_ref_gen, kl_gen_ref, bernoulli_ref_gen, bernoulli_gen_ref, in this order; KL(ref ‖
        gen) is the direction of audioldm_eval and audiocraft.
    """
    gen, ref = validate(gen, ref)
    return {
        "is": inception_score(gen),
        "kl_ref_gen": mean_estimate(softmax_kl(ref, gen)),
        "kl_gen_ref": mean_estimate(softmax_kl(gen, ref)),
        "bernoulli_ref_gen": mean_estimate(bernoulli_kl(ref, gen)),
        "bernoulli_gen_ref": mean_estimate(bernoulli_kl(gen, ref)),
    }
