"""Losses between spectra. All are means over items, so that accumulation equals the large batch.

The autoencoder's perceptual term is a multi-scale distance of log-mels and of their slopes rather
than LPIPS. LPIPS is made of features learned on ImageNet photographs: its weights are a download
with terms of their own, its idea of likeness is not one of sound, and its VGG-16 spends 40 GFLOP
a pass on a (1024, 64) mel, three passes a clip, as much as the whole `pocket` autoencoder (123).
Averaging over growing cells keeps the energy of a region right even where details are missed, and
slopes along time and frequency make blurred onsets and harmonics expensive, which plain L1 does
not. It costs a handful of element-wise passes and no convolution.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Resolution:
    """One short-time Fourier transform: sizes in samples."""

    n_fft: int
    hop: int
    window: int


# Yamamoto et al. 2020 (Parallel WaveGAN)
RESOLUTIONS = (
    Resolution(n_fft=512, hop=50, window=240),
    Resolution(n_fft=1024, hop=120, window=600),
    Resolution(n_fft=2048, hop=240, window=1200),
)
MEL_SCALES = (1, 2, 4, 8)  # cell edges, in frames and bins
MAGNITUDE_FLOOR = 1e-5
# Spectral convergence divides by the target, which may be a rest: below this root mean square of
# a magnitude (about -40 dBFS) the error counts as an absolute one.
QUIET_MAGNITUDE = 0.1


def magnitude(waveform: Tensor, resolution: Resolution) -> Tensor:
    """Magnitude spectrum (B, n_fft / 2 + 1, frames) of a waveform (B, T), at least the floor."""
    spectrum = torch.stft(
        waveform,
        n_fft=resolution.n_fft,
        hop_length=resolution.hop,
        win_length=resolution.window,
        window=torch.hann_window(resolution.window, device=waveform.device),
        return_complex=True,
    )
    # The root of a clamped square, because abs() has no gradient at 0.
    power = spectrum.real.square() + spectrum.imag.square()
    return power.clamp(min=MAGNITUDE_FLOOR**2).sqrt()


def multi_resolution_stft_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Spectral convergence plus log-magnitude L1, averaged over three resolutions.

    Args:
        predicted: Waveform (B, T) in [-1, 1].
        target: Waveform (B, T).

    Returns:
        Scalar; 0 for equal waveforms (Yamamoto et al. 2020, eq. 4-6, per item).
    """
    total = predicted.new_zeros(())
    for resolution in RESOLUTIONS:
        p, t = magnitude(predicted, resolution), magnitude(target, resolution)
        quiet = QUIET_MAGNITUDE * math.sqrt(t[0].numel())
        convergence = (t - p).norm(dim=(1, 2)) / t.norm(dim=(1, 2)).clamp(min=quiet)
        total = total + convergence.mean() + F.l1_loss(p.log(), t.log())
    return total / len(RESOLUTIONS)


def multiscale_mel_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """L1 of log-mels and of their slopes, averaged over cells of growing size.

    Args:
        predicted: Log-mel (B, 1, N, M).
        target: Log-mel (B, 1, N, M).

    Returns:
        Scalar; 0 for equal mels, |c| for mels that differ by a constant c.
    """
    error = predicted - target
    total = error.new_zeros(())
    for scale in MEL_SCALES:
        coarse = F.avg_pool2d(error, scale) if scale > 1 else error
        time_slope = coarse.diff(dim=2).abs().mean()
        frequency_slope = coarse.diff(dim=3).abs().mean()
        total = total + coarse.abs().mean() + time_slope + frequency_slope
    return total / len(MEL_SCALES)
