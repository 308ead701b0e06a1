"""Comparing runs: which test is used, what it finds, what an expression decides."""

import json
import shutil

import numpy as np
import pytest

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics import compare
from musicgen_ldm.metrics.moments import GroupedMoments
from musicgen_ldm.metrics.presets import get_preset
from musicgen_ldm.metrics.results import result, write_results, write_table
from musicgen_ldm.metrics.scoring import Embedded, score_frechet
from musicgen_ldm.metrics.statistics import mean_estimate

IDS = [f"c{i:03d}" for i in range(200)]


def embedded(frames):
    rows = np.arange(len(frames))
    return Embedded(IDS, IDS, frames, rows, frames, None, rows)


def write_run(folder, gen, ref, clap, seed=0):
    """A run as `evaluate` writes it, from embeddings and text scores."""
    folder.mkdir()
    metrics, _ = score_frechet(embedded(gen), GroupedMoments.of(ref), get_preset("v1"), 0)
    size = {"n_gen": len(IDS)}
    named = {
        "fad.clap-x.v1": metrics["fad"],
        "clap.clap-x.v1": result(mean_estimate(clap), **size),
        "vendi.clap-x.v1": result(mean_estimate(clap + 10), **size),
        "clap_ceiling.clap-x.v1": result(mean_estimate(clap + 1), n_ref=len(IDS)),
    }
    write_table(folder / "per_clip.csv",
                [{"id": i, "clap.clap-x": v} for i, v in zip(IDS, clap, strict=True)])  # fmt: skip
    summary = {"n_gen": len(IDS), "seed": seed, "embedders": {}, "warnings": []}
    write_results(folder, named, {}, kind="evaluation", summary=summary)
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    ref, gen = rng.standard_normal((200, 6)), rng.standard_normal((200, 6))
    prompt = rng.standard_normal(200)  # some prompts are harder for every system
    clap = 0.3 + 0.1 * prompt
    return [
        write_run(tmp_path / "base", gen, ref, clap),
        write_run(tmp_path / "same", gen + 0.01 * rng.standard_normal((200, 6)), ref,
                  clap + 0.01 * rng.standard_normal(200)),
        write_run(tmp_path / "worse", gen * 1.3 + 0.2, ref,
                  clap - 0.01 + 0.01 * rng.standard_normal(200)),
    ]  # fmt: skip


@pytest.fixture
def runs(written, tmp_path):
    """Base, same and worse, to be changed at will."""
    return [shutil.copytree(run, tmp_path / run.name) for run in written]


def by_name(found):
    return {(d.run, d.metric.split(".")[0]): d for d in found}


def test_pairing_finds_what_independent_intervals_hide(runs):
    found = by_name(compare.compare(runs))
    clap = found["worse", "clap"]
    assert clap.method == "paired"
    assert clap.num_pairs == 200
    assert clap.difference.ci95[1] < 0
    assert clap.p_holm < 0.01
    independent = found["worse", "vendi"]
    assert independent.method == "independent"
    assert independent.difference.ci95[0] < 0 < independent.difference.ci95[1]
    assert found["same", "clap"].p_holm > 0.05


def test_joint_jackknife_cancels_what_the_runs_share(runs):
    found = by_name(compare.compare(runs))
    same, worse = found["same", "fad"], found["worse", "fad"]
    assert same.method == worse.method == "joint jackknife"
    separate = json.loads((runs[0] / "results.json").read_text())
    se = separate["metrics"]["fad.clap-x.v1"]["se"]
    assert same.difference.se < 0.2 * se
    assert same.p_holm > 0.05
    truth = 6 * (0.3**2 + 0.2**2)
    low, high = worse.difference.ci95
    assert low < truth < high
    assert worse.p_holm < 1e-4


def test_other_seeds_have_other_groups_and_fall_back(runs, tmp_path):
    rng = np.random.default_rng(1)
    other = write_run(tmp_path / "seed1", rng.standard_normal((200, 6)),
                      rng.standard_normal((200, 6)), np.full(200, 0.3), seed=1)  # fmt: skip
    assert by_name(compare.compare([runs[0], other]))["seed1", "fad"].method == "independent"


