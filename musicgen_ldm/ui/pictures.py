"""A take for the eye and for the screen reader: waveform over spectrogram, and a sentence."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image

from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.mel import log_mel
from musicgen_ldm.ui import texts

WIDTH, WAVE_HEIGHT, MEL_HEIGHT = 900, 90, 128  # pixels
DYNAMIC_RANGE = 7.0  # natural-log units from the loudest cell down to black
WAVE_COLOUR, GROUND = (98, 196, 176), (16, 20, 28)
FAULT_WORDS = {
    "silent": "it is silent",
    "gaps": "it has long gaps",
    "clipped": "it is distorted",
    "dc": "it is off centre",
}


def picture(waveform: Waveform, mel: MelConfig) -> Image.Image:
    """Waveform above log-mel spectrogram, time from left to right across the whole width."""
    wave = _wave(waveform)
    samples = torch.from_numpy(waveform.resampled(mel.sample_rate).mono)[None]
    return Image.fromarray(np.concatenate([wave, mel_image(log_mel(samples, mel)[0, 0].numpy())]))


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
    columns = np.array_split(np.abs(waveform.mono), WIDTH)
    middle = WAVE_HEIGHT // 2
    for x, column in enumerate(columns):
        half = int(min(1.0, float(column.max(initial=0.0))) * (middle - 1))
        image[middle - half : middle + half + 1, x] = WAVE_COLOUR
    return image


def describe(seconds: float, record: Mapping[str, Any]) -> str:
    """One plain sentence about a take, for everybody and for screen readers first."""
    measured, asked = record.get("measured", {}), record.get("request", {})
    scores = record.get("scores", {})
    tempo = key = loudness = fit = seam = faults = ""
    if measured.get("bpm"):
        tempo = f", about {measured['bpm']:.0f} beats per minute"
        tempo += f" (asked {asked['bpm']:g})" if asked.get("bpm") else ""
    if measured.get("key"):
        key = f", sounds like {measured['key']}"
        key += f" (asked {asked['key']})" if asked.get("key") else ""
    if measured.get("loudness_lufs") is not None:
        loudness = f", loudness {measured['loudness_lufs']:.0f} LUFS"
    if "text_fit" in scores:
        fit = f", text fit {scores['text_fit']:.2f}"
    if "seam" in measured:
        seam = ", seam inaudible" if measured["seam"] <= 1 else f", seam {measured['seam']:.1f}"
    if measured.get("faults"):
        faults = ", but " + " and ".join(FAULT_WORDS[fault] for fault in measured["faults"])
    return texts.DESCRIPTION.format(
        seconds=seconds, tempo=tempo, key=key, loudness=loudness, fit=fit, seam=seam, faults=faults
    )
