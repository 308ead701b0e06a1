"""A take for the eye and for the screen reader: waveform over spectrogram, and a sentence."""

from collections.abc import Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from PIL import Image

from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.novelty import Threshold
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.ui import texts
from musicgen_ldm.ui.late import IMPORTING

if TYPE_CHECKING:
    from musicgen_ldm.ui.engine import Step

WIDTH, WAVE_HEIGHT, MEL_HEIGHT = 900, 90, 128  # pixels
DYNAMIC_RANGE = 7.0  # natural-log units from the loudest cell down to black
WAVE_COLOUR, GROUND = (98, 196, 176), (16, 20, 28)
SILENT_PEAK = 1e-4  # what is quieter than -80 dB is drawn as a line
STREAMED_LUFS = -14.0  # what the large music services turn everything to
DIMMED = 3  # times darker outside a region
HAS_ALT_TEXT = "alt_text" in signature(gr.Image).parameters


def alt(text: str) -> dict[str, Any]:
    """What a screen reader says for an image; a gradio before 6.28 has nowhere to put it."""
    return {"alt_text": text} if HAS_ALT_TEXT else {}


def picture(waveform: Waveform, region: tuple[float, float] | None = None) -> Image.Image:
    """Waveform above log-mel spectrogram, time from left to right across the whole width.

    Args:
        waveform: The sound.
        region: Start and end in seconds of what is lit up; the rest is dimmed.
    """
    with IMPORTING:
        import torch

        from musicgen_ldm.mel import log_mel
    mel = MelConfig()
    samples = torch.from_numpy(waveform.resampled(mel.sample_rate).mono)[None]
    image = np.concatenate([_wave(waveform), mel_image(log_mel(samples, mel)[0, 0].numpy())])
    if region is not None:
        first, last = (round(time_s / waveform.seconds * WIDTH) for time_s in region)
        image[:, :first] //= DIMMED
        image[:, last:] //= DIMMED
    return Image.fromarray(image)


def preview(step: "Step") -> np.ndarray:
    """The spectrogram that a rendering is heading for, as RGB (MEL_HEIGHT, WIDTH, 3)."""
    with IMPORTING:
        from musicgen_ldm.codec import latent_to_mel
    clean = step.progress.clean
    mel = latent_to_mel(step.model.checkpoint.vae, clean, clean.shape[2], circular=False)
    return mel_image(mel[0, 0].cpu().numpy())


def mel_image(mel: np.ndarray) -> np.ndarray:
    """A log-mel (N, M) as RGB (MEL_HEIGHT, WIDTH, 3), low notes at the bottom."""
    level = np.clip((mel.T[::-1] - mel.max()) / DYNAMIC_RANGE + 1, 0, 1)
    scaled = Image.fromarray((255 * level).astype(np.uint8)).resize((WIDTH, MEL_HEIGHT))
    level = np.asarray(scaled, dtype=np.float32)[..., None] / 255
    # Dark blue over orange to white, readable without colour by its rising lightness.
    red, green, blue = np.minimum(1, 1.6 * level), level**1.5, 0.15 + 0.5 * level**3
    return (255 * np.clip(np.concatenate([red, green, blue], axis=2), 0, 1)).astype(np.uint8)


def _wave(waveform: Waveform) -> np.ndarray:
    image = np.full((WAVE_HEIGHT, WIDTH, 3), GROUND, dtype=np.uint8)
    samples = np.abs(waveform.mono)
    columns = np.array_split(samples / max(float(samples.max(initial=0.0)), SILENT_PEAK), WIDTH)
    middle = WAVE_HEIGHT // 2
    for x, column in enumerate(columns):
        half = int(min(1.0, float(column.max(initial=0.0))) * (middle - 1))
        image[middle - half : middle + half + 1, x] = WAVE_COLOUR
    return image


def describe(seconds: float, record: Mapping[str, Any]) -> str:
    """One plain sentence about a take, for everybody and for screen readers first."""
    measured, scores = record.get("measured", {}), record.get("scores", {})
    parts = [texts.SECONDS.format(seconds)]
    if measured.get("bpm"):
        parts.append(texts.TEMPO.format(measured["bpm"]) + _asked(measured.get("asked_bpm")))
    elif measured.get("asked_bpm"):
        parts.append(texts.NO_TEMPO + _asked(measured["asked_bpm"]))
    if measured.get("key"):
        parts.append(texts.SOUNDS_LIKE.format(measured["key"]) + _asked(measured.get("asked_key")))
    if measured.get("loudness_lufs") is not None:
        parts.append(_loudness(round(measured["loudness_lufs"] - STREAMED_LUFS)))
    if "text_fit" in scores:
        parts.append(texts.TEXT_FIT.format(scores["text_fit"]))
    if "nearest_training" in scores:
        is_near = scores["nearest_training"] > Threshold.of_record(record).similarity
        verdict = texts.MAY_COPY if is_near else texts.NO_COPY
        parts.append(texts.NEAREST.format(scores["nearest_training"], verdict))
    if "seam" in measured:
        is_heard = measured["seam"] > 1
        parts.append(texts.SEAM.format(measured["seam"]) if is_heard else texts.NO_SEAM)
    if measured.get("faults"):
        faults = (texts.FAULTS[fault] for fault in measured["faults"])
        parts.append(texts.BUT + texts.AND.join(faults))
    return ", ".join(parts) + "."


def _loudness(difference_db: int) -> str:
    if not difference_db:
        return texts.AS_LOUD
    return (texts.LOUDER if difference_db > 0 else texts.QUIETER).format(abs(difference_db))


def _asked(value: float | str | None) -> str:
    if not value:
        return ""
    return texts.ASKED.format(value if isinstance(value, str) else f"{value:g}")
