"""Plain audio statistics of corpus clips, for the probe and the diversity measure.

Nothing learned: means, spreads and modulations of the project's log-mel, the autocorrelation of
its spectral flux, and a chroma profile.
"""

from collections.abc import Sequence
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import torch

from musicgen_ldm.audio import read_audio
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.data.manifest import Clip, read_manifest
from musicgen_ldm.mel import log_mel

Features = npt.NDArray[np.float32]

TEMPI_BPM = np.geomspace(40, 260, 48)
TONICS = {"C": 0, "Db": 1, "C#": 1, "D": 2, "Eb": 3, "D#": 3, "E": 4, "F": 5, "F#": 6, "Gb": 6,
          "G": 7, "Ab": 8, "G#": 8, "A": 9, "Bb": 10, "A#": 10, "B": 11, "Cb": 11}  # fmt: skip


def read_clips(manifest: Path, limit: int | None = None) -> list[Clip]:
    """Single pieces (no sequences of two) of a manifest, evenly thinned to `limit`."""
    clips = [clip for clip in read_manifest(manifest) if "sequence" not in clip.extra]
    if limit is not None and len(clips) > limit:
        clips = [clips[i] for i in np.linspace(0, len(clips) - 1, limit).astype(int)]
    return clips


def describe(clips: Sequence[Clip], folder: Path) -> tuple[Features, Features]:
    """Mel and rhythm statistics (clips, F), and chroma (clips, 12) starting at C."""
    rows, chromas = zip(*(_clip_features(folder / clip.path) for clip in clips), strict=True)
    return np.stack(rows), np.stack(chromas)


def from_tonic(chroma: Features, clips: Sequence[Clip]) -> Features:
    """Chroma turned so that each clip's own tonic comes first."""
    turned = [
        np.roll(row, -TONICS[clip.tags.key or "C"]) for row, clip in zip(chroma, clips, strict=True)
    ]
    return np.stack(turned)


def _clip_features(path: Path) -> tuple[Features, Features]:
    config = MelConfig()
    audio = read_audio(path, sample_rate=config.sample_rate).mono
    mel = log_mel(torch.from_numpy(audio)[None], config)[0, 0].numpy()  # (N, M)
    flux = np.maximum(np.diff(mel, axis=0), 0)
    statistics = [
        mel.mean(axis=0),
        mel.std(axis=0),
        np.percentile(mel, 10, axis=0),
        np.percentile(mel, 90, axis=0),
        flux.mean(axis=0),
        flux.std(axis=0),
        _pulse(flux[:, :20].mean(axis=1), config.frame_rate),
        _pulse(flux[:, 20:].mean(axis=1), config.frame_rate),
    ]
    spectrum = np.abs(librosa.stft(audio, n_fft=8192, hop_length=2048))
    chroma = librosa.feature.chroma_stft(S=spectrum**2, sr=config.sample_rate, tuning=0.0)
    return np.concatenate(statistics).astype(np.float32), chroma.mean(axis=1)


def _pulse(envelope: Features, frame_rate: float) -> Features:
    """Autocorrelation of an onset envelope at the beat periods of `TEMPI_BPM`."""
    centred = envelope - envelope.mean()
    spectrum = np.abs(np.fft.rfft(centred, 2 * len(centred))) ** 2
    correlation = np.fft.irfft(spectrum)[: len(centred)]
    correlation /= max(1e-9, correlation[0])
    lags = 60 / TEMPI_BPM * frame_rate
    return np.interp(lags, np.arange(len(correlation)), correlation)
