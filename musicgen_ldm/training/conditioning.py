"""Which CLAP vector the denoiser is told, clip by clip."""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from musicgen_ldm.config.ldm_training import ConditionConfig


def choose_condition(
    audio: Tensor, text: Tensor, config: ConditionConfig, generator: Generator
) -> Tensor:
    """Audio or text embedding of each clip.

    Args:
        audio: Unit embeddings of the sounds (B, D).
        text: Unit embeddings of a caption each (B, D).
        config: Source and noise.
        generator: Of the draws.

    Returns:
        Unit vectors (B, D).
    """
    if config.source == "text":
        return text
    if config.audio_noise:
        noise = torch.randn(audio.shape, generator=generator, device=audio.device)
        audio = F.normalize(audio + config.audio_noise * noise, dim=-1)
    if config.source == "audio":
        return audio
    takes_text = _draw(len(audio), config.text_share, generator)
    return torch.where(takes_text[:, None], text, audio)


def drop_condition(
    condition: Tensor, null: Tensor, probability: float, generator: Generator
) -> Tensor:
    """Replace conditions by the null vector, so that guidance has something to move away from.

    Why a text embedding although training shows audio: sampling subtracts the same vector, the
    CLAP *text* embedding of "" (Chen et al. 2023).

    Args:
        condition: (B, D).
        null: (D,) or (1, D).
        probability: Of replacing a row.
        generator: Of the draws.
    """
    dropped = _draw(len(condition), probability, generator)
    return torch.where(dropped[:, None], null.to(condition), condition)


def _draw(count: int, probability: float, generator: Generator) -> Tensor:
    return torch.rand(count, generator=generator, device=generator.device) < probability
