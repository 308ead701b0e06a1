"""Sound of a log-mel (N, M) by iterated phase (Griffin & Lim 1984).

Why beside HiFi-GAN: a convolutional generator answers a steady spectrum with a sound of the hop's
period, here a buzz at 100 Hz, until long training has taught it otherwise. Iteration has no such
preference, so a checkpoint trained on a small budget sounds better with it.
"""

import math

import torch
from torch import Tensor

from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.inversion.spectrum import TINY, linear_spectrum

ITERATIONS = 32
ACCELERATION = 0.99  # Perraudin et al. 2013 found it best
CHUNK = 1024  # mel frames at once: memory does not grow with the length
CONTEXT = 12  # mel frames shared by neighbouring chunks; a window reaches 3.2 to either side


@torch.no_grad()
def griffin_lim(mel: Tensor, config: MelConfig, *, circular: bool = False) -> Tensor:
    """Waveform (T,) of a log-mel, T = N * hop, by the fast Griffin-Lim algorithm.

    Long sounds are found chunk by chunk; each chunk keeps the end of the one before it, so that no
    phase jumps. The phases start from fixed random ones: the result depends on `mel` alone.

    Args:
        mel: Log-mel (N, M), N at least 4, for a circle 2 * CONTEXT.
        config: Signal numbers.
        circular: Let the end run into the beginning, as a loop does.
    """
    length, hop = len(mel), config.hop_length
    size = min(CHUNK, math.ceil(length / 2)) if circular else CHUNK
    origin = -CONTEXT if circular else 0  # mel frame of the first sample
    samples = mel.new_zeros(0, dtype=torch.float32)
    for start in range(0, length, size):
        end = min(start + size, length)
        first = start - CONTEXT if start or circular else 0
        last = end + CONTEXT if circular else min(end + CONTEXT, length + 1)
        frames = torch.arange(first, last, device=mel.device)
        frames = frames % length if circular else frames.clamp(max=length - 1)
        magnitude = linear_spectrum(mel[frames], config)
        known = magnitude.new_full(magnitude.shape, math.nan, dtype=torch.complex64)
        if start:
            known[:, :CONTEXT] = _frames(samples, first - origin, config)
        if circular and end == length:
            known[:, -CONTEXT:] = _frames(samples, -origin, config)
        part = _with_phase(magnitude, known, config)
        seam = (start - CONTEXT // 2 if start else first) * hop
        samples = torch.cat([samples[: seam - origin * hop], part[seam - first * hop :]])
    if not circular:
        return samples[: length * hop]
    shift = CONTEXT // 2 * hop  # only behind the second seam are both ends of one piece
    whole = samples[shift - origin * hop :][: length * hop]
    return whole.roll(shift)


def _with_phase(magnitude: Tensor, known: Tensor, config: MelConfig) -> Tensor:
    """Samples whose spectrum is `known` where that is a number, else has these magnitudes."""
    n_fft, hop = config.n_fft, config.hop_length
    free = known.real.isnan()
    window = torch.hann_window(n_fft, device=magnitude.device)

    def sound(estimate: Tensor) -> Tensor:
        phase = estimate / estimate.abs().clamp(min=TINY)
        return torch.istft(torch.where(free, magnitude * phase, known), n_fft, hop, window=window)

    turns = torch.rand(magnitude.shape, generator=torch.Generator().manual_seed(0))
    estimate = torch.polar(torch.ones_like(turns), 2 * math.pi * turns).to(magnitude.device)
    previous = None
    for _ in range(ITERATIONS):
        consistent = torch.stft(sound(estimate), n_fft, hop, window=window, return_complex=True)
        step = 0 if previous is None else ACCELERATION * (consistent - previous)
        estimate, previous = consistent + step, consistent
    return sound(estimate)


def _frames(samples: Tensor, first: int, config: MelConfig) -> Tensor:
    """Complex spectrum (F, CONTEXT) of the frames from number `first` on."""
    begin = first * config.hop_length - config.n_fft // 2
    count = (CONTEXT - 1) * config.hop_length + config.n_fft
    return torch.stft(
        samples[begin : begin + count],
        config.n_fft,
        config.hop_length,
        window=torch.hann_window(config.n_fft, device=samples.device),
        center=False,
        return_complex=True,
    )
