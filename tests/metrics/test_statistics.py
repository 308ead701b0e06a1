"""Intervals and tests: published values, coverage, limits."""

import numpy as np
import pytest

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics import statistics


def test_wilson_matches_published_values():
    estimate = statistics.wilson_interval(47, 1000)
    assert estimate.value == 0.047
    assert estimate.ci95 == pytest.approx((0.0355, 0.0620), abs=1e-4)
    assert statistics.wilson_interval(20, 1000).ci95 == pytest.approx((0.0130, 0.0307), abs=1e-4)


@pytest.mark.parametrize(("hits", "trials"), [(0, 5), (5, 5), (0, 1), (1, 1), (3, 7)])
def test_wilson_stays_inside_the_unit_interval(hits, trials):
    low, high = statistics.wilson_interval(hits, trials).ci95
    assert 0 <= low <= hits / trials <= high <= 1
    assert high - low > 0.05


def test_jackknife_of_a_mean_is_the_textbook_standard_error():
    values = np.random.default_rng(0).standard_normal(50)
    left_out = (values.sum() - values) / 49
    estimate = statistics.jackknife(values.mean(), left_out)
    reference = statistics.mean_estimate(values)
    assert estimate.value == pytest.approx(reference.value)
    assert estimate.se == pytest.approx(reference.se)
    assert estimate.ci95 == pytest.approx(reference.ci95)


def test_jackknife_removes_the_bias_of_a_plug_in_variance():
    values = np.random.default_rng(1).standard_normal(20)
    left_out = [np.delete(values, i).var() for i in range(20)]
    assert statistics.jackknife(values.var(), left_out).value == pytest.approx(values.var(ddof=1))


def test_variances_of_independent_sides_add():
    side = np.array([1.0, 2.0, 3.0, 4.0])
    one = statistics.jackknife(2.5, side)
    two = statistics.jackknife(2.5, side, side)
    assert two.se == pytest.approx(2**0.5 * one.se)


def test_mean_interval_covers_at_its_level():
    rng = np.random.default_rng(2)
    hits = sum(
        low <= 0 <= high
        for low, high in (statistics.mean_estimate(rng.standard_normal(8)).ci95 for _ in range(400))
    )
    assert 0.92 <= hits / 400 <= 0.98


def test_intervals_over_groups_cover_where_those_over_clips_do_not():
    """Ten takes of each of twenty prompts, which share most of their luck."""
    rng = np.random.default_rng(20)
    prompts = np.repeat(np.arange(20), 10)
    hits = {"mean": 0, "share": 0, "naive": 0}
    for _ in range(200):
        values = rng.standard_normal(20)[prompts] + 0.3 * rng.standard_normal(200)
        low, high = statistics.mean_estimate(values, prompts).ci95
        hits["mean"] += low <= 0 <= high
        low, high = statistics.share_estimate(values > 0, prompts).ci95
        hits["share"] += low <= 0.5 <= high
        low, high = statistics.share_estimate(values > 0).ci95
        hits["naive"] += low <= 0.5 <= high
    assert hits["mean"] >= 0.9 * 200
    assert hits["share"] >= 0.9 * 200
    assert hits["naive"] < 0.7 * 200


def test_groups_of_one_change_nothing():
    values = np.random.default_rng(21).standard_normal(30)
    alone = statistics.mean_estimate(values)
    assert statistics.mean_estimate(values, np.arange(30)) == alone
    assert alone.se == pytest.approx(values.std(ddof=1) / 30**0.5)
    assert statistics.share_estimate(values > 0, np.arange(30)) == statistics.wilson_interval(
        int((values > 0).sum()), 30
    )


@pytest.mark.parametrize("hit", [True, False])
def test_unanimous_takes_are_as_many_as_their_prompts(hit):
    estimate = statistics.share_estimate([hit] * 40, np.repeat(np.arange(10), 4))
    assert estimate == statistics.wilson_interval(10 * hit, 10)


def test_one_value_has_a_mean_but_no_interval():
    estimate = statistics.mean_estimate([3.0])
    assert estimate.value == 3
    assert np.isnan(estimate.se)


def test_paired_tests_find_a_real_difference_and_not_a_chance_one():
    rng = np.random.default_rng(3)
    null, real = rng.standard_normal(60), rng.standard_normal(60) + 0.8
    assert statistics.paired_permutation(null, np.random.default_rng(0)) > 0.05
    assert statistics.paired_permutation(real, np.random.default_rng(0)) < 0.001
    low, high = statistics.paired_bootstrap(real, np.random.default_rng(0)).ci95
    assert 0 < low < 0.8 < high
    assert statistics.paired_permutation(np.zeros(10), np.random.default_rng(0)) == 1


def test_permutation_p_values_are_uniform_under_the_null():
    rng = np.random.default_rng(4)
    p = [statistics.paired_permutation(rng.standard_normal(12), rng, draws=200) for _ in range(300)]
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.09


def test_holm_steps_down_and_keeps_the_order():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert statistics.holm([]) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statistics.wilson_interval(2, 1), "0 <= successes <= trials"),
        (lambda: statistics.wilson_interval(0, 0), "trials > 0"),
        (lambda: statistics.jackknife(1.0, [1.0]), "at least 2"),
        (lambda: statistics.jackknife(1.0), "at least one side"),
        (lambda: statistics.mean_estimate([]), "n > 0"),
        (lambda: statistics.mean_estimate([1.0, np.inf]), "finite"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(MetricError, match=message):
        call()
