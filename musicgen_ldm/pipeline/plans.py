"""What to draw for a request, and how the drawn sound joins the sound that was given.

A plan fixes the latent canvas, what of it is known, and the step from the vocoder's waveform to
the final one. Source samples that a request leaves alone are returned bit for bit, at the
source's own rate and channel count.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.signal import resample as resample_periodic
from torch import Tensor

from musicgen_ldm.audio import (
    SILENCE_DBFS,
    FloatArray,
    Waveform,
    fit_length,
    peak,
    read_audio,
    rms_dbfs,
)
from musicgen_ldm.checkpoint import Checkpoint
from musicgen_ldm.codec import mel_to_latent
from musicgen_ldm.config.generation import (
    DEFAULT_STRENGTH,
    MAX_SECONDS,
    MIN_SECONDS,
    GenerateRequest,
)
from musicgen_ldm.errors import AudioError, RequestError
from musicgen_ldm.mel import log_mel
from musicgen_ldm.models import unet, vae
from musicgen_ldm.sampling import Canvas, Known

TRAINING_PEAK = 0.5  # clips are scaled to this peak before they are cropped (Chen et al. 2023)
FADE_S = 0.03  # cross-fade between given and drawn sound


@dataclass(frozen=True)
class Plan:
    """How one request is drawn.

    Attributes:
        canvas: Shape of the latent.
        finish: From the vocoder's samples (T,) to the result.
        num_mel_frames: Mel frames to vocode; a loop is stretched to them, others are cut.
        known: Frames to keep.
        init: Latent to vary.
        strength: Share of the process that is run on `init`.
        seams_s: Where drawn and given sound meet in the result, in seconds.
    """

    canvas: Canvas
    finish: Callable[[FloatArray], Waveform]
    num_mel_frames: int
    known: Known | None = None
    init: Tensor | None = None
    strength: float = 1.0
    seams_s: tuple[float, ...] = ()


class Geometry:
    """Sizes that follow from a checkpoint's networks."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Read factors and window from the components' stock configurations."""
        self.checkpoint = checkpoint
        self.mel = checkpoint.mel
        self.factor = vae.reduction(checkpoint.vae)
        self.multiple = unet.reduction(checkpoint.unet)
        sample_size = checkpoint.unet.config.sample_size
        self.window = sample_size if isinstance(sample_size, int) else sample_size[0]

    @property
    def latent_rate(self) -> float:
        """Latent frames per second."""
        return self.mel.frame_rate / self.factor

    def canvas(self, num_frames: int, *, circular: bool = False) -> Canvas:
        """A canvas that holds `num_frames` latent frames; a straight one is rounded up."""
        if not circular:
            num_frames = math.ceil(num_frames / self.multiple) * self.multiple
        channels = self.checkpoint.vae.config.latent_channels
        shape = (channels, num_frames, self.mel.num_bins // self.factor)
        return Canvas(shape, self.window, circular)

    def encode(self, samples: FloatArray, num_frames: int) -> Tensor:
        """Latent (1, C, num_frames, M') of mono samples at the model's rate, zero-padded."""
        length = self.mel.num_samples(num_frames * self.factor)
        waveform = torch.from_numpy(fit_length(samples, length)).unsqueeze(0)
        device = self.checkpoint.vae.device
        mel = log_mel(waveform.to(device), self.mel)
        return mel_to_latent(self.checkpoint.vae, mel, self.window * self.factor)


def make_plan(checkpoint: Checkpoint, request: GenerateRequest) -> Plan:
    """The plan of a request.

    Raises:
        AudioError: If a source file is unreadable or silent where it matters.
        RequestError: If a region lies outside its file.
    """
    geometry = Geometry(checkpoint)
    if request.continue_file is not None:
        return _continuation(geometry, request, read_audio(request.continue_file))
    if request.init is not None:
        source = read_audio(request.init)
        if not MIN_SECONDS <= source.seconds <= MAX_SECONDS:
            raise RequestError(
                f"{request.init} lasts {source.seconds:.2f} s; {MIN_SECONDS:g} to "
                f"{MAX_SECONDS:g} s can be worked on, give another part of it"
            )
        if request.repaint:
            return _repaint(geometry, request, source)
        return _variation(geometry, request, source)
    if request.loop:
        return _loop(geometry, request.length_s)
    return _fresh(geometry, request.length_s)


def _fresh(geometry: Geometry, seconds: float) -> Plan:
    num_samples = round(seconds * geometry.mel.sample_rate)
    num_frames = math.ceil(num_samples / geometry.mel.hop_length)
    return Plan(
        canvas=geometry.canvas(math.ceil(num_frames / geometry.factor)),
        finish=lambda samples: Waveform(samples[:num_samples], geometry.mel.sample_rate),
        num_mel_frames=num_frames,
    )


def _loop(geometry: Geometry, seconds: float) -> Plan:
    """A circular canvas of the nearest whole number of latent frames.

    The mel is stretched to the nearest frame (at most half a latent frame in all) and the samples
    to the exact count (at most half a hop), both periodically, so nothing is cut at the seam.
    """
    num_samples = round(seconds * geometry.mel.sample_rate)
    num_frames = round(num_samples / geometry.mel.hop_length)

    def finish(samples: FloatArray) -> Waveform:
        exact = resample_periodic(samples, num_samples).astype(np.float32)
        return Waveform(exact, geometry.mel.sample_rate)

    return Plan(
        canvas=geometry.canvas(max(1, round(num_frames / geometry.factor)), circular=True),
        finish=finish,
        num_mel_frames=num_frames,
    )


def _variation(geometry: Geometry, request: GenerateRequest, source: Waveform) -> Plan:
    samples, gain = _normalised(source.resampled(geometry.mel.sample_rate).mono, request.init)
    plan = (_loop if request.loop else _fresh)(geometry, len(samples) / geometry.mel.sample_rate)

    def finish(drawn: FloatArray) -> Waveform:
        result = plan.finish(drawn)
        return Waveform(result.samples / gain, result.sample_rate)

    return Plan(
        canvas=plan.canvas,
        finish=finish,
        num_mel_frames=plan.num_mel_frames,
        init=geometry.encode(samples, plan.canvas.shape[1]),
        strength=DEFAULT_STRENGTH if request.strength is None else request.strength,
    )


def _repaint(geometry: Geometry, request: GenerateRequest, source: Waveform) -> Plan:
    for start, end in request.repaint:
        if end > source.seconds + 1 / source.sample_rate:
            raise RequestError(
                f"repaint region {start:g}-{end:g} s ends after {request.init}, which lasts "
                f"{source.seconds:.2f} s"
            )
    # Only the regions and half a training clip around them are drawn.
    context = geometry.window / 2
    first = max(0, math.floor(min(a for a, _ in request.repaint) * geometry.latent_rate - context))
    last = math.ceil(max(b for _, b in request.repaint) * geometry.latent_rate + context)
    last = min(last, math.ceil(source.seconds * geometry.latent_rate))
    canvas = geometry.canvas(last - first)
    begin_s = first / geometry.latent_rate
    model_samples = source.resampled(geometry.mel.sample_rate).mono
    begin = round(begin_s * geometry.mel.sample_rate)
    excerpt, gain = _normalised(model_samples[begin:], request.init)
    times = (first + torch.arange(canvas.shape[1])) / geometry.latent_rate
    keep = torch.ones(canvas.shape[1], dtype=torch.bool)
    for start, end in request.repaint:
        keep &= (times + 1 / geometry.latent_rate <= start) | (times >= end)
    latent = geometry.encode(excerpt, canvas.shape[1])

    def finish(drawn: FloatArray) -> Waveform:
        new = _matched(drawn / gain, geometry.mel.sample_rate, source)
        return _paste(source, new, begin_s, request.repaint)

    return Plan(
        canvas=canvas,
        finish=finish,
        num_mel_frames=canvas.shape[1] * geometry.factor,
        known=Known(latent, keep.to(latent.device)),
        seams_s=_inside(source.seconds, [edge for r in _joined(request.repaint) for edge in r]),
    )


def _continuation(geometry: Geometry, request: GenerateRequest, source: Waveform) -> Plan:
    """New sound after a file or before it; the part of the file next to the seam is known."""
    rate, is_after = geometry.mel.sample_rate, request.continue_side == "after"
    context = min(geometry.window // 2, int(source.seconds * geometry.latent_rate))
    if context == 0:
        raise AudioError(
            f"{request.continue_file}: {source.seconds:.3f} s are too short to "
            f"{'continue' if is_after else 'lead up to'}; give at least "
            f"{1 / geometry.latent_rate:.2f} s"
        )
    canvas = geometry.canvas(context + math.ceil(request.length_s * geometry.latent_rate))
    # Before a file, the canvas ends with it and may begin earlier than was asked for.
    first = 0 if is_after else canvas.shape[1] - context
    taken = round(context / geometry.latent_rate * rate)
    lead_in = round(first / geometry.latent_rate * rate)
    samples = source.resampled(rate).mono
    nearest = samples[-taken:] if is_after else samples[:taken]
    excerpt, gain = _normalised(nearest, request.continue_file)
    latent = geometry.encode(np.pad(excerpt, (lead_in, 0)), canvas.shape[1])
    frames = torch.arange(canvas.shape[1])
    keep = (first <= frames) & (frames < first + context)
    kept, added = source.samples.shape[1], round(request.length_s * source.sample_rate)
    # Samples of the result at which the excerpt and, before it, the canvas begin.
    start = kept - round(taken / rate * source.sample_rate) if is_after else added
    begin = start - round(lead_in / rate * source.sample_rate)

    def finish(drawn: FloatArray) -> Waveform:
        new = _matched(drawn / gain, rate, source)
        return _extended(source, new, begin, added, is_after=is_after)

    return Plan(
        canvas=canvas,
        finish=finish,
        num_mel_frames=canvas.shape[1] * geometry.factor,
        known=Known(latent, keep.to(latent.device)),
        seams_s=((kept if is_after else added) / source.sample_rate,),
    )


def _extended(
    source: Waveform, new: FloatArray, begin: int, added: int, *, is_after: bool
) -> Waveform:
    """`source` with `added` samples of `new`, which begins `begin` samples into the result.

    The cross-fade lies in the given sound, next to the seam.
    """
    rate = source.sample_rate
    padding = (0, added) if is_after else (added, 0)
    longer = Waveform(np.pad(source.samples, [(0, 0), padding]), rate)
    if is_after:
        drawn_s = (source.seconds - FADE_S, longer.seconds)
    else:
        drawn_s = (0.0, added / rate + FADE_S)
    return _paste(longer, new, begin / rate, (drawn_s,))


def _normalised(samples: FloatArray, name: str | None) -> tuple[FloatArray, float]:
    """Samples at the level of the training clips, and the gain that brought them there."""
    if rms_dbfs(samples) < SILENCE_DBFS:
        raise AudioError(f"{name}: silent where it matters; give a file with sound in it")
    gain = TRAINING_PEAK / peak(samples)
    return samples * np.float32(gain), gain


def _matched(samples: FloatArray, rate: int, source: Waveform) -> FloatArray:
    """Drawn mono samples at the source's rate, (1, T); channels broadcast when pasted."""
    return Waveform(samples, rate).resampled(source.sample_rate).samples


def _paste(
    source: Waveform,
    new: FloatArray,
    begin_s: float,
    regions: tuple[tuple[float, float], ...],
) -> Waveform:
    """Replace regions of `source` by `new`, which begins `begin_s` into it.

    Inside a region the first and last `FADE_S` cross-fade linearly; outside every sample is the
    source's own. At an end of the file there is nothing to fade from. New sound that is too loud
    for a file is turned down, for turning down the file would change the source.
    """
    rate, total = source.sample_rate, source.samples.shape[1]
    share = np.zeros(total, dtype=np.float32)  # of the new sound
    fade = round(FADE_S * rate)
    for start_s, end_s in _joined(regions):
        start, end = round(start_s * rate), min(round(end_s * rate), total)
        size = min(fade, (end - start) // 2)
        gain = np.ones(end - start, dtype=np.float32)
        ramp = (np.arange(1, size + 1) / (size + 1)).astype(np.float32)
        if start > 0:
            gain[:size] = ramp
        if end < total:
            gain[end - start - size :] = ramp[::-1]
        share[start:end] = np.maximum(share[start:end], gain)
    offset = round(begin_s * rate)
    placed = np.zeros((1, total), dtype=np.float32)
    left, right = max(0, offset), min(total, offset + new.shape[1])
    placed[:, left:right] = new[:, left - offset : right - offset]
    placed[:, share == 0] = 0
    placed /= max(1.0, peak(placed) / max(1.0, peak(source.samples)))
    mixed = source.samples * (1 - share) + placed * share
    return Waveform(np.where(share == 0, source.samples, mixed), rate)


def _joined(regions: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """Regions in order, with those that touch or overlap made one."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(regions):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _inside(seconds: float, edges: list[float]) -> tuple[float, ...]:
    return tuple(edge for edge in edges if FADE_S < edge < seconds - FADE_S)
