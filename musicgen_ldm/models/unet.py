"""The denoiser: a stock UNet that takes the CLAP vector as class embedding."""

import math

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

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


@torch.no_grad()
def whiten_condition(unet: UNet2DConditionModel, conditions: Tensor, floor: float) -> None:
    """Start the condition's projection anew, such that it hears every direction alike.

    Contrastive embeddings crowd into few directions (of the 512 of `pocket` ten hold nearly all
    variance), and a network told such vectors learns the others, where instruments and genres
    are told apart, last. The projection becomes a random rotation of the whitened conditions.

    Args:
        unet: Changed in place; only `class_embedding`.
        conditions: Vectors as training will show them (n, D).
        floor: Variances below this share of the largest count as this much, which keeps noise
            of hardly used directions small.
    """
    projection = unet.class_embedding
    conditions = conditions.to(projection.weight)
    mean = conditions.mean(dim=0)
    _, singular, directions = torch.linalg.svd(conditions - mean, full_matrices=False)
    deviations = (singular.square() + floor * singular[0].square()).sqrt()  # times sqrt(n)
    rotation = nn.init.orthogonal_(
        projection.weight.new_empty(len(projection.weight), len(singular))
    )
    weight = rotation @ (directions / deviations[:, None])
    weight /= ((conditions - mean) @ weight.T).std()
    projection.weight.copy_(weight)
    projection.bias.copy_(-weight @ mean)


def reduction(unet: UNet2DConditionModel) -> int:
    """By how much time shrinks inside; the frames of a latent must be a multiple of it."""
    return int(2 ** (len(unet.config.block_out_channels) - 1))
