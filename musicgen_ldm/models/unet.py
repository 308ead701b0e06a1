"""The denoiser: a stock UNet that takes the CLAP vector as class embedding."""

import math

import torch
from diffusers import UNet2DConditionModel

from musicgen_ldm.config.models import UnetConfig


def build_unet(
    config: UnetConfig, *, latent_channels: int, embedding_dim: int, latent_frames: int
) -> UNet2DConditionModel:
    """A freshly initialised UNet.

    The projected embedding is concatenated to the time embedding and reaches every residual block
    as a bias; the "cross" attention has no context and attends to the latent itself (Chen et al.
    2023). Call it as `unet(latent, t, encoder_hidden_states=None, class_labels=embedding)`.

    Args:
        config: Channels per level.
        latent_channels: C.
        embedding_dim: D of the CLAP embedding.
        latent_frames: N' of a training clip; stock pipelines derive their default length from it.
    """
    levels = len(config.block_channels)
    unet = UNet2DConditionModel(
        sample_size=latent_frames,
        in_channels=latent_channels,
        out_channels=latent_channels,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * (levels - 1),
        up_block_types=("CrossAttnUpBlock2D",) * (levels - 1) + ("UpBlock2D",),
        block_out_channels=config.block_channels,
        layers_per_block=config.layers_per_block,
        norm_num_groups=config.norm_groups,
        cross_attention_dim=config.block_channels,
        # The argument is misnamed in diffusers: it is the number of heads.
        attention_head_dim=config.num_heads,
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=embedding_dim,
        class_embeddings_concat=True,
    )
    # The default initialisation expects inputs of unit variance; the components of a unit vector
    # are sqrt(D) times smaller, and the condition would be all but silent at first.
    with torch.no_grad():
        unet.class_embedding.weight.mul_(math.sqrt(embedding_dim))
    return unet


def reduction(unet: UNet2DConditionModel) -> int:
    """By how much time shrinks inside; the frames of a latent must be a multiple of it."""
    return int(2 ** (len(unet.config.block_out_channels) - 1))
