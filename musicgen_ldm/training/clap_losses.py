"""Contrastive losses with soft targets and hard negatives.

Letters: B clips, K hard-negative captions a clip, D embedding. Embeddings are unit vectors.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from musicgen_ldm.config.clap_training import TargetConfig

MAX_LOG_SCALE = math.log(100)  # LAION-CLAP and CLIP clip the logit scale at 100


def gather_with_gradient(rows: Tensor) -> Tensor:
    """Rows (B, …) of every process, in order of rank, (B * processes, …).

    Why not a plain all-gather: its copies carry no gradient, so each clip would learn from its
    own row and never as somebody else's negative. With this one, and a loss that every process
    computes over all rows, the averaged gradients equal those of one process with the whole batch.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows
    return _Gather.apply(rows)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def _row_normalised(weights: Tensor) -> Tensor:
    return weights / weights.sum(dim=1, keepdim=True)


def identity_targets(num_clips: int) -> Tensor:
    """Each clip matches its own caption alone, (B, B)."""
    return torch.eye(num_clips)


def group_targets(groups: Tensor) -> Tensor:
    """Clips of one group (equal captions) are positives of each other, (B, B), rows sum to 1.

    Args:
        groups: (B,) integers.
    """
    return _row_normalised((groups[:, None] == groups[None]).float())


def cwcl_targets(reference: Tensor, config: TargetConfig) -> Tensor:
    """Continuously weighted targets (Srinivasa et al. 2023), (B, B), rows sum to 1.

    The linear kernel leaves unrelated pairs half the weight of a true one, so at B = 64 the true
    pair holds about 1/32 of the mass; only an identity loss in the other direction makes that
    bearable. The exponential kernel forgets unrelated pairs.

    Args:
        reference: (B, F) vectors of a frozen reference, e.g. one-hot facts; need not be unit.
        config: Kernel and its width `kappa`.
    """
    unit = F.normalize(reference.float(), dim=1)
    cosine = (unit @ unit.T).clamp(-1, 1)
    if config.kind == "cwcl_linear":
        return _row_normalised((cosine + 1) / 2)
    return _row_normalised(torch.exp((cosine - 1) / config.kappa))


def effective_positives(targets: Tensor) -> Tensor:
    """N_eff = exp(mean entropy of the rows): 1 for identity targets, B for uniform ones."""
    return torch.special.entr(targets).sum(dim=1).mean().exp()


def direction_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of rows against soft targets.

    Args:
        logits: (B, B + K); columns from B on are negatives, -inf where a clip has fewer than K.
        targets: (B, B), rows sum to 1.
    """
    log_probability = logits.log_softmax(dim=1)[:, : targets.shape[1]]
    return -(targets * log_probability).sum(dim=1).mean()


def with_hard_negatives(logits: Tensor, audio: Tensor, negatives: Tensor, mask: Tensor) -> Tensor:
    """Append columns that only their own row sees.

    Why: a caption with one attribute swapped is false of its own clip, but may well be true of
    another one. Absent negatives become -inf; multiplying logits with a large number instead, as
    a published implementation does, rewards them when the logit is negative.

    Args:
        logits: Audio-to-text logits (B, B).
        audio: (B, D), with the scale of the logits.
        negatives: (B, K, D).
        mask: (B, K), False where there is no negative.

    Returns:
        (B, B + K).
    """
    own = torch.einsum("bd,bkd->bk", audio, negatives)
    return torch.cat([logits, own.masked_fill(~mask, -torch.inf)], dim=1)


@dataclass(frozen=True)
class Negatives:
    """Hard-negative captions.

    Attributes:
        embeddings: (B, K, D).
        mask: (B, K), False where a clip has fewer than K.
    """

    embeddings: Tensor
    mask: Tensor


def clap_loss(
    audio: Tensor,
    text: Tensor,
    *,
    audio_scale: Tensor,
    text_scale: Tensor,
    targets: Tensor,
    symmetric: bool = True,
    negatives: Negatives | None = None,
) -> Tensor:
    """Symmetric InfoNCE (Wu et al. 2023), generalised to soft targets and hard negatives.

    The stock `ClapModel` transposes one of its two logit matrices once too often and so computes
    the text-to-audio direction twice; here each direction is computed once.

    Args:
        audio: (B, D).
        text: (B, D).
        audio_scale: Inverse temperature of the audio-to-text direction, scalar.
        text_scale: The same for text-to-audio.
        targets: (B, B), rows sum to 1; identity targets give plain InfoNCE.
        symmetric: Use the targets in both directions; otherwise text-to-audio is plain InfoNCE.
        negatives: Columns of the audio-to-text direction.

    Returns:
        Mean of the two directions, scalar.
    """
    # Autocast would round cosines to bfloat16, steps of 0.004, which a scale of 100 makes 0.4.
    with torch.autocast(audio.device.type, enabled=False):
        cosine = audio @ text.T
        forward = audio_scale * cosine
        if negatives is not None:
            # Scaled before it is masked: the scale's gradient of an infinite logit is NaN.
            scaled = audio_scale * audio
            forward = with_hard_negatives(forward, scaled, negatives.embeddings, negatives.mask)
        backward_targets = targets if symmetric else identity_targets(len(text)).to(targets)
        to_text = direction_loss(forward, targets)
        to_audio = direction_loss(text_scale * cosine.T, backward_targets)
        return (to_text + to_audio) / 2


def logit_scale(parameter: Tensor) -> Tensor:
    """Inverse temperature from its learned logarithm, at most 100."""
    return parameter.clamp(max=MAX_LOG_SCALE).exp()
