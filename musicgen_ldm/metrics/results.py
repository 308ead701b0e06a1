"""What an evaluation returns: named numbers with error bars, warnings and reasons.

A number that cannot be computed is null and says why; there is no -1 and no silent gap. The JSON
Schema of the file is `results.schema.json` beside this module.
"""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from musicgen_ldm.errors import MetricError, OutputError
from musicgen_ldm.metrics.statistics import Estimate
from musicgen_ldm.whole_file import whole_file

SCHEMA_VERSION = 1
RESULTS_FILE, CLIPS_FILE, REPORT_FILE = "results.json", "per_clip.csv", "report.html"

WARNINGS = {
    "FEW_CLIPS": "fewer generated clips than this number needs",
    "REFERENCE_SMALL": "fewer reference clips than this number needs",
    "LOW_RANK": "the effective rank is below a tenth of the embedding's dimension",
    "UNREAD_FILES": "some files could not be read and do not count",
    "UNHEARD_PROMPTS": "some prompts have no generated clip and do not count",
    "MIXED_DURATIONS": "clip lengths differ by more than a tenth",
    "SILENT_CLIPS": "some clips are silent",
    "CLIPPED_CLIPS": "some clips are clipped",
    "DUPLICATE_CLIPS": "some generated files are equal, byte for byte",
    "REFERENCE_OVERLAP": "some generated files are in the reference, byte for byte",
    "TRAINING_OVERLAP": "some generated files are in the training set, byte for byte",
    "REFERENCE_TRAINED": "some reference files are in the training set, byte for byte",
    "TRAINING_UNKNOWN": "overlap with training data was not looked for; give --train",
    "BASELINE_SATURATED": "most music that is no copy exceeds this threshold too: it tells nothing",
    "FEW_PAIRS": "too few pairs: the number hangs on single ones",
    "FLOOR_NOT_BEATEN": "the score does not beat shuffled prompts",
    "REFERENCE_EXACT": "reference statistics without counts: their error is not included",
}


@dataclass(frozen=True, kw_only=True)
class Result:
    """One number.

    Attributes:
        value: None if it could not be computed.
        se: Standard error, None where there is none.
        ci95: Two-sided 95 % interval, None where there is none.
        n_gen: Generated clips that it rests on.
        n_ref: Reference clips, prompts or training rows that it rests on.
        warnings: Codes of `WARNINGS`.
        reason: Why `value` is None.
        details: More numbers, named.
    """

    value: float | None
    se: float | None = None
    ci95: tuple[float, float] | None = None
    n_gen: int = 0
    n_ref: int = 0
    warnings: tuple[str, ...] = ()
    reason: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


Results = dict[str, Result]


def result(estimate: Estimate | float, **fields: Any) -> Result:
    """A result from an estimate, or from a number without an error bar."""
    value = estimate.value if isinstance(estimate, Estimate) else float(estimate)
    if not math.isfinite(value):
        return refused(f"came out as {value}", **fields)
    if not isinstance(estimate, Estimate) or not math.isfinite(estimate.se):
        return Result(value=value, **fields)
    return Result(value=estimate.value, se=estimate.se, ci95=estimate.ci95, **fields)


def refused(reason: str, **fields: Any) -> Result:
    """A number that is not given, and why."""
    return Result(value=None, reason=reason, **fields)


def refuse_overwriting(folder: Path, *, allowed: bool) -> None:
    """Refuse a folder that holds results; asked before the work as well as after it.

    Raises:
        OutputError: If it is no folder, or holds results that may not be replaced.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; give --out a folder")
    if (folder / RESULTS_FILE).exists() and not allowed:
        raise OutputError(f"{folder}: holds results; choose another --out or pass --overwrite")


def write_results(
    folder: Path,
    metrics: Mapping[str, Result],
    environment: Mapping[str, Any],
    **extra: Any,
) -> dict[str, Any]:
    """Write `results.json`, whole or not at all; returns its content.

    The content depends on the input alone (no times, no paths of the machine), so a second run
    writes the same bytes.
    """
    record: dict[str, Any] = plain(
        {
            "schema": SCHEMA_VERSION,
            "metrics": {name: asdict(metric) for name, metric in metrics.items()},
            **extra,
            "environment": environment,
        }
    )
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / RESULTS_FILE, text + "\n")
    return record


def plain(value: Any) -> Any:
    """A JSON value: arrays become lists, non-finite numbers null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def read_results(folder: str | Path) -> dict[str, Any]:
    """The content of a run's `results.json`.

    Raises:
        MetricError: If the folder is not a run, or of another schema.
    """
    path = Path(folder) / RESULTS_FILE
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MetricError(f"{folder}: holds no {RESULTS_FILE}; give a folder of `--out`") from error
    except json.JSONDecodeError as error:
        raise MetricError(f"{path}: not valid JSON ({error}); evaluate again") from error
    if record.get("schema") != SCHEMA_VERSION:
        raise MetricError(
            f"{path}: schema {record.get('schema')}, this version reads {SCHEMA_VERSION}"
        )
    return record


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows as CSV; columns in order of first appearance, None as an empty cell."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file as text.

    Raises:
        MetricError: If there is no such file.
    """
    if not path.is_file():
        raise MetricError(f"{path}: missing; evaluate again")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
