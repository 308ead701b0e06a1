"""Comparing systems: paired where prompts are shared, corrected for the number of comparisons.

Goal: say whether B differs from A by more than noise.

Conventions: the first run is the base. Embedders' weights and the reference (in novelty the
training and held-out sets) must be the same: equal names alone do not make numbers comparable.
Means and shares of clips, those with a column in `per_clip.csv`, are
compared prompt by prompt, a prompt's takes averaged first since they are no independent draws:
difference, bootstrap interval, sign-flip p-value. Distances of sets (FAD) are compared by
a *joint* jackknife: both runs leave out the same prompts, and the same reference clips, so that
noise they share cancels. Other numbers are compared as independent estimates. Ceilings and
baselines rest on no generated clip, so no system moves them, and an excess moves as its ratio does:
they are left out. All p-values of one comparison are Holm-corrected together.

A failure expression is `METRIC OP base [+|- NUMBER [se]]`, for example
`fad.clap-music.v1 > base+2se`; `se` is the standard error of the difference.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics.clips import prompt_id
from musicgen_ldm.metrics.novelty import EXCESS
from musicgen_ldm.metrics.results import CLIPS_FILE, plain, read_results, read_table
from musicgen_ldm.metrics.statistics import (
    Z_95,
    Estimate,
    holm,
    jackknife,
    paired_bootstrap,
    paired_permutation,
)

EXPRESSION = re.compile(
    r"\s*(?P<metric>\S+)\s*(?P<op>>=|<=|>|<)\s*base\s*"
    r"(?:(?P<sign>[+-])\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>se)?)?\s*"
)
MEASURED_AGAINST = {  # by kind of run: what of its summary must be equal, and the option behind it
    "evaluation": {"ref_sha256": "--ref"},
    "novelty": {"train_sha256": "--train", "heldout_sha256": "--heldout"},
}


@dataclass(frozen=True)
class Difference:
    """One metric of one run against the base.

    Attributes:
        metric: Full name.
        run: Folder name of the run.
        base_value: Of the base.
        value: Of the run.
        difference: Run minus base, with its error.
        p_value: Two-sided, uncorrected.
        p_holm: Corrected over all metrics of the comparison.
        method: "paired", "joint jackknife" or "independent".
        num_pairs: Shared prompts or groups; 0 when independent.
    """

    metric: str
    run: str
    base_value: float
    value: float
    difference: Estimate
    p_value: float
    p_holm: float
    method: str
    num_pairs: int


@dataclass(frozen=True)
class _Run:
    name: str
    kind: str
    metrics: Mapping[str, Mapping[str, Any]]
    rows: Mapping[str, Mapping[str, str]]
    summary: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "_Run":
        record = read_results(folder)
        rows = {row["id"]: row for row in read_table(folder / CLIPS_FILE)}
        return cls(folder.name, record["kind"], record["metrics"], rows, record["summary"])

    @property
    def seed(self) -> int:
        return int(self.summary["seed"])

    def prompt_means(self, column: str) -> dict[str, float]:
        """Mean of a score over the takes of each prompt."""
        values = defaultdict(list)
        for name, row in self.rows.items():
            if row.get(column) and np.isfinite(value := float(row[column])):  # silence: -inf LUFS
                values[prompt_id(name)].append(value)
        return {prompt: float(np.mean(takes)) for prompt, takes in values.items()}


def compare(folders: Sequence[Path]) -> list[Difference]:
    """Differences of every run to the first, for each metric that both have.

    Raises:
        MetricError: With fewer than two runs, if nothing is shared, or if weights or references
            differ.
    """
    if len(folders) < 2:
        raise MetricError("compare needs two runs; the first is the base")
    base, *others = [_Run.read(Path(folder)) for folder in folders]
    for other in others:
        _refuse_unlike(base, other)
    found = [
        difference
        for other in others
        for metric in base.metrics
        if (difference := _difference(metric, base, other)) is not None
    ]
    if not found:
        raise MetricError(
            f"{base.name} shares no metric with the others; use the same embedders and preset"
        )
    corrected = holm([difference.p_value for difference in found])
    return [replace(d, p_holm=p) for d, p in zip(found, corrected, strict=True)]


def _refuse_unlike(base: _Run, other: _Run) -> None:
    for name, facts in base.summary["embedders"].items():
        theirs = other.summary["embedders"].get(name, facts)
        if theirs["identity"] != facts["identity"]:
            raise MetricError(
                f"{other.name}: {name} has other weights ({theirs['identity']}) than in "
                f"{base.name} ({facts['identity']}); evaluate both with the same checkpoint"
            )
    for fact, option in MEASURED_AGAINST[base.kind].items():
        hashes = [run.summary.get(fact) for run in (base, other)]
        if None not in hashes and hashes[0] != hashes[1]:
            raise MetricError(
                f"{base.name} and {other.name} were measured against different music; "
                f"measure both with the same {option}"
            )


def _difference(metric: str, base: _Run, other: _Run) -> Difference | None:
    first, second = base.metrics[metric], other.metrics.get(metric)
    if second is None or first["value"] is None or second["value"] is None:
        return None
    if not first["n_gen"] or metric.startswith(EXCESS):
        return None
    for method in (_paired, _joint, _independent):
        found = method(metric, base, other)
        if found is not None:
            estimate, p_value, name, pairs = found
            return Difference(metric, other.name, first["value"], second["value"],
                              estimate, p_value, p_value, name, pairs)  # fmt: skip
    return None


Found = tuple[Estimate, float, str, int]


def _paired(metric: str, base: _Run, other: _Run) -> Found | None:
    """Mean difference over the prompts that both runs have."""
    column = metric.rsplit(".", 1)[0]
    first, second = base.prompt_means(column), other.prompt_means(column)
    differences = np.array([second[name] - first[name] for name in first if name in second])
    if len(differences) < 2:
        return None
    estimate = paired_bootstrap(differences, np.random.default_rng(base.seed))
    p_value = paired_permutation(differences, np.random.default_rng(base.seed))
    return estimate, p_value, "paired", len(differences)


def _joint(metric: str, base: _Run, other: _Run) -> Found | None:
    """Jackknife of the difference of distances over shared groups of prompts and references."""
    details = [run.metrics[metric]["details"] for run in (base, other)]
    if not all("jackknife" in d for d in details) or base.rows.keys() != other.rows.keys():
        return None
    if base.seed != other.seed:  # other groups
        return None
    sides = []
    for side in ("gen", "ref"):
        left = [np.array(d["jackknife"][side]) for d in details]
        if len(left[0]) != len(left[1]):
            return None
        if len(left[0]):
            sides.append(left[1] - left[0])
    if not sides:
        return None
    estimate = jackknife(details[1]["plain"] - details[0]["plain"], *sides)
    groups = min(map(len, sides))
    return estimate, _two_sided(estimate, groups - 1), "joint jackknife", groups


def _two_sided(estimate: Estimate, degrees: float) -> float:
    """p-value of a difference; 1 for runs that are equal to the last bit."""
    if not estimate.se:
        return float(estimate.value == 0)
    return float(2 * t.sf(abs(estimate.value) / estimate.se, degrees))


def _independent(metric: str, base: _Run, other: _Run) -> Found | None:
    first, second = base.metrics[metric], other.metrics[metric]
    if first["ci95"] is None or second["ci95"] is None:
        return None
    # A share of 0 has a standard error of 0 but not an interval of 0: use the intervals' widths.
    errors = [(m["ci95"][1] - m["ci95"][0]) / (2 * Z_95) for m in (first, second)]
    value, se = second["value"] - first["value"], float(np.hypot(*errors))
    estimate = Estimate(value, se, (value - Z_95 * se, value + Z_95 * se))
    return estimate, _two_sided(estimate, np.inf), "independent", 0


def failures(comparison: Sequence[Difference], expressions: Sequence[str]) -> list[str]:
    """The expressions that hold, each with the numbers that made it hold.

    Raises:
        MetricError: If an expression does not parse, or names a metric that was not compared in
            every run: a number that is missing has not passed.
    """
    held, runs = [], {d.run for d in comparison}
    for expression in expressions:
        match = EXPRESSION.fullmatch(expression)
        if match is None:
            raise MetricError(
                f"--fail-if {expression!r}: write METRIC > base+2se, with > < >= <= "
                "and base, base+NUMBER or base+NUMBERse"
            )
        rows = [d for d in comparison if d.metric == match["metric"]]
        if not rows:
            known = ", ".join(sorted({d.metric for d in comparison}))
            raise MetricError(f"--fail-if: {match['metric']} was not compared; there are {known}")
        if missing := sorted(runs - {d.run for d in rows}):
            raise MetricError(
                f"--fail-if: {', '.join(missing)} has no {match['metric']}; evaluate it there too"
            )
        held += [f"{expression} ({_explain(d)})" for d in rows if _holds(d, match)]
    return held


def _holds(difference: Difference, match: re.Match[str]) -> bool:
    margin = float(match["number"] or 0) * (-1 if match["sign"] == "-" else 1)
    if match["unit"]:
        margin *= difference.difference.se
    value = difference.difference.value
    return {">": value > margin, "<": value < margin, ">=": value >= margin,
            "<=": value <= margin}[match["op"]]  # fmt: skip


def _explain(d: Difference) -> str:
    return f"{d.run}: {d.value:.4g} against {d.base_value:.4g}, difference se {d.difference.se:.2g}"


def table(comparison: Sequence[Difference]) -> str:
    """Text columns for a terminal."""
    width = max(len(d.metric) for d in comparison)
    lines = [
        f"{'metric':{width}}  {'run':16} {'base':>10} {'value':>10} {'difference':>11}  "
        f"{'95 % interval':>22} {'p (Holm)':>9}  method"
    ]
    for d in comparison:
        low, high = d.difference.ci95
        lines.append(
            f"{d.metric:{width}}  {d.run:16} {d.base_value:10.4g} {d.value:10.4g} "
            f"{d.difference.value:+11.4g}  {low:10.4g} … {high:<9.4g} {d.p_holm:9.3g}  {d.method}"
        )
    return "\n".join(lines)


def to_json(comparison: Sequence[Difference]) -> Any:
    """The comparison as JSON values."""
    return plain([asdict(d) for d in comparison])
