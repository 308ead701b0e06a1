"""The one log-mel definition (Chen et al. 2023, released configuration).

Shapes: waveform (B, T) in [-1, 1], mel (B, 1, N, M), time before frequency.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

from musicgen_ldm.config.signal import MelConfig


@lru_cache(maxsize=8)
def filter_bank(config: MelConfig) -> Tensor:
    """Slaney mel filters with Slaney area normalisation, (n_fft / 2 + 1, M) float32."""
    bank = mel_filter_bank(
        num_frequency_bins=config.n_fft // 2 + 1,
        num_mel_filters=config.num_bins,
        min_frequency=config.fmin,
        max_frequency=config.fmax,
        sampling_rate=config.sample_rate,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(bank.astype(np.float32))


def magnitudes(waveform: Tensor, config: MelConfig) -> Tensor:
    """Linear magnitude spectrum (B, N, n_fft / 2 + 1) of a waveform (B, T), N = T / hop.

    A centred transform yields T / hop + 1 frames; the last is dropped, as in the reference.
    """
    spectrum = torch.stft(
        waveform,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        window=torch.hann_window(config.n_fft, device=waveform.device),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    ).abs()  # (B, n_fft / 2 + 1, N + 1)
    return spectrum[:, :, : waveform.shape[-1] // config.hop_length].transpose(1, 2)


def log_mel(waveform: Tensor, config: MelConfig) -> Tensor:
    """Natural-log mel magnitudes of a waveform.

    Args:
        waveform: (B, T) in [-1, 1], T at least n_fft / 2 + 1 (reflect padding needs it).
        config: Signal numbers.

    Returns:
        (B, 1, N, M), N = T / hop; digital silence is log(floor) everywhere.
    """
    frames = magnitudes(waveform, config)
    # A surrounding autocast would round the quiet bins away.
    with torch.autocast(waveform.device.type, enabled=False):
        mel = frames @ filter_bank(config).to(waveform.device)  # (B, N, M)
    return mel.clamp(min=config.floor).log().unsqueeze(1)
