"""Kernel distances: brute force, unbiasedness, invariance to order and blocks."""

import numpy as np
import pytest

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics import kernel


def brute_force(gen, ref, function, gen_clips, ref_clips):
    def mean(x, y, allowed):
        values = [function(a, b) for i, a in enumerate(x) for j, b in enumerate(y) if allowed(i, j)]
        return np.mean(values)

    return (
        mean(gen, gen, lambda i, j: gen_clips[i] != gen_clips[j])
        + mean(ref, ref, lambda i, j: ref_clips[i] != ref_clips[j])
        - 2 * mean(gen, ref, lambda i, j: True)
    )


@pytest.fixture
def sets():
    rng = np.random.default_rng(0)
    gen, ref = rng.standard_normal((15, 4)), rng.standard_normal((18, 4)) + 0.5
    return gen, ref, np.arange(15) // 3, np.arange(18) // 2


def test_equals_the_double_sum_over_pairs_of_different_clips(sets):
    gen, ref, gen_clips, ref_clips = sets
    expected = brute_force(
        gen, ref, lambda a, b: np.exp(-((a - b) ** 2).sum() / (2 * 1.7**2)), gen_clips, ref_clips
    )
    got = kernel.kad(gen, ref, 1.7, gen_clips=gen_clips, ref_clips=ref_clips)
    assert got.value == pytest.approx(100 * expected)
    cubic = brute_force(gen, ref, lambda a, b: (a @ b / 4 + 1) ** 3, gen_clips, ref_clips)
    got = kernel.kid(gen, ref, gen_clips=gen_clips, ref_clips=ref_clips)
    assert got.value == pytest.approx(100 * cubic)


def test_left_out_values_equal_recomputing_without_the_clip(sets):
    gen, ref, gen_clips, ref_clips = sets
    bandwidth = 2.0

    def plain(keep_gen, keep_ref):
        return kernel.kad(
            gen[keep_gen], ref[keep_ref], bandwidth,
            gen_clips=gen_clips[keep_gen], ref_clips=ref_clips[keep_ref],
        ).value  # fmt: skip

    every_gen, every_ref = np.full(15, True), np.full(18, True)
    sides = [
        [plain(gen_clips != c, every_ref) for c in range(5)],
        [plain(every_gen, ref_clips != c) for c in range(9)],
    ]
    variance = sum((len(s) - 1) * np.var(s) for s in sides)
    got = kernel.kad(gen, ref, bandwidth, gen_clips=gen_clips, ref_clips=ref_clips)
    assert got.se == pytest.approx(variance**0.5)


def test_unbiased_under_the_null_and_its_error_is_the_spread():
    rng = np.random.default_rng(1)
    runs = [
        kernel.evaluate(rng.standard_normal((60, 5)), rng.standard_normal((80, 5)))["kad"]
        for _ in range(60)
    ]
    values = np.array([run.value for run in runs])
    assert abs(values.mean()) < 3 * values.std(ddof=1) / len(values) ** 0.5
    assert values.min() < 0 < values.max()
    assert np.mean([run.se for run in runs]) == pytest.approx(values.std(), rel=0.5)


def test_block_size_and_order_do_not_matter(sets, monkeypatch):
    gen, ref, gen_clips, _ = sets
    whole = kernel.kad(gen, ref, 1.0, gen_clips=gen_clips)
    monkeypatch.setattr(kernel, "BLOCK_ROWS", 4)
    order = np.random.default_rng(2).permutation(15)
    blocked = kernel.kad(gen[order], ref[::-1], 1.0, gen_clips=gen_clips[order])
    assert blocked.value == pytest.approx(whole.value, abs=1e-12)
    assert blocked.se == pytest.approx(whole.se)


def test_bandwidth_is_the_reference_median_distance():
    rng = np.random.default_rng(3)
    ref = rng.standard_normal((40, 3))
    distances = np.linalg.norm(ref[:, None] - ref, axis=2)[np.triu_indices(40, 1)]
    assert kernel.median_bandwidth(ref, rng) == np.median(distances)
    sampled = kernel.median_bandwidth(rng.standard_normal((3000, 3)), np.random.default_rng(0))
    assert sampled == pytest.approx(np.median(distances), rel=0.15)
    again = kernel.median_bandwidth(ref, np.random.default_rng(9), pairs=50)
    assert again == kernel.median_bandwidth(ref, np.random.default_rng(9), pairs=50)


def test_grows_with_the_shift_between_the_sets():
    rng = np.random.default_rng(4)
    gen, ref = rng.standard_normal((100, 4)), rng.standard_normal((100, 4))
    values = [kernel.evaluate(gen + shift, ref)["kad"].value for shift in (0, 0.5, 1, 2)]
    assert values == sorted(values)


def test_bad_input_is_named():
    with pytest.raises(MetricError, match="gen has 2 clip"):
        kernel.kid(np.ones((2, 3)), np.ones((5, 3)))
    with pytest.raises(MetricError, match="duplicates"):
        kernel.median_bandwidth(np.ones((5, 3)), np.random.default_rng(0))
