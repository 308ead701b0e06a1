"""Between waveform and latent at any length, in bounded memory.

The autoencoder normalises over time, so its chunks overlap and are cross-faded; the vocoder is
purely convolutional, so its chunks only need enough context on both sides to be exact.
"""

from collections.abc import Callable

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F
from transformers import SpeechT5HifiGan

from musicgen_ldm.config.generation import VocoderName
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.inversion.griffin_lim import griffin_lim
from musicgen_ldm.models.vae import decode, encode, reduction
from musicgen_ldm.models.vocoder import vocode
from musicgen_ldm.windows import iterate_windows

VOCODER_CONTEXT = 32  # mel frames; HiFi-GAN V1 sees 21 to either side
VOCODER_CHUNK = 512  # mel frames; half a training clip takes half the memory and no more time
CIRCLE_CONTEXT = 16  # latent frames wrapped around a loop before decoding


def _blend_windows(
    source: Tensor, size: int, ratio: float, apply: Callable[[Tensor], Tensor]
) -> Tensor:
    """Apply a network to overlapping windows of axis 2 and cross-fade its outputs.

    Args:
        source: (1, ·, L, ·).
        size: Window length on axis 2; the whole of a shorter source is one window.
        ratio: Output frames per input frame.
        apply: Maps (1, ·, size, ·) to (1, ·, size * ratio, ·).
    """
    length = source.shape[2]
    size = min(size, length)
    total: Tensor | None = None
    for index, weight in iterate_windows(length, size, 0, circular=False):
        output = apply(source[:, :, index])
        start, count = int(index[0] * ratio), output.shape[2]
        fade = F.interpolate(weight[None, None], size=count, mode="linear")[0, 0].to(output.device)
        if total is None:
            shape = list(output.shape)
            shape[2] = int(length * ratio)
            total, weights = output.new_zeros(shape), output.new_zeros(shape[2])
        total[:, :, start : start + count] += output * fade[:, None]
        weights[start : start + count] += fade
    assert total is not None
    return total / weights[:, None]


@torch.no_grad()
def mel_to_latent(vae: AutoencoderKL, mel: Tensor, chunk: int) -> Tensor:
    """Deterministic latent (1, C, N', M') of a log-mel (1, 1, N, M), N a multiple of the factor.

    Args:
        vae: Autoencoder.
        mel: Log-mel.
        chunk: Mel frames per window, a multiple of the factor.
    """
    factor = reduction(vae)
    return _blend_windows(
        mel.to(vae.dtype), chunk, 1 / factor, lambda part: encode(vae, part)
    ).float()


@torch.no_grad()
def latent_to_mel(vae: AutoencoderKL, latent: Tensor, chunk: int, *, circular: bool) -> Tensor:
    """Log-mel (1, 1, N, M) of a latent (1, C, N', M').

    Args:
        vae: Autoencoder.
        latent: Scaled latent.
        chunk: Latent frames per window.
        circular: Decode with the end as context of the beginning and the other way round.
    """
    factor = reduction(vae)
    context = min(CIRCLE_CONTEXT, latent.shape[2]) if circular else 0
    if context:
        latent = torch.cat([latent[:, :, -context:], latent, latent[:, :, :context]], dim=2)
    mel = _blend_windows(
        latent.to(vae.dtype), chunk + 2 * context, factor, lambda part: decode(vae, part)
    ).float()
    return mel[:, :, context * factor : mel.shape[2] - context * factor]


def mel_to_waveform(
    kind: VocoderName,
    vocoder: SpeechT5HifiGan,
    mel: Tensor,
    config: MelConfig,
    *,
    circular: bool = False,
) -> Tensor:
    """Waveform (T,) of a log-mel (1, 1, N, M), T = N * hop, whatever its length.

    Args:
        kind: "hifi-gan" for `vocoder`, "griffin-lim" for the phases of `inversion`.
        vocoder: Generator.
        mel: Log-mel.
        config: What the log-mel is of.
        circular: Take the context of either end from the other one.
    """
    if kind == "griffin-lim":
        return griffin_lim(mel[0, 0], config, circular=circular)
    return _vocoded(vocoder, mel, circular=circular)


@torch.no_grad()
def _vocoded(vocoder: SpeechT5HifiGan, mel: Tensor, *, circular: bool) -> Tensor:
    mel = mel.to(vocoder.dtype)
    length = mel.shape[2]
    context = min(VOCODER_CONTEXT, length) if circular else 0
    padded = torch.cat([mel[:, :, -context:], mel, mel[:, :, :context]], dim=2) if context else mel
    parts = []
    for start in range(context, context + length, VOCODER_CHUNK):
        end = min(start + VOCODER_CHUNK, context + length)
        left = max(0, start - VOCODER_CONTEXT)
        right = min(padded.shape[2], end + VOCODER_CONTEXT)
        samples = vocode(vocoder, padded[:, :, left:right])[0].float()
        hop = len(samples) // (right - left)
        parts.append(samples[(start - left) * hop : (end - left) * hop])
    return torch.cat(parts)


def resize_circular(mel: Tensor, num_frames: int) -> Tensor:
    """Stretch a looping log-mel (1, 1, N, M) to (1, 1, num_frames, M), linearly and seamlessly."""
    length = mel.shape[2]
    if length == num_frames:
        return mel
    position = torch.arange(num_frames, device=mel.device) * (length / num_frames)
    lower = position.long()
    share = (position - lower)[:, None].to(mel.dtype)
    return mel[:, :, lower] * (1 - share) + mel[:, :, (lower + 1) % length] * share
