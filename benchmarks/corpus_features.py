"""Plain audio statistics of corpus clips, for the probe and the diversity measure.

Nothing learned: means, spreads and modulations of the project's log-mel, the autocorrelation of
its spectral flux, and a chroma profile.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from musicgen_ldm.audio import read_audio
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.corpus.theory import tonic_pitch_class
from musicgen_ldm.data.manifest import Clip, read_manifest
from musicgen_ldm.mel import log_mel

Features = npt.NDArray[np.float32]

TEMPI_BPM = np.geomspace(40, 260, 48)
CHROMA_FFT = 8192


def read_clips(manifest: Path, limit: int | None = None) -> list[Clip]:
    """Single pieces (no sequences of two) of a manifest, evenly thinned to `limit`."""
    return thinned(
        [clip for clip in read_manifest(manifest) if "sequence" not in clip.extra], limit
    )


def thinned(clips: list[Clip], limit: int | None) -> list[Clip]:
    """At most `limit` of `clips`, evenly spread; None keeps all."""
    if limit is None or len(clips) <= limit:
        return clips
    return [clips[i] for i in np.linspace(0, len(clips) - 1, limit).astype(int)]


def describe(clips: Sequence[Clip], folders: Sequence[Path]) -> tuple[Features, Features]:
    """Mel and rhythm statistics (clips, F), and chroma (clips, 12) starting at C.

    The path of each clip is relative to its entry of `folders`.
    """
    paths = [folder / clip.path for clip, folder in zip(clips, folders, strict=True)]
    rows, chromas = zip(*(_clip_features(path) for path in tqdm(paths, unit="clip")), strict=True)
    return np.stack(rows), np.stack(chromas)


def from_tonic(chroma: Features, clips: Sequence[Clip]) -> Features:
    """Chroma turned so that each clip's own tonic comes first."""
    turned = [
        np.roll(row, -tonic_pitch_class(clip.tags.key or "C"))
        for row, clip in zip(chroma, clips, strict=True)
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
    power = np.abs(librosa.stft(audio, n_fft=CHROMA_FFT, hop_length=CHROMA_FFT // 4)) ** 2
    chroma = librosa.util.normalize(_chroma_filters(config.sample_rate) @ power, axis=0)
    return np.concatenate(statistics).astype(np.float32), chroma.mean(axis=1)


@cache
def _chroma_filters(sample_rate: int) -> Features:
    """(12, bins); `librosa.feature.chroma_stft` would make them anew for every clip."""
    return librosa.filters.chroma(sr=sample_rate, n_fft=CHROMA_FFT, tuning=0.0)


def _pulse(envelope: Features, frame_rate: float) -> Features:
    """Autocorrelation of an onset envelope at the beat periods of `TEMPI_BPM`."""
    centred = envelope - envelope.mean()
    spectrum = np.abs(np.fft.rfft(centred, 2 * len(centred))) ** 2
    correlation = np.fft.irfft(spectrum)[: len(centred)]
    correlation /= max(1e-9, correlation[0])
    lags = 60 / TEMPI_BPM * frame_rate
    return np.interp(lags, np.arange(len(correlation)), correlation)
