"""Precision, recall, density, coverage and Vendi: parity with the published packages, limits."""

import numpy as np
import pytest

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics import diversity, manifold


@pytest.mark.parametrize("k", [1, 5])
def test_equals_prdc(k):
    prdc = pytest.importorskip("prdc")
    rng = np.random.default_rng(0)
    ref, gen = rng.standard_normal((130, 6)), 0.8 * rng.standard_normal((90, 6)) + 0.3
    expected = prdc.compute_prdc(real_features=ref, fake_features=gen, nearest_k=k)
    got = {name: estimate.value for name, estimate in manifold.evaluate(gen, ref, k=k).items()}
    assert got == pytest.approx(expected)


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(1)
    gen, ref = rng.standard_normal((2, 50, 3))
    whole = manifold.evaluate(gen, ref)
    monkeypatch.setattr(manifold, "BLOCK_ROWS", 7)
    assert manifold.evaluate(gen, ref) == whole


def test_distant_sets_share_nothing_and_equal_sets_everything():
    points = np.random.default_rng(2).standard_normal((40, 3))
    same, far = manifold.evaluate(points, points), manifold.evaluate(points + 100, points)
    assert same["precision"].value == same["recall"].value == same["coverage"].value == 1
    assert all(estimate.value == 0 for estimate in far.values())


def test_mode_collapse_keeps_precision_and_loses_coverage():
    rng = np.random.default_rng(3)
    ref = rng.standard_normal((200, 4))
    scores = manifold.evaluate(ref[:1] + 0.01 * rng.standard_normal((50, 4)), ref)
    assert scores["precision"].value == 1
    assert scores["coverage"].value < 0.2
    assert scores["recall"].value < 0.1


@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")  # the package's own
def test_vendi_equals_the_published_package():
    vendi_score = pytest.importorskip("vendi_score.vendi")
    rng = np.random.default_rng(4)
    for shape in ((60, 8), (10, 40)):
        x = rng.standard_normal(shape)
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        expected = vendi_score.score_K(unit @ unit.T)
        assert diversity.vendi_score(x) == pytest.approx(expected, rel=1e-10)
        second = vendi_score.score_K(unit @ unit.T, q=2)
        assert diversity.vendi_score(x, order=2) == pytest.approx(second, rel=1e-10)


def test_vendi_counts_copies_once():
    basis = np.eye(7)
    assert diversity.vendi_score(basis) == pytest.approx(7)
    assert diversity.vendi_score(np.repeat(basis, 5, axis=0)) == pytest.approx(7)
    assert diversity.vendi_score(np.ones((30, 4))) == pytest.approx(1)


def test_vendi_reports_an_error_bar_and_order():
    x = np.random.default_rng(5).standard_normal((80, 6))
    scores = diversity.evaluate(x)
    assert list(scores) == ["vendi", "vendi_2"]
    assert scores["vendi"].value == pytest.approx(diversity.vendi_score(x))
    assert 0 < scores["vendi"].se < 1
    assert scores["vendi_2"].value <= scores["vendi"].value


def test_per_prompt_diversity_ignores_other_prompts():
    takes = np.array([[1.0, 0], [0, 1.0], [1.0, 0], [1.0, 0], [1.0, 1.0]])
    got = diversity.per_prompt(takes, ["a", "a", "b", "b", "c"])
    assert got.value == pytest.approx((2 + 1) / 2)


def test_bad_input_is_named():
    with pytest.raises(MetricError, match="needs at least 6"):
        manifold.evaluate(np.ones((5, 2)), np.ones((9, 2)))
    with pytest.raises(MetricError, match="k is 0"):
        manifold.evaluate(np.ones((5, 2)), np.ones((9, 2)), k=0)
    with pytest.raises(MetricError, match="no prompt has two takes"):
        diversity.per_prompt(np.ones((2, 2)), ["a", "b"])
    with pytest.raises(MetricError, match="1 clip has no error bar"):
        diversity.vendi(np.ones((1, 2)))
