"""The metrics block of a model card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from musicgen_ldm.errors import OutputError
from musicgen_ldm.metrics.report import interval, number
from musicgen_ldm.metrics.results import write_text

BEGIN, END = "<!-- metrics: begin -->", "<!-- metrics: end -->"


def metrics_block(record: Mapping[str, Any]) -> str:
    """Markdown between the markers: a table of all metrics, with warnings and reasons."""
    rows = [
        f"| `{name}` | {number(m['value'])} | {interval(m)} | {m['n_gen']} / {m['n_ref']} | "
        f"{m['reason'] or ', '.join(m['warnings'])} |"
        for name, m in record["metrics"].items()
    ]
    versions = record["environment"]
    note = (
        f"Measured with musicgen_ldm {versions['musicgen_ldm']}, seed {record['summary']['seed']}."
    )
    head = [
        "| metric | value | 95 % interval | clips / reference | notes |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([BEGIN, *head, *rows, "", note, END])


def update_card(path: Path, record: Mapping[str, Any]) -> None:
    """Replace the metrics block of a card, or append one.

    Raises:
        OutputError: If the file has one marker without the other.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    block = metrics_block(record)
    if (BEGIN in text) != (END in text):
        raise OutputError(f"{path}: has one of {BEGIN} and {END} only; add the other")
    if BEGIN in text:
        before, rest = text.split(BEGIN, 1)
        text = before + block + rest.split(END, 1)[1]
    else:
        text = f"{text.rstrip()}\n\n{block}\n".lstrip()
    write_text(path, text)
