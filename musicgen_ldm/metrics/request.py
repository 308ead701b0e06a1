"""What is to be evaluated, and everything that comes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics.analysis import Analysis
from musicgen_ldm.metrics.checks import Array
from musicgen_ldm.metrics.clips import Prompt
from musicgen_ldm.metrics.names import METRICS
from musicgen_ldm.metrics.presets import Preset
from musicgen_ldm.metrics.results import Result, Results
from musicgen_ldm.metrics.scoring import Embedded

NEEDS_REFERENCE = ("fad", "kad", "prdc", "kl")
NEEDS_SOUND = ("fad", "kad", "is", "kl")  # silent clips score well on these


def metric_names(family: str, preset: Preset) -> tuple[str, ...]:
    """What a family of one embedder reports, or explains the lack of."""
    return {
        "fad": ("fad", "fad_inf"),
        "kad": ("kad", "kid"),
        "prdc": ("precision", "recall", "density", "coverage"),
        "vendi": ("vendi", "vendi_2", "vendi_takes"),
        "is": ("is",),
        "kl": preset.kl_names,
        "clap": ("clap", "r1", "r10", "median_rank", "clap_ceiling", "music_qa"),
    }[family]


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """What to evaluate.

    Attributes:
        gen: Folder of generated audio.
        ref: Folder or manifest of reference audio, an .npz of statistics, or None.
        ref_split: Only clips of this split of the reference's manifest; None takes every clip.
        train: What the system was trained on: folder, manifest or bank. None: the bank of an
            embedder's checkpoint, if one carries it.
        prompts: JSONL, or None to use the records beside the files.
        metrics: Families of `METRICS`.
        preset: Conventions.
        seed: Of subsets and groups.
        allow_unread: Go on without unreadable files.
        allow_missing: Go on without unpaired clips.
    """

    gen: Path
    ref: Path | None = None
    ref_split: str | None = None
    train: Path | None = None
    prompts: Path | None = None
    metrics: tuple[str, ...] = METRICS
    preset: Preset
    seed: int = 0
    allow_unread: bool = False
    allow_missing: bool = False

    def __post_init__(self) -> None:
        """Check the metrics' names."""
        unknown = sorted(set(self.metrics) - set(METRICS))
        if unknown:
            raise MetricError(f"no metric {', '.join(unknown)}; known: {', '.join(METRICS)}")
        if not self.metrics:
            raise MetricError(f"no metric is asked for; choose some of {', '.join(METRICS)}")
        if self.seed < 0:
            raise MetricError(f"seed is {self.seed}; give a whole number from 0 on")
        if self.preset.is_splits < 1:
            raise MetricError(
                f"is_splits is {self.preset.is_splits}; give a whole number from 1 on"
            )


@dataclass
class Evaluation:
    """Everything that came out, for results and report alike.

    Attributes:
        metrics: By full name.
        rows: One a generated clip, for `per_clip.csv`.
        gen: Analysed generated clips.
        ref: Analysed reference clips; empty for statistics.
        embedded: By embedder name, generated and reference.
        prompts: By prompt id.
        summary: Counts, hashes and set-level warnings.
    """

    metrics: Results
    rows: list[dict[str, Any]]
    gen: list[Analysis]
    ref: list[Analysis]
    prompts: dict[str, Prompt]
    embedded: dict[str, tuple[Embedded, Embedded | None]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)

    def add(self, found: Mapping[str, Result], suffix: str) -> None:
        """Add metrics under their full names."""
        self.metrics.update({f"{name}{suffix}": metric for name, metric in found.items()})

    def column(self, name: str, ids: Sequence[str], values: Array) -> None:
        """Add a column of per-clip values; clips that are not named stay empty."""
        by_id = dict(zip(ids, values.tolist(), strict=True))
        for row in self.rows:
            row[name] = by_id.get(row["id"])
