"""Embedders without weights: statistics of the log-mel and of the chroma.

They hear timbre, level and harmony, not meaning; they make every evaluation run offline and
catch noise, silence and wrong registers.
"""

from dataclasses import dataclass

import librosa
import numpy as np
import torch

from musicgen_ldm.audio import FloatArray
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.mel import log_mel
from musicgen_ldm.metrics.embedders.base import Features, identify

# 60 dB below full scale: what nobody hears must not dominate a distance.
AUDIBLE_MEL = MelConfig(floor=1e-3)
# Typical log-mel level and spread of music at -20 dBFS: brings the statistics near zero mean and
# unit scale, so that a cosine compares shapes instead of the common offset.
MEL_OFFSET, MEL_SCALE = -4.0, 2.0
CHROMA_FFT = 4096  # samples at 16 kHz: 4 Hz a bin


@dataclass(frozen=True)
class LogMelStatistics:
    """Mean and standard deviation over time of each mel bin, a second at a time."""

    mel: MelConfig = AUDIBLE_MEL
    name: str = "logmel"
    window_s: float = 1.0
    hop_s: float = 1.0

    @property
    def identity(self) -> str:
        """Changes with the mel definition."""
        return identify("logmel-1", self.mel, MEL_OFFSET, MEL_SCALE, self.window_s, self.hop_s)

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.mel.sample_rate

    @property
    def dim(self) -> int:
        """D = 2 M."""
        return 2 * self.mel.num_bins

    def __call__(self, windows: FloatArray) -> Features:
        """Features (W, 1, 2 M) of windows (W, T)."""
        mel = log_mel(torch.from_numpy(windows), self.mel)[:, 0].numpy()  # (W, N, M)
        mel = (mel - MEL_OFFSET) / MEL_SCALE
        return Features(np.concatenate([mel.mean(axis=1), mel.std(axis=1)], axis=1)[:, None])


@dataclass(frozen=True)
class ChromaStatistics:
    """Mean and standard deviation over time of the twelve pitch classes, two seconds at a time."""

    name: str = "chroma"
    sample_rate: int = 16_000
    window_s: float = 2.0
    hop_s: float = 2.0
    dim: int = 24

    @property
    def identity(self) -> str:
        """Changes with the analysis window."""
        return identify("chroma-1", self.sample_rate, CHROMA_FFT, self.window_s, self.hop_s)

    def __call__(self, windows: FloatArray) -> Features:
        """Features (W, 1, 24) of windows (W, T)."""
        chroma = librosa.feature.chroma_stft(
            y=windows, sr=self.sample_rate, n_fft=CHROMA_FFT, hop_length=CHROMA_FFT // 4, tuning=0.0
        )  # (W, 12, N)
        both = np.concatenate([chroma.mean(axis=2), chroma.std(axis=2)], axis=1)
        return Features(both[:, None].astype(np.float32))
