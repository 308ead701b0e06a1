"""Inception score and KL: scipy, bounds, limits, leave-one-out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from scipy.stats import entropy

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics import divergence


def test_softmax_kl_equals_scipy_in_both_directions():
    rng = np.random.default_rng(0)
    a, b = 3 * rng.standard_normal((7, 5)), rng.standard_normal((7, 5))
    p, q = softmax(a, axis=1), softmax(b, axis=1)
    np.testing.assert_allclose(divergence.softmax_kl(a, b), entropy(p, q, axis=1))
    scores = divergence.evaluate(gen=a, ref=b)
    assert scores["kl_ref_gen"].value == pytest.approx(entropy(q, p, axis=1).mean())
    assert scores["kl_gen_ref"].value == pytest.approx(entropy(p, q, axis=1).mean())


def test_bernoulli_kl_holds_both_halves():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((4, 6)), rng.standard_normal((4, 6))
    p, q = expit(a), expit(b)
    both = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).sum(axis=1)
    np.testing.assert_allclose(divergence.bernoulli_kl(a, b), both)


@pytest.mark.parametrize("function", [divergence.softmax_kl, divergence.bernoulli_kl])
def test_extreme_logits_stay_finite(function):
    a, b = np.array([[1e4, -1e4, 0.0]]), np.array([[-1e4, 1e4, 0.0]])
    assert np.isfinite(function(a, b)).all()
    assert function(a, a) == pytest.approx([0], abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 30), st.integers(2, 12), st.floats(0, 30))
def test_divergences_are_never_negative_and_is_has_bounds(seed, rows, classes, sharpness):
    rng = np.random.default_rng(seed)
    a, b = sharpness * rng.standard_normal((2, rows, classes))
    assert (divergence.softmax_kl(a, b) > -1e-9).all()
    assert (divergence.bernoulli_kl(a, b) > -1e-9).all()
    plain, spread = divergence.split_inception_score(a, splits=1)
    assert 1 - 1e-9 <= plain <= classes + 1e-9
    assert spread == 0


def test_inception_score_of_one_hot_classes_is_their_number():
    logits = 1e3 * np.eye(6)[np.arange(60) % 6]
    assert divergence.split_inception_score(logits, splits=1)[0] == pytest.approx(6)
    assert divergence.inception_score(np.zeros((9, 4))).value == pytest.approx(1)


def test_left_out_scores_equal_recomputing():
    logits = 2 * np.random.default_rng(2).standard_normal((12, 4))
    plain = divergence.split_inception_score(logits, splits=1)[0]
    left = [
        divergence.split_inception_score(np.delete(logits, i, 0), splits=1)[0] for i in range(12)
    ]
    got = divergence.inception_score(logits)
    assert got.value == pytest.approx(12 * plain - 11 * np.mean(left))
    assert got.se == pytest.approx((11 * np.var(left)) ** 0.5)


def test_correction_removes_the_dependence_on_n():
    rng = np.random.default_rng(3)

    def draw(n):
        return 3 * np.eye(10)[rng.integers(10, size=n)] + rng.standard_normal((n, 10))

    truth = divergence.split_inception_score(draw(20_000), splits=1)[0]
    runs = [draw(80) for _ in range(200)]
    small = [divergence.inception_score(run).value for run in runs]
    plain = [divergence.split_inception_score(run, splits=1)[0] for run in runs]
    assert abs(np.mean(small) - truth) < 0.5 * abs(np.mean(plain) - truth)


def test_splits_follow_the_published_permutation():
    logits = np.random.default_rng(4).standard_normal((25, 6))
    p = softmax(logits, axis=1)[np.random.RandomState(2020).permutation(25)]
    chunks = [p[i * 25 // 10 : (i + 1) * 25 // 10] for i in range(10)]
    scores = [np.exp(entropy(c, c.mean(axis=0, keepdims=True), axis=1).mean()) for c in chunks]
    assert divergence.split_inception_score(logits) == pytest.approx(
        (np.mean(scores), np.std(scores)), rel=1e-12
    )


def test_epsilon_form_differs_from_the_exact_one_only_by_its_epsilon():
    rng = np.random.default_rng(5)
    a, b = 4 * rng.standard_normal((2, 5, 8))
    p, q = softmax(a, axis=1), softmax(b, axis=1)
    tiny = divergence.epsilon_kl(p, q, 1e-15)
    np.testing.assert_allclose(tiny, divergence.softmax_kl(a, b), rtol=1e-6)
    assert (divergence.epsilon_kl(p, q, 1e-2) < tiny).all()


def test_bad_input_is_named():
    with pytest.raises(MetricError, match="--is-splits is 0, must be at least 1"):
        divergence.split_inception_score(np.ones((3, 2)), splits=0)
    with pytest.raises(MetricError, match="same id"):
        divergence.evaluate(np.zeros((3, 2)), np.zeros((4, 2)))
    with pytest.raises(MetricError, match="3 clips cannot fill 10 splits"):
        divergence.split_inception_score(np.zeros((3, 2)))
