"""The mel autoencoder: log-mel (B, 1, N, M) <-> scaled latent (B, C, N', M')."""

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from musicgen_ldm.config.models import VaeConfig


def build_vae(config: VaeConfig) -> AutoencoderKL:
    """A freshly initialised autoencoder; the scale is 1 until training has measured it."""
    levels = len(config.block_channels)
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=config.block_channels,
        layers_per_block=config.layers_per_block,
        latent_channels=config.latent_channels,
        norm_num_groups=config.norm_groups,
        scaling_factor=1.0,
    )


def reduction(vae: AutoencoderKL) -> int:
    """By how much time and frequency shrink from mel to latent."""
    return int(2 ** (len(vae.config.block_out_channels) - 1))


def encode(vae: AutoencoderKL, mel: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Latent of a mel, scaled to about unit variance.

    Args:
        vae: Autoencoder whose `scaling_factor` was measured.
        mel: Log-mel (B, 1, N, M); N and M multiples of the VAE's factor.
        generator: Samples the posterior with it; None takes the mean, which is deterministic.

    Returns:
        (B, C, N', M').
    """
    posterior = vae.encode(mel).latent_dist
    latent = posterior.mean if generator is None else posterior.sample(generator)
    return latent * vae.config.scaling_factor


def decode(vae: AutoencoderKL, latent: Tensor) -> Tensor:
    """Log-mel (B, 1, N, M) of a scaled latent (B, C, N', M')."""
    return vae.decode(latent / vae.config.scaling_factor).sample
