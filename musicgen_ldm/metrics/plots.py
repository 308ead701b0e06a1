"""Plots as inline SVG and images as data URIs: a page that needs no network and no library."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import soundfile
import torch
from PIL import Image

from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.mel import log_mel
from musicgen_ldm.metrics.checks import Array

WIDTH, HEIGHT, MARGIN = 560, 300, 46
TICKS = 5
PLAYER_SECONDS = 12.0  # longest excerpt that a page carries
PLAYER_RATE = 24_000  # Hz
SPECTROGRAM_DB_RANGE = 70.0

Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def line_chart(series: Series, *, title: str, x_label: str, y_label: str) -> str:
    """Lines through points, one class `s0`, `s1`, … a series."""
    x_axis, y_axis = (
        _Axis.of([x for x, _ in series.values()]),
        _Axis.of([y for _, y in series.values()], from_zero=True),
    )
    marks = []
    for index, (name, (xs, ys)) in enumerate(series.items()):
        points = " ".join(
            f"{x_axis.x(x):.1f},{y_axis.y(y):.1f}" for x, y in zip(xs, ys, strict=True)
        )
        marks.append(f'<polyline class="s{index}" points="{points}"><title>{escape(name)}'
                     "</title></polyline>")  # fmt: skip
    return _frame(title, x_label, y_label, x_axis, y_axis, "".join(marks), list(series))


def scatter(series: Series, *, title: str, x_label: str = "", y_label: str = "") -> str:
    """Points, one class a series."""
    x_axis, y_axis = (_Axis.of([pair[i] for pair in series.values()]) for i in (0, 1))
    marks = [
        f'<circle class="s{index}" cx="{x_axis.x(x):.1f}" cy="{y_axis.y(y):.1f}" r="3"/>'
        for index, (xs, ys) in enumerate(series.values())
        for x, y in zip(xs, ys, strict=True)
    ]
    return _frame(title, x_label, y_label, x_axis, y_axis, "".join(marks), list(series))


class _Axis:
    """A range of numbers and its round ticks."""

    def __init__(self, low: float, high: float) -> None:
        span = high - low or 1.0
        raw = span / TICKS
        power = 10.0 ** np.floor(np.log10(raw))
        step = power * min((m for m in (1, 2, 5, 10) if m * power >= raw), default=10)
        self.low, self.high = np.floor(low / step) * step, np.ceil(high / step) * step
        if self.high == self.low:
            self.high += step
        self.ticks = np.arange(self.low, self.high + step / 2, step)

    @classmethod
    def of(cls, parts: Sequence[Sequence[float]], *, from_zero: bool = False) -> "_Axis":
        values = np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])
        low = min(0.0, float(values.min())) if from_zero else float(values.min())
        return cls(low, float(values.max()))

    def share(self, value: float) -> float:
        return float((value - self.low) / (self.high - self.low))

    def x(self, value: float) -> float:
        return MARGIN + self.share(value) * (WIDTH - 2 * MARGIN)

    def y(self, value: float) -> float:
        return HEIGHT - MARGIN - self.share(value) * (HEIGHT - 2 * MARGIN)


def _frame(
    title: str,
    x_label: str,
    y_label: str,
    x_axis: _Axis,
    y_axis: _Axis,
    marks: str,
    names: Sequence[str],
) -> str:
    bottom = HEIGHT - MARGIN
    grid = "".join(
        f'<line class="grid" x1="{x_axis.x(t):.1f}" x2="{x_axis.x(t):.1f}" y1="{MARGIN}" '
        f'y2="{bottom}"/><text x="{x_axis.x(t):.1f}" y="{bottom + 16}" text-anchor="middle">'
        f"{t:.4g}</text>"
        for t in x_axis.ticks
    ) + "".join(
        f'<line class="grid" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y_axis.y(t):.1f}" '
        f'y2="{y_axis.y(t):.1f}"/><text x="{MARGIN - 6}" y="{y_axis.y(t) + 4:.1f}" '
        f'text-anchor="end">{t:.4g}</text>'
        for t in y_axis.ticks
    )
    legend = "".join(
        f'<tspan class="s{i}" dx="{12 if i else 0}">● {escape(name)}</tspan>'
        for i, name in enumerate(names)
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<text class="title" x="{MARGIN}" y="16">{escape(title)}</text>'
        f'<text x="{MARGIN}" y="34">{legend}</text>{grid}{marks}'
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text transform="translate(12 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text></svg>"
    )


def principal_plane(gen: Array, ref: Array | None) -> tuple[Array, Array | None]:
    """Both sets (n, D) projected on the two leading axes of the reference, or of the generated.

    The signs of the axes are fixed, so that the same input always gives the same picture.
    """
    base = gen if ref is None else ref
    centre = base.mean(axis=0)
    axes = np.linalg.svd(base - centre, full_matrices=False)[2][:2]
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    return (gen - centre) @ axes.T, None if ref is None else (ref - centre) @ axes.T


def player(waveform: Waveform) -> str:
    """An audio element that carries its sound as MP3."""
    clip = waveform.resampled(PLAYER_RATE)
    samples = np.clip(clip.samples[:, : round(PLAYER_SECONDS * PLAYER_RATE)].T, -1, 1)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, PLAYER_RATE, format="MP3", subtype="MPEG_LAYER_III")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<audio controls preload="metadata" src="data:audio/mpeg;base64,{data}"></audio>'


def spectrogram(waveform: Waveform) -> str:
    """A log-mel image, low frequencies at the bottom."""
    config = MelConfig()
    samples = waveform.resampled(config.sample_rate).mono
    samples = samples[: round(PLAYER_SECONDS * config.sample_rate)]
    mel = log_mel(torch.from_numpy(samples)[None], config)[0, 0].numpy()  # (N, M)
    nepers = SPECTROGRAM_DB_RANGE / 20 * np.log(10)
    shade = np.clip((mel - mel.max()) / nepers + 1, 0, 1)
    image = Image.fromarray((255 * shade.T[::-1]).astype(np.uint8))
    buffer = io.BytesIO()
    image.resize((256, 64)).save(buffer, format="PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="spectrogram" src="data:image/png;base64,{data}">'
