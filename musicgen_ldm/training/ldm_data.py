"""Examples of the `ldm` stage: waveforms to encode on the fly, or stored features."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from musicgen_ldm.config.ldm_training import LdmStageConfig
from musicgen_ldm.config.mixup import MixupConfig
from musicgen_ldm.configio import to_plain
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.feature_store import FeatureStore, weights_digest
from musicgen_ldm.data.latents import LatentDataset, LatentEncoder, stack_examples
from musicgen_ldm.data.mixed_clips import MixedClipDataset
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.errors import AudioError, TrainingError
from musicgen_ldm.training.run_folder import manifest_hash

logger = logging.getLogger(__name__)


def clip_source(config: LdmStageConfig, split: str, mixup: MixupConfig) -> MixedClipDataset:
    """Waveforms with captions.

    Raises:
        ManifestError: If the split has no allowed clips.
    """
    clips = ClipDataset.for_mel(config.data, split, config.model.mel, config.seed)
    return MixedClipDataset(clips, mixup)


def build_source(
    config: LdmStageConfig, split: str, encoder: LatentEncoder
) -> MixedClipDataset | LatentDataset:
    """Examples of a split; validation is never mixed.

    Raises:
        ManifestError: If the split has no allowed clips.
    """
    mixup = config.mixup if split == "train" else MixupConfig()
    clips = clip_source(config, split, mixup)
    if config.cache.folder is None:
        return clips
    return LatentDataset(
        clips,
        encoder,
        FeatureStore(config.cache.folder, store_identity(config, split, mixup, encoder)),
        variants=config.cache.variants if split == "train" else 1,
    )


def store_identity(
    config: LdmStageConfig, split: str, mixup: MixupConfig, encoder: LatentEncoder
) -> dict[str, Any]:
    """Everything that stored features depend on besides their clip."""
    networks: dict[str, nn.Module] = {"vae": encoder.vae, "clap": encoder.clap.model}
    identity: dict[str, Any] = {
        "mel": to_plain(config.model.mel),
        "seconds": config.data.seconds,
        "peak": config.data.peak,
        "seed": config.seed,
        "half": config.cache.half,
    }
    if mixup.kind == "blm":
        networks["vocoder"] = encoder.vocoder
        identity["scaling_factor"] = encoder.vae.config.scaling_factor
    if mixup.kind != "none":  # who is paired with whom depends on all clips of the split
        switches = to_plain(mixup)
        if mixup.min_beat_confidence == 0:  # as stored before there was this switch
            del switches["min_beat_confidence"]
        identity |= {"mixup": switches, "split": split, "manifest": manifest_hash(config)}
        identity["licences"] = config.data.licences
    return identity | {"networks": {name: weights_digest(net) for name, net in networks.items()}}


def draw_captions(captions: Sequence[Sequence[str]], generator: Generator) -> list[str]:
    """One caption of each clip; "" for a clip that has none."""
    draws = torch.rand(len(captions), generator=generator, device=generator.device).tolist()
    return [
        group[int(draw * len(group))] if group else ""
        for group, draw in zip(captions, draws, strict=True)
    ]


def training_pairs(
    config: LdmStageConfig, source: MixedClipDataset | LatentDataset, encoder: LatentEncoder
) -> tuple[Tensor, Tensor]:
    """Text and audio embeddings (n, D) of at most `bridge_clips` training clips.

    Raises:
        TrainingError: If no clip can be read.
    """
    limit = min(len(source), config.bridge_clips)
    if isinstance(source, LatentDataset):
        return source.pairs(limit)
    plain = clip_source(config, "train", MixupConfig())
    texts, audios = [], []
    for index in range(limit):
        try:
            example = plain[ClipRef(0, index)]
        except AudioError as error:
            logger.warning("not used for the bridges: %s", error)
            continue
        waveform = stack_examples([example])["waveform"].to(encoder.vae.device)
        texts.append(encoder.embed_text((example["captions"] or [""])[:1]))
        audios.append(encoder.embed_audio(waveform))
    if not texts:
        raise TrainingError(f"{config.data.manifest}: no training clip can be read")
    return torch.cat(texts), torch.cat(audios)
