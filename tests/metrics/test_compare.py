"""Comparing runs: which test is used, what it finds, what an expression decides."""

import json

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
    named = {"fad.clap-x.v1": metrics["fad"], "clap.clap-x.v1": result(mean_estimate(clap))}
    named["vendi.clap-x.v1"] = result(mean_estimate(clap + 10))
    write_table(folder / "per_clip.csv",
                [{"id": i, "clap.clap-x": v} for i, v in zip(IDS, clap, strict=True)])  # fmt: skip
    summary = {"n_gen": len(IDS), "seed": seed, "embedders": {}, "warnings": []}
    write_results(folder, named, {}, kind="evaluation", summary=summary)
    return folder


@pytest.fixture
def runs(tmp_path):
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
