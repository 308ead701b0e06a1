"""The report page: one HTML file with its plots and sounds inside, readable without a network."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_ldm.audio import read_audio
from musicgen_ldm.metrics import obedience_report
from musicgen_ldm.metrics.clips import AudioFile
from musicgen_ldm.metrics.obedience import PREFIX
from musicgen_ldm.metrics.plots import line_chart, player, principal_plane, scatter, spectrogram
from musicgen_ldm.metrics.request import Evaluation
from musicgen_ldm.metrics.results import REPORT_FILE, WARNINGS, write_text

SHOWN_CLIPS = 4  # best and worst clips with players, each
MAP_POINTS = 2000  # of each set in the embedding map
MIN_GENRE_CLIPS = 2
STYLE = Path(__file__).with_name("report.css")


def write_report(evaluation: Evaluation, record: Mapping[str, Any], folder: Path) -> Path:
    """Write `report.html` of an evaluation; returns its path."""
    sections = [
        section("Metrics", metric_table(record["metrics"])),
        section(
            "Obedience",
            html_table(obedience_report.HEADER, obedience_report.rows(record["metrics"])),
        ),
        section("Set", summary_block(record["summary"])),
        section("Distance against 1/n", _extrapolations(record["metrics"])),
        section("Embedding map", _maps(evaluation)),
        section("By genre", _genre_table(evaluation)),
        section("Best and worst clips", _extremes(evaluation)),
    ]
    return write_page(folder, "Evaluation", sections, record["environment"])


def write_page(
    folder: Path, title: str, sections: Sequence[str], environment: Mapping[str, Any]
) -> Path:
    """Assemble and write a page."""
    versions = ", ".join(f"{escape(k)} {escape(str(v))}" for k, v in environment.items())
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE.read_text(encoding='utf-8')}</style>"
        f"</head><body><main><h1>{escape(title)}</h1>{''.join(sections)}"
        f"<footer>{versions}</footer></main></body></html>\n"
    )
    write_text(folder / REPORT_FILE, page)
    return folder / REPORT_FILE


def section(title: str, content: str) -> str:
    """A headed section, nothing if there is no content."""
    return f"<section><h2>{escape(title)}</h2>{content}</section>" if content else ""


def number(value: float | None) -> str:
    """Four significant digits, or a dash."""
    return "–" if value is None else f"{value:.4g}"


def interval(metric: Mapping[str, Any]) -> str:
    """The interval as text, or a dash."""
    ends = metric.get("ci95")
    return "–" if not ends or ends[0] is None else f"{ends[0]:.4g} … {ends[1]:.4g}"


def table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """The metrics as text columns for a terminal."""
    width = max((len(name) for name in metrics), default=0)
    lines = []
    for name, metric in metrics.items():
        if metric["value"] is None:
            lines.append(f"{name:{width}}  –  {metric['reason']}")
            continue
        codes = "  ".join(metric["warnings"])
        lines.append(
            f"{name:{width}}  {number(metric['value']):>10}  {interval(metric):>22}  "
            f"n={metric['n_gen']}/{metric['n_ref']}  {codes}".rstrip()
        )
    return "\n".join(lines)


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; cells are HTML already."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""


def metric_table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """All metrics with intervals, counts, warnings and reasons."""
    rows = []
    for name, metric in metrics.items():
        notes = [
            f'<span class="code" title="{escape(WARNINGS[code])}">{escape(code)}</span>'
            for code in metric["warnings"]
        ]
        if metric["reason"]:
            notes.append(escape(metric["reason"]))
        counts = f"{metric['n_gen']} / {metric['n_ref']}"
        rows.append([f"<code>{escape(name)}</code>", number(metric["value"]),
                     number(metric["se"]), interval(metric), counts, " ".join(notes)])  # fmt: skip
    header = ["metric", "value", "standard error", "95 % interval", "n gen / ref", "notes"]
    return html_table(header, rows)


def summary_block(summary: Mapping[str, Any]) -> str:
    """Counts, hashes and set-level warnings."""
    warnings = [f"<li>{escape(WARNINGS[code])}</li>" for code in summary["warnings"]]
    models = ", ".join(
        f"{name} (D = {facts['dim']}, {facts['identity']})"
        for name, facts in summary["embedders"].items()
    )
    facts = {k: "–" if v is None else str(v) for k, v in summary.items() if k != "warnings"}
    shown = [[escape(k), escape(v)] for k, v in {**facts, "embedders": models}.items()]
    return html_table(["", ""], shown) + (f"<ul>{''.join(warnings)}</ul>" if warnings else "")


def _extrapolations(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    charts = []
    for name, metric in metrics.items():
        details = metric["details"]
        if "inverse_sizes" not in details:
            continue
        xs = details["inverse_sizes"]
        fit = [metric["value"] + details["slope"] * x for x in (0.0, max(xs))]
        charts.append(
            line_chart(
                {"measured": (xs, details["distances"]), "line": ([0.0, max(xs)], fit)},
                title=f"{name}: {number(metric['value'])}, r² {details['r_squared']:.3f}",
                x_label="1 / clips",
                y_label="distance",
            )
        )
    return "".join(charts)


def _maps(evaluation: Evaluation) -> str:
    charts = []
    for name, (gen, ref) in evaluation.embedded.items():
        if len(gen.ids) + (len(ref.ids) if ref else 0) < 3:
            continue
        points, others = principal_plane(gen.vectors, ref.vectors if ref else None)
        sets = {"generated": points} if others is None else {
            "reference": others, "generated": points
        }  # fmt: skip
        series = {
            label: (rows[:MAP_POINTS, 0].tolist(), rows[:MAP_POINTS, 1].tolist())
            for label, rows in sets.items()
        }
        charts.append(scatter(series, title=f"{name}: first two principal axes"))
    return "".join(charts)


def _genre_table(evaluation: Evaluation) -> str:
    """Means of the per-clip numbers by prompted genre."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for clip, row in zip(evaluation.gen, evaluation.rows, strict=True):
        prompt = evaluation.prompts.get(clip.file.prompt_id)
        if prompt and prompt.genre:
            groups.setdefault(prompt.genre, []).append(row)
    columns = _score_columns(evaluation)
    rows = [
        [escape(genre), str(len(members)), *(number(_mean(members, c)) for c in columns)]
        for genre, members in sorted(groups.items())
        if len(members) >= MIN_GENRE_CLIPS
    ]
    return html_table(["genre", "clips", *columns], rows)


