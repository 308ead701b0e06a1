"""The novelty page and files: ratios, curves, and every suspect beside its neighbour."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from musicgen_ldm.audio import read_audio
from musicgen_ldm.bank import Neighbour
from musicgen_ldm.errors import AudioError
from musicgen_ldm.metrics.alignment import Alignment
from musicgen_ldm.metrics.neighbours import ClipNovelty, Novelty, training_audio
from musicgen_ldm.metrics.novelty import CURVE, TAGS
from musicgen_ldm.metrics.plots import line_chart, player
from musicgen_ldm.metrics.presets import V1
from musicgen_ldm.metrics.report import (
    html_table,
    metric_table,
    number,
    section,
    summary_block,
    write_page,
)
from musicgen_ldm.metrics.results import (
    CLIPS_FILE,
    Results,
    refuse_overwriting,
    write_results,
    write_table,
)
from musicgen_ldm.provenance.record import environment

SHOWN_PAIRS = 20  # with players
CURVE_FROM = 50  # index of τ = 0.5: below it every curve is 1


def write_novelty(
    found: Sequence[Novelty],
    summary: Mapping[str, Any],
    folder: Path,
    root: Path | None,
    *,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write `results.json`, `per_clip.csv` and `report.html`; returns the first's content.

    Args:
        found: One an embedder.
        summary: Counts and hashes.
        folder: Where to.
        root: Of the training audio; None leaves its players out.
        overwrite: Replace results.

    Raises:
        OutputError: If the folder holds results and `overwrite` is off.
    """
    refuse_overwriting(folder, allowed=overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    metrics: Results = {
        f"{name}.{one.embedder}.{V1.name}": metric
        for one in found
        for name, metric in one.metrics.items()
    }
    write_table(folder / CLIPS_FILE, _rows(found))
    record = write_results(
        folder,
        metrics,
        environment(),
        kind="novelty",
        summary=summary,
        neighbours=[
            {"embedder": one.embedder, **clip.to_json()} for one in found for clip in one.clips
        ],
        curves={one.embedder: {"threshold": CURVE, **one.curves} for one in found},
    )
    sections = [
        section("Metrics", metric_table(record["metrics"])),
        section("Set", summary_block(summary)),
        section("Share of clips above a similarity", "".join(_curve(one) for one in found)),
        *(section(f"Nearest training clips by {o.embedder}", _pairs(o, root)) for o in found),
    ]
    write_page(folder, "Novelty", sections, record["environment"])
    return record


def _rows(found: Sequence[Novelty]) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for one in found:
        ratios = {f"sim_aa@{tag}": one.metrics[f"sim_aa@{tag}"].details for tag in TAGS}
        for clip in one.clips:
            row = rows.setdefault(clip.clip.file.id, {"id": clip.clip.file.id})
            row["is_exact_copy"] = clip.is_exact_copy
            if clip.clip.file.id in one.text_fit:
                row[f"clap.{one.embedder}"] = one.text_fit[clip.clip.file.id]
            row[f"nearest.{one.embedder}"] = clip.nearest
            for name, details in ratios.items():
                if details:
                    row[f"{name}.{one.embedder}"] = float(clip.nearest > details["threshold"])
            row[f"neighbour.{one.embedder}"] = clip.neighbours[0].entry["id"]
            for name, alignment in clip.opinion.items():
                row[f"{name}_alignment.{one.embedder}"] = alignment.similarity
    return list(rows.values())


def _curve(one: Novelty) -> str:
    series = {name: (CURVE[CURVE_FROM:], curve[CURVE_FROM:]) for name, curve in one.curves.items()}
    return line_chart(
        series, title=one.embedder, x_label="similarity", y_label="share of clips above"
    )


def _pairs(one: Novelty, root: Path | None) -> str:
    ranked = sorted(one.clips, key=lambda clip: -clip.nearest)
    null = ", ".join(f"{name} {value:.2f}" for name, value in one.null_opinion.items())
    note = f"<p>19 of 20 unrelated pairs stay below {escape(null)}.</p>" if null else ""
    header = ["generated", "listen", "similarity", "training clip", "listen", "second opinion",
              "caption", "licence", "attribution"]  # fmt: skip
    rows = [_pair(clip, one, root, has_player=i < SHOWN_PAIRS) for i, clip in enumerate(ranked)]
    return note + html_table(header, rows)


def _opinion(name: str, found: Alignment, limit: float | None) -> str:
    """An alignment in words, bold above what unrelated pairs reach."""
    text = f"{name} {found.similarity:.2f} at {found.first_s:.1f} s"
    text += f", {found.semitones} semitones" if found.semitones else ""
    return f"<b>{text}</b>" if limit is not None and found.similarity > limit else text


def _pair(clip: ClipNovelty, one: Novelty, root: Path | None, *, has_player: bool) -> list[str]:
    """A row; the players hold the stretches that are alike, and no more."""
    nearest = clip.neighbours[0]
    entry = nearest.entry
    opinion = "<br>".join(
        _opinion(name, found, one.null_opinion.get(name)) for name, found in clip.opinion.items()
    )
    sounds = ["", ""]
    if has_player:
        start_s = clip.starts_s[0]
        heard = read_audio(clip.clip.file.path, start_s=start_s, duration_s=one.window_s)
        sounds[0] = f"{player(heard)}<br>from {start_s:.1f} s"
        sounds[1] = _training_player(nearest, one.window_s, root)
    mark = " <b>same file</b>" if clip.is_exact_copy else ""
    return [
        escape(clip.clip.file.id) + mark,
        sounds[0],
        number(nearest.similarity),
        escape(str(entry["id"])),
        sounds[1],
        opinion or "–",
        escape((entry.get("captions") or [""])[0]),
        escape(str(entry.get("licence") or "unknown")),
        escape(str(entry.get("attribution") or "unknown")),
    ]


def _training_player(nearest: Neighbour, window_s: float, root: Path | None) -> str:
    if root is None:
        return "give --train-audio"
    try:
        sound = training_audio(nearest, root, window_s=window_s)
    except AudioError as error:
        return escape(str(error))
    return f"{player(sound)}<br>from {nearest.entry.get('window_s', 0.0):.1f} s"
