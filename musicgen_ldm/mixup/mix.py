"""The mixture itself: of waveforms, of latents, of captions."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from musicgen_ldm.audio import FloatArray
from musicgen_ldm.config.mixup import MixupConfig
from musicgen_ldm.errors import AudioError
from musicgen_ldm.mixup.sync import Alignment, Track, align, synchronise


def draw_ratio(config: MixupConfig, rng: np.random.Generator) -> float:
    """Weight of the anchor, from Beta(beta, beta)."""
    return float(rng.beta(config.beta, config.beta))


def beat_mixup(first: FloatArray, second: FloatArray, ratio: float) -> FloatArray:
    """Mix two waveforms that begin on a shared downbeat (BAM, Chen et al. 2023).

    Why: the beats coincide, so the mixture still has one pulse.

    Args:
        first: (T,).
        second: (T,), same rate.
        ratio: Weight of `first` in [0, 1]; 1 returns `first` exactly, 0 `second`.

    Returns:
        (T,), never louder than the louder of the two.

    Raises:
        AudioError: If the lengths differ or the ratio is outside [0, 1].
    """
    if first.shape != second.shape:
        raise AudioError(
            f"beat_mixup needs two waveforms of one length, got {first.shape} and {second.shape}; "
            "cut both with mixup.sync.synchronise"
        )
    if not 0 <= ratio <= 1:
        raise AudioError(f"the mixing ratio is {ratio}, must be between 0 and 1")
    return np.float32(ratio) * first + np.float32(1 - ratio) * second


def latent_mixup(first: Tensor, second: Tensor, ratio: Tensor) -> Tensor:
    """Mix two batches of latents whose clips begin on a shared downbeat (BLM, Chen et al. 2023).

    Args:
        first: (B, C, N', M').
        second: (B, C, N', M').
        ratio: Weights of `first`, (B,), each in [0, 1].

    Returns:
        (B, C, N', M').
    """
    weight = ratio.to(first).view(-1, 1, 1, 1)
    return weight * first + (1 - weight) * second


def match_energy(waveform: FloatArray, reference: FloatArray) -> FloatArray:
    """Scale a waveform to the root mean square of another; silence stays as it is."""
    level = float(np.sqrt(np.mean(np.square(waveform))))
    wanted = float(np.sqrt(np.mean(np.square(reference))))
    return waveform if min(level, wanted) == 0 else waveform * np.float32(wanted / level)


def merge_captions(first: str, second: str, ratio: float) -> str:
    """One sentence for both clips, the louder one first.

    Args:
        first: Caption of the anchor.
        second: Caption of the partner.
        ratio: Weight of the anchor.
    """
    if ratio < 0.5:
        first, second = second, first
    second = second.strip()
    word = second.split(" ")[0]
    if word == "A" or not word.isupper():  # "EDM" keeps its capitals
        second = second[:1].lower() + second[1:]
    return f"{first.strip().rstrip('.!')}, together with {second}"


@dataclass(frozen=True)
class Mixture:
    """Two clips made one.

    Attributes:
        samples: (T,), not normalised.
        first: The anchor's part before weighting, (T,).
        second: The partner's part before weighting, (T,).
        ratio: Weight of the anchor.
        alignment: Where they meet; None for plain mixup.
    """

    samples: FloatArray
    first: FloatArray
    second: FloatArray
    ratio: float
    alignment: Alignment | None


def mix_tracks(
    anchor: Track, partner: Track, config: MixupConfig, rng: np.random.Generator
) -> Mixture | None:
    """Align, match and mix two clips.

    Args:
        anchor: Keeps its time.
        partner: Is moved to the anchor's bar lines; under plain mixup both start as they are.
        config: All switches.
        rng: Draws downbeats and ratio; the same state yields the same mixture.

    Returns:
        None where the clips cannot be aligned (`align`); the anchor then stays unmixed.
    """
    alignment = None
    if config.kind == "plain":
        length = min(len(anchor.samples), len(partner.samples))
        first, second = anchor.samples[:length], partner.samples[:length]
    else:
        alignment = align(anchor, partner, config, rng)
        if alignment is None:
            return None
        first, second = synchronise(anchor, partner, alignment)
    if config.match_energy:
        second = match_energy(second, first)
    ratio = draw_ratio(config, rng)
    return Mixture(beat_mixup(first, second, ratio), first, second, ratio, alignment)