def _score_columns(evaluation: Evaluation) -> list[str]:
    names = dict.fromkeys(name for row in evaluation.rows for name in row)
    return [name for name in names if "." in name]


def _mean(rows: Sequence[Mapping[str, Any]], column: str) -> float | None:
    values = [row[column] for row in rows if row.get(column) is not None]
    return float(np.mean(values)) if values else None


def _extremes(evaluation: Evaluation) -> str:
    """The clips that a per-clip score puts first and last, with players."""
    columns = _score_columns(evaluation)
    chosen = next((c for c in columns if c.startswith("clap.")), columns[0] if columns else None)
    if chosen is None:
        return ""
    files = {clip.file.id: clip.file for clip in evaluation.gen}
    is_better_high = chosen.startswith(("clap.", PREFIX))
    rows = [row for row in evaluation.rows if row.get(chosen) is not None]
    rows.sort(key=lambda row: row[chosen], reverse=is_better_high)
    best, worst = rows[:SHOWN_CLIPS], rows[max(SHOWN_CLIPS, len(rows) - SHOWN_CLIPS) :]
    cells = [
        [label, escape(row["id"]), escape(_text(evaluation, files[row["id"]])),
         number(row[chosen]), *sound(files[row["id"]])]
        for label, group in (("best", best), ("worst", worst)) for row in group
    ]  # fmt: skip
    return html_table(["", "id", "prompt", chosen, "listen", "spectrogram"], cells)


def _text(evaluation: Evaluation, file: AudioFile) -> str:
    prompt = evaluation.prompts.get(file.prompt_id)
    return prompt.text if prompt else ""


def sound(file: AudioFile) -> list[str]:
    """Player and spectrogram of a file."""
    waveform = read_audio(file.path)
    return [player(waveform), spectrogram(waveform)]
