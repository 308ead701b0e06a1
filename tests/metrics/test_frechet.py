"""Fréchet distance: closed forms, invariances, unbiasedness, agreement of its forms."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics import frechet
from musicgen_ldm.metrics.moments import (
    GroupedMoments,
    Moments,
    clip_groups,
    exact_moments,
    load_moments,
    save_moments,
)
from musicgen_ldm.metrics.presets import V1
from musicgen_ldm.metrics.scoring import Embedded, score_frechet


def random_covariance(rng, dim, condition):
    basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    return (basis * np.geomspace(1, 1 / condition, dim)) @ basis.T


@pytest.mark.parametrize("condition", [1e1, 1e6, 1e10])
@pytest.mark.parametrize("scale", [1 + 1e-3, 1.1, 3.0])
def test_scaled_covariance_and_shifted_mean_have_a_closed_form(condition, scale):
    rng = np.random.default_rng(0)
    cov, shift = random_covariance(rng, 48, condition), rng.standard_normal(48)
    got = frechet.frechet_distance(np.zeros(48), cov, shift, scale**2 * cov)
    assert got == pytest.approx(shift @ shift + (scale - 1) ** 2 * np.trace(cov), rel=1e-9)
    alone = frechet.frechet_distance(shift, cov, shift, scale**2 * cov)
    assert alone == pytest.approx((scale - 1) ** 2 * np.trace(cov), rel=1e-6)


@pytest.mark.parametrize("condition", [1e2, 1e10])
def test_distance_to_itself_is_zero_and_never_negative(condition):
    cov = random_covariance(np.random.default_rng(1), 64, condition)
    assert 0 <= frechet.frechet_distance(np.ones(64), cov, np.ones(64), cov) < 1e-20


def test_agrees_with_the_matrix_square_root():
    rng = np.random.default_rng(2)
    a, b = random_covariance(rng, 20, 50), random_covariance(rng, 20, 80)
    textbook = np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)
    assert frechet.frechet_distance(np.zeros(20), a, np.zeros(20), b) == pytest.approx(textbook)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(2, 40))
def test_invariant_to_rotation_translation_and_exchange(seed, dim, rows):
    rng = np.random.default_rng(seed)
    gen, ref = rng.standard_normal((rows, dim)), 2 * rng.standard_normal((rows + 3, dim)) + 1
    turn = np.linalg.qr(rng.standard_normal((dim, dim)))[0]

    def plain(x, y):
        return frechet.distance(GroupedMoments.of(x), GroupedMoments.of(y))

    assert plain(gen, ref) == pytest.approx(plain(ref, gen), abs=1e-9)
    assert plain(gen @ turn + 5, ref @ turn + 5) == pytest.approx(plain(gen, ref), abs=1e-5)
    assert 0 <= plain(gen, gen[::-1]) < 1e-12


def test_fast_form_equals_the_headline_form():
    rng = np.random.default_rng(3)
    gen = GroupedMoments.of(rng.standard_normal((300, 16)), num_groups=5)
    ref = GroupedMoments.of(rng.standard_normal((200, 16)) * 1.5, num_groups=4)
    gen_side, ref_side = frechet.left_out_distances(gen, ref)
    assert gen_side.shape == (5,)
    assert ref_side.shape == (4,)
    left = gen.leave_one_out()[2]
    direct = frechet.frechet_distance(left.mean, left.covariance,
                                      ref.total.mean, ref.total.covariance)  # fmt: skip
    assert gen_side[2] == pytest.approx(direct, rel=1e-9)


def test_jackknife_removes_the_bias_that_the_plain_distance_has():
    rng = np.random.default_rng(4)
    exact = exact_moments(np.zeros(64), np.eye(64))
    runs = [GroupedMoments.of(rng.standard_normal((500, 64)), seed=s) for s in range(12)]
    plain = np.array([frechet.distance(run, exact) for run in runs])
    corrected = [frechet.frechet_jackknife(run, exact) for run in runs]
    values = np.array([c.value for c in corrected])
    assert plain.min() > 1.5
    assert abs(values.mean()) < 3 * values.std(ddof=1) / len(runs) ** 0.5 + 0.05
    assert all(abs(c.value) < 3 * c.se for c in corrected)


def test_frames_of_a_clip_are_not_samples():
    """Ten near-copies a clip: leaving out clips corrects, leaving out frames does not."""
    rng = np.random.default_rng(5)
    clips = np.repeat(np.arange(200), 10)
    frames = rng.standard_normal((200, 16))[clips] + 0.05 * rng.standard_normal((2000, 16))
    exact = exact_moments(np.zeros(16), (1 + 0.05**2) * np.eye(16))
    by_clip = frechet.frechet_jackknife(GroupedMoments.of(frames, clips), exact)
    by_frame = frechet.frechet_jackknife(GroupedMoments.of(frames), exact)
    assert abs(by_clip.value) < 3 * by_clip.se
    assert by_frame.value > 3 * by_frame.se
    assert by_frame.value > 5 * abs(by_clip.value)


def test_interval_covers_the_truth_of_two_finite_sets():
    rng = np.random.default_rng(6)
    hits = 0
    for seed in range(20):
        gen, ref = rng.standard_normal((400, 12)) * 1.3 + 0.2, rng.standard_normal((400, 12))
        estimate = frechet.frechet_jackknife(
            GroupedMoments.of(gen, seed=seed), GroupedMoments.of(ref, seed=seed)
        )
        hits += estimate.ci95[0] <= 12 * (0.3**2 + 0.2**2) <= estimate.ci95[1]
    assert hits >= 16


def test_infinity_without_replacement_removes_the_bias_and_with_it_does_not():
    rng = np.random.default_rng(7)
    frames, exact = rng.standard_normal((600, 24)), exact_moments(np.zeros(24), np.eye(24))
    plain = frechet.distance(GroupedMoments.of(frames), exact)
    ours = frechet.frechet_infinity(frames, None, exact, rng)
    theirs = frechet.frechet_infinity(frames, None, exact, rng, replacement=True)
    assert abs(ours.value) < 0.25 * plain
    assert theirs.value > 0.7 * plain
    assert ours.r_squared > 0.9
    assert len(ours.distances) == len(ours.inverse_sizes)


def test_the_interval_of_infinity_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(70)
    hits, errors, found = 0, [], []
    for seed in range(20):
        gen, ref = rng.standard_normal((300, 6)) * 1.3 + 0.2, rng.standard_normal((300, 6))
        gen_stats = GroupedMoments.of(gen, seed=seed)
        ref_stats = GroupedMoments.of(ref, seed=seed)
        line = frechet.frechet_infinity(gen, None, ref_stats, rng)
        sides = frechet.left_out_distances(gen_stats, ref_stats)
        estimate = frechet.infinity_estimate(line, *sides)
        # Only the generated side is extrapolated; of the reference the bias of 300 clips is left.
        truth = 6 * (0.3**2 + 0.2**2)
        hits += estimate.ci95[0] <= truth <= estimate.ci95[1]
        errors.append(estimate.se)
        found.append(line.value)
    assert hits >= 16
    assert 0.6 < np.mean(errors) / np.std(found) < 1.7


def test_influence_predicts_what_leaving_a_clip_out_does():
    rng = np.random.default_rng(8)
    clips = np.repeat(np.arange(400), 3)
    frames = 1.2 * rng.standard_normal((1200, 8)) + (clips == 7)[:, None] * 2.0
    ref = exact_moments(np.zeros(8), np.eye(8))
    values = frechet.influence(frames, ref, clips)
    full = frechet.distance(GroupedMoments.of(frames), ref)
    measured = [
        full - frechet.distance(GroupedMoments.of(frames[clips != c]), ref) for c in range(0, 60)
    ]
    assert values.argmax() == 7
    assert np.corrcoef(values[:60], measured)[0, 1] > 0.99
    assert values[7] == pytest.approx(measured[7], rel=0.1)


def test_influence_spread_agrees_with_the_jackknife_error():
    rng = np.random.default_rng(9)
    frames = 1.4 * rng.standard_normal((2000, 10)) + 0.3
    ref = exact_moments(np.zeros(10), np.eye(10))
    spread = frechet.influence(frames, ref).std() * len(frames) ** 0.5
    assert spread == pytest.approx(
        frechet.frechet_jackknife(GroupedMoments.of(frames), ref).se, rel=0.4
    )


def test_evaluate_is_deterministic_and_ordered():
    rng = np.random.default_rng(10)
    gen, ref = rng.standard_normal((40, 4)), rng.standard_normal((50, 4))
    first, second = frechet.evaluate(gen, ref), frechet.evaluate(gen, ref)
    assert list(first) == ["frechet", "plain", "infinity"]
    assert first == second


def test_bad_input_is_named():
    good = np.zeros((4, 3))
    with pytest.raises(MetricError, match="ref D=2"):
        frechet.validate(good, np.zeros((4, 2)))
    with pytest.raises(MetricError, match="gen row 1 holds NaN"):
        frechet.validate([[0.0], [np.nan]], [[0.0], [1.0]])
    with pytest.raises(MetricError, match="gen has 1 row"):
        frechet.validate(good[:1], good)
    with pytest.raises(MetricError, match="one a frame"):
        GroupedMoments.of(good, clips=[1, 2])
    with pytest.raises(MetricError, match="at least 8"):
        frechet.frechet_infinity(good, None, exact_moments(np.zeros(3), np.eye(3)),
                                 np.random.default_rng(0))  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 20), min_size=2, max_size=6))
def test_merging_shards_in_any_order_equals_one_pass(seed, sizes):
    rng = np.random.default_rng(seed)
    shards = [1e3 + rng.standard_normal((size, 5)) for size in [3, *sizes]]
    whole = Moments.of(np.concatenate(shards))
    parts = [Moments.of(shards[i]) for i in rng.permutation(len(shards))]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merged(part)
    assert merged.count == whole.count
    np.testing.assert_allclose(merged.covariance, whole.covariance, rtol=1e-7, atol=1e-9)
    rest = whole.without(parts[0])
    np.testing.assert_allclose(rest.merged(parts[0]).scatter, whole.scatter, rtol=1e-6, atol=1e-6)


def test_effective_rank_counts_directions():
    rng = np.random.default_rng(11)
    flat = rng.standard_normal((4000, 3)) @ np.eye(3, 12)
    assert Moments.of(flat).effective_rank == pytest.approx(3, abs=0.02)


def test_groups_are_equal_and_repeatable():
    groups = clip_groups(100, 30, seed=1)
    assert set(np.bincount(groups)) == {3, 4}
    np.testing.assert_array_equal(groups, clip_groups(100, 30, seed=1))
    assert set(clip_groups(3, 30, seed=0)) == {0, 1, 2}


def test_statistics_files_round_trip_and_foreign_layouts(tmp_path):
    rng = np.random.default_rng(12)
    frames = rng.standard_normal((50, 4))
    moments = GroupedMoments.of(frames)
    save_moments(tmp_path / "own.npz", moments, embedder="logmel", identity="a1")
    again = load_moments(tmp_path / "own.npz", "logmel", "a1")
    assert again.num_clips == 50
    np.testing.assert_array_equal(again.total.scatter, moments.total.scatter)
    mean, cov = frames.mean(axis=0), np.cov(frames.T)
    np.savez(tmp_path / "fadtk.npz", **{"logmel.mu": mean, "logmel.cov": cov})
    np.savez(tmp_path / "sam.npz", mu_ref=mean, sigma_ref=cov)
    for name in ("fadtk", "sam"):
        foreign = load_moments(tmp_path / f"{name}.npz", "logmel", "a1")
        assert frechet.distance(foreign, moments) < 1e-12
        assert foreign.leave_one_out() == []
    with pytest.raises(MetricError, match="statistics of logmel, not of clap"):
        load_moments(tmp_path / "own.npz", "clap", "a1")
    with pytest.raises(MetricError, match=r"with other weights or another preset \(a1, now b2\)"):
        load_moments(tmp_path / "own.npz", "logmel", "b2")
    with pytest.raises(MetricError, match=r"expected counts/means/scatters"):
        load_moments(tmp_path / "fadtk.npz", "clap", "a1")
    with pytest.raises(MetricError, match=r"none.npz: no readable statistics"):
        load_moments(tmp_path / "none.npz", "clap", "a1")


def test_takes_of_one_prompt_are_one_group():
    """Ten takes of each of sixty prompts share their luck; the truth is a distance of zero."""
    covered, values = 0, []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        luck = np.repeat(rng.standard_normal((60, 4)), 10, axis=0)
        frames = luck + 0.1 * rng.standard_normal((600, 4))
        ids = [f"p{clip // 10:02d}-take{clip % 10}" for clip in range(600)]
        gen = Embedded(
            ids, [name.split("-")[0] for name in ids], frames, np.arange(600), frames, None,
            np.arange(0),
        )  # fmt: skip
        real = rng.standard_normal((4_000, 4)) * np.sqrt(1 + 0.1**2)
        ref = GroupedMoments.of(real, np.arange(4_000), seed=0)
        found, influence = score_frechet(gen, ref, V1, seed=0)
        low, high = found["fad"].ci95
        covered += low <= 0 <= high
        values.append(found["fad"].value)
    assert covered >= 17
    assert abs(np.mean(values)) < 0.05
    assert found["fad"].n_gen == 600
    assert len(influence) == 600
