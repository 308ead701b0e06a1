"""The vocoder: log-mel (B, 1, N, M) -> waveform (B, T)."""

import math

from einops import rearrange
from torch import Tensor, nn
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from musicgen_ldm.config.models import VocoderConfig
from musicgen_ldm.config.signal import MelConfig


def build_vocoder(config: VocoderConfig, mel: MelConfig) -> SpeechT5HifiGan:
    """A freshly initialised HiFi-GAN generator for this mel.

    The stock initialisation (standard deviation 0.01, meant for weight norm) lets the signal
    vanish in the first layers, so every convolution starts with PyTorch's own.
    """
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=mel.num_bins,
            sampling_rate=mel.sample_rate,
            upsample_initial_channel=config.initial_channels,
            upsample_rates=list(config.upsample_rates),
            upsample_kernel_sizes=list(config.upsample_kernel_sizes),
            resblock_kernel_sizes=list(config.resblock_kernel_sizes),
            resblock_dilation_sizes=[list(d) for d in config.resblock_dilation_sizes],
            normalize_before=False,
        )
    )
    for module in vocoder.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            module.reset_parameters()
    return vocoder


def hop_length(vocoder: SpeechT5HifiGan) -> int:
    """Samples that one mel frame becomes."""
    return math.prod(vocoder.config.upsample_rates)


def vocode(vocoder: SpeechT5HifiGan, mel: Tensor) -> Tensor:
    """Waveform (B, T) in [-1, 1] with T = N * hop.

    The transposed convolutions add a tail of 32 samples, which is cut.
    """
    frames = rearrange(mel, "b 1 n m -> b n m")
    return vocoder(frames).reshape(len(frames), -1)[:, : frames.shape[1] * hop_length(vocoder)]
