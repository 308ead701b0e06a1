"""The obedience table: what was asked, how often it was obeyed, and the judge's own bounds."""

from collections.abc import Mapping, Sequence
from typing import Any

from musicgen_ldm.metrics.obedience import CEILING, PREFIX

HEADER = ("asked for", "obeyed", "95 % interval", "ceiling", "95 % interval", "floor", "clips")
NOTHING = "–"


def rows(metrics: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """A row of `HEADER` for each attribute that some prompt asked for.

    Args:
        metrics: Of `results.json`, by full name.
    """
    found = []
    for full, metric in metrics.items():
        name, preset = full.rsplit(".", 1)
        if not is_obedience(full) or name.endswith(CEILING) or metric["value"] is None:
            continue
        ceiling = metrics.get(f"{name}{CEILING}.{preset}", {})
        floor = metric["details"]["shuffled_floor"]
        found.append([name.removeprefix(PREFIX), *_share(metric), *_share(ceiling),
                      _percent(floor), str(metric["n_gen"])])  # fmt: skip
    return found


def table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """The rows as text columns for a terminal, "" if there are none."""
    cells = rows(metrics)
    if not cells:
        return ""
    widths = [max(map(len, column)) for column in zip(HEADER, *cells, strict=True)]
    return "\n".join(_aligned(row, widths) for row in (HEADER, *cells))


def is_obedience(name: str) -> bool:
    """Whether a metric is one of this table."""
    return name.startswith(PREFIX)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if index == 0 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join((first, *others)).rstrip()


def _share(metric: Mapping[str, Any]) -> tuple[str, str]:
    ends = metric.get("ci95")
    interval = f"{_percent(ends[0])} … {_percent(ends[1])}" if ends else NOTHING
    return _percent(metric.get("value")), interval


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"
