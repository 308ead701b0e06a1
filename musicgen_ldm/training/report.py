"""`report.html` of a run: loss curves, spectrograms and players, in one file without scripts."""

import base64
import html
import io
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from musicgen_ldm.audio import read_audio
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.mel import log_mel
from musicgen_ldm.training.run_folder import RunFolder, read_metrics

Points = list[tuple[int, float]]

WIDTH, HEIGHT, MARGIN = 420, 180, 34  # of a chart, pixels
COLOURS = {"train": "#7a8ca8", "valid": "#d8572a"}
NEWEST_SAMPLES = 3  # steps whose samples are shown
# Black - violet - orange - yellow: dark is quiet, and it survives printing in grey.
COLOUR_STOPS = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)])

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:940px;margin:2em auto;padding:0 1em}
figure{display:inline-block;margin:0 1em 1.5em 0}figcaption{font-weight:600}
svg text{font:11px system-ui,sans-serif;fill:#666}pre{background:#f4f4f4;padding:1em;overflow:auto}
audio{display:block;width:420px}img{display:block;width:420px;height:128px}"""


def write_report(run: RunFolder, mel: MelConfig) -> None:
    """Write `report.html` from the metrics and samples on disk."""
    curves = curves_by_name(read_metrics(run.metrics))
    charts = "\n".join(
        chart(name, lines) for name, lines in sorted(curves.items(), key=_losses_first)
    )
    folders = sorted(run.samples.glob("step-*"), reverse=True)[:NEWEST_SAMPLES]
    listening = "\n".join(_samples_of_step(folder, run.path, mel) for folder in folders)
    config = html.escape((run.path / "config.yaml").read_text(encoding="utf-8"))
    title = html.escape(run.path.name)
    (run.path / "report.html").write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style><h1>{title}</h1>\n<h2>Curves</h2>\n{charts}\n"
        f"<h2>Samples</h2>\n{listening}\n"
        f"<details><summary>Configuration</summary><pre>{config}</pre></details></html>\n",
        encoding="utf-8",
    )


def _losses_first(curve: tuple[str, dict[str, Points]]) -> tuple[bool, str]:
    return "/" in curve[0], curve[0]  # learning rates, gradient norms and counts have a prefix


def curves_by_name(metrics: list[dict[str, float]]) -> dict[str, dict[str, Points]]:
    """Points of each "split/name" metric, train and valid of one name together."""
    curves: dict[str, dict[str, Points]] = {}
    for line in metrics:
        for key, value in line.items():
            split, slash, name = key.partition("/")
            if slash:
                in_valid = split == "valid"
                label = name if in_valid or split == "train" else key
                lines = curves.setdefault(label, {})
                lines.setdefault("valid" if in_valid else "train", []).append(
                    (int(line["step"]), value)
                )
    return curves


def chart(name: str, lines: dict[str, Points]) -> str:
    """One inline SVG with a polyline per split and the range written at the axes."""
    points = [p for line in lines.values() for p in line if math.isfinite(p[1])]
    if not points:
        return ""
    steps, values = [s for s, _ in points], [v for _, v in points]
    low, high, last = min(values), max(values), max(steps)
    first = min(steps)

    def place(step: int, value: float) -> str:
        x = MARGIN + (WIDTH - 2 * MARGIN) * (step - first) / max(1, last - first)
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - low) / ((high - low) or 1)
        return f"{x:.1f},{y:.1f}"

    drawn = "".join(
        f'<polyline fill="none" stroke="{COLOURS[split]}" stroke-width="1.5" '
        f'points="{" ".join(place(s, v) for s, v in line if math.isfinite(v))}"/>'
        for split, line in lines.items()
    )
    ends = ", ".join(f"{split} {line[-1][1]:.4g}" for split, line in lines.items())
    return (
        f"<figure><figcaption>{html.escape(name)}</figcaption>"
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{html.escape(name)}">'
        f'<text x="0" y="{MARGIN - 6}">{high:.4g}</text>'
        f'<text x="0" y="{HEIGHT - MARGIN + 4}">{low:.4g}</text>'
        f'<text x="{MARGIN}" y="{HEIGHT - 8}">{first}</text>'
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 8}" text-anchor="end">step {last} ({ends})</text>'
        f"{drawn}</svg></figure>"
    )


def _samples_of_step(folder: Path, root: Path, mel: MelConfig) -> str:
    figures = []
    for path in sorted(folder.glob("*.wav")):
        waveform = read_audio(path, sample_rate=mel.sample_rate)
        frames = log_mel(torch.from_numpy(waveform.mono)[None], mel)[0, 0].numpy()
        figures.append(
            f"<figure><figcaption>{html.escape(path.stem)}</figcaption>"
            f'<img alt="spectrogram" src="{spectrogram_png(frames)}">'
            f'<audio controls preload="none" src="{path.relative_to(root).as_posix()}"></audio>'
            "</figure>"
        )
    return f"<h3>{folder.name}</h3>" + "".join(figures)


def spectrogram_png(mel: npt.NDArray[np.float32]) -> str:
    """A log-mel (N, M) as a PNG data address, low frequencies at the bottom."""
    low, high = float(mel.min()), float(mel.max())
    scaled = (mel.T[::-1] - low) / ((high - low) or 1) * (len(COLOUR_STOPS) - 1)  # (M, N)
    stops = np.arange(len(COLOUR_STOPS))
    pixels = np.stack([np.interp(scaled, stops, COLOUR_STOPS[:, c]) for c in range(3)], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