def test_p_values_are_corrected_together(runs):
    found = compare.compare(runs)
    assert all(d.p_holm >= d.p_value for d in found)
    assert max(d.p_holm for d in found) <= 1


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("fad.clap-x.v1 > base+2se", ["worse"]),
        ("fad.clap-x.v1>base", ["same", "worse"]),
        ("fad.clap-x.v1 > base + 0.1", ["worse"]),
        ("fad.clap-x.v1 > base + 99", []),
        ("clap.clap-x.v1 < base - 3se", ["worse"]),
        ("clap.clap-x.v1 >= base-1", ["same", "worse"]),
    ],
)
def test_expressions(runs, expression, holds):
    found = compare.compare(runs)
    expected = [d.run for d in found if d.metric.startswith(expression[:4]) and d.run in holds]
    named = [text.split("(")[1].split(":")[0] for text in compare.failures(found, [expression])]
    if expression == "fad.clap-x.v1>base":
        expected = [d.run for d in found if d.metric.startswith("fad") and d.difference.value > 0]
    assert named == expected


def test_table_and_json(runs):
    found = compare.compare(runs)
    assert len(compare.table(found).splitlines()) == 1 + len(found)
    assert json.loads(json.dumps(compare.to_json(found)))[0]["metric"] == found[0].metric


def test_bad_input_is_named(runs, tmp_path):
    found = compare.compare(runs)
    with pytest.raises(MetricError, match="write METRIC > base"):
        compare.failures(found, ["fad ~ 3"])
    with pytest.raises(MetricError, match=r"fad.other was not compared; there are clap\.clap-x"):
        compare.failures(found, ["fad.other > base"])
    with pytest.raises(MetricError, match="needs two runs"):
        compare.compare(runs[:1])
    with pytest.raises(MetricError, match=r"holds no results\.json"):
        compare.compare([runs[0], tmp_path])


def rewritten(folder, **facts):
    """The run with other facts in its summary."""
    path = folder / "results.json"
    record = json.loads(path.read_text())
    record["summary"] |= facts
    path.write_text(json.dumps(record))
    return folder


def test_a_run_does_not_differ_from_itself(runs):
    for found in compare.compare([runs[0], runs[0]]):
        assert found.difference.value == pytest.approx(0, abs=1e-12)
        assert found.p_value == 1


def test_other_weights_or_another_reference_are_refused(runs):
    for run, digest in zip(runs, "aab", strict=True):
        rewritten(run, embedders={"clap-x": {"identity": digest, "dim": 6}}, ref_sha256="r")
    assert compare.compare(runs[:2])
    with pytest.raises(MetricError, match=r"worse: clap-x has other weights \(b\) than in base"):
        compare.compare(runs)
    rewritten(runs[1], ref_sha256="s")
    with pytest.raises(MetricError, match="measure both with the same --ref"):
        compare.compare(runs[:2])


def test_ceilings_are_no_comparisons(runs):
    """A number that no system moves must not cost the others power."""
    assert {d.metric for d in compare.compare(runs)} == {
        "fad.clap-x.v1", "clap.clap-x.v1", "vendi.clap-x.v1",
    }  # fmt: skip


def test_whatever_is_in_the_table_of_clips_is_paired(runs):
    for run, shift in zip(runs[:2], (0, 1), strict=True):
        record = json.loads((run / "results.json").read_text())
        record["metrics"]["loudness_lufs.v1"] = record["metrics"]["clap.clap-x.v1"]
        (run / "results.json").write_text(json.dumps(record))
        levels = [-20.0 + i % 7 + shift for i in range(199)] + [-np.inf]  # the last is silent
        rows = [{"id": i, "loudness_lufs": v} for i, v in zip(IDS, levels, strict=True)]
        write_table(run / "per_clip.csv", rows)
    found = by_name(compare.compare(runs[:2]))["same", "loudness_lufs"]
    assert (found.method, found.num_pairs) == ("paired", 199)
    assert found.difference.value == pytest.approx(1)


def test_takes_of_a_prompt_are_one_pair(tmp_path, runs):
    ids = [f"{name}-take{k}" for name in IDS[:100] for k in (0, 1)]
    clap = np.random.default_rng(1).standard_normal(200)
    write_table(runs[1] / "per_clip.csv",
                [{"id": i, "clap.clap-x": v} for i, v in zip(ids, clap, strict=True)])  # fmt: skip
    found = by_name(compare.compare(runs[:2]))["same", "clap"]
    assert (found.method, found.num_pairs) == ("paired", 100)


def test_a_run_without_the_metric_has_not_passed(runs):
    path = runs[2] / "results.json"
    record = json.loads(path.read_text())
    record["metrics"]["fad.clap-x.v1"] |= {"value": None, "reason": "silent"}
    path.write_text(json.dumps(record))
    with pytest.raises(MetricError, match=r"worse has no fad.clap-x.v1"):
        compare.failures(compare.compare(runs), ["fad.clap-x.v1 > base+2se"])
