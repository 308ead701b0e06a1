"""Loading a checkpoint folder: stock classes, safetensors only, every key accounted for."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import diffusers
import torch
from diffusers import AutoencoderKL, SchedulerMixin, UNet2DConditionModel
from transformers import ClapModel, ClapTextModelWithProjection, SpeechT5HifiGan

from musicgen_ldm.bank import Bank
from musicgen_ldm.checkpoint.components import Checkpoint
from musicgen_ldm.checkpoint.parts import load_clap, load_network, read_part
from musicgen_ldm.checkpoint.writing import BANK_FOLDER, BRIDGE_FOLDER, METADATA_FILE
from musicgen_ldm.checkpoint_folders import INDEX_FILE, read_json, resolve
from musicgen_ldm.config.generation import SamplingConfig
from musicgen_ldm.config.models import PredictionType
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.errors import CheckpointError, MusicGenError
from musicgen_ldm.models.bridge import Bridge
from musicgen_ldm.models.vocoder import hop_length

# Channels a head in the reference code of AudioLDM and MusicLDM; their published configurations
# fall back to 8 heads at every level instead, which changes the output by 2.6 %.
REFERENCE_HEAD_CHANNELS = 32
STOCK_NUM_HEADS = 8

TEXT_TOWER_ALONE = ClapTextModelWithProjection  # what AudioLDM-style pipelines hold of CLAP


def load(name: str | Path, *, offline: bool = False, reference_heads: bool = True) -> Checkpoint:
    """Load a checkpoint in float32 on the CPU.

    Args:
        name: See `resolve`.
        offline: Never ask the hub.
        reference_heads: Give published MusicLDM and AudioLDM weights the head counts they were
            trained with; False stays with the stock configuration.

    Raises:
        CheckpointError: If a component is missing, corrupt, a pickle or of another architecture.
    """
    folder = resolve(name, offline=offline)
    _refuse_pickles(folder)
    index = read_json(folder / INDEX_FILE)
    has_extractor = any(index.get("feature_extractor") or ())  # or [null, null]
    if has_extractor and not (folder / "feature_extractor").is_dir():
        raise CheckpointError(f"{folder}: the folder feature_extractor/ is missing; copy it again")
    metadata_file = folder / METADATA_FILE
    metadata = read_json(metadata_file) if metadata_file.is_file() else {}
    _check_examples(metadata)
    unet_options = {}
    if reference_heads and not metadata:
        unet_options = _reference_heads(read_json(folder / "unet" / "config.json"))
    is_audioldm = _class_name(index, "text_encoder", folder) == TEXT_TOWER_ALONE.__name__
    vocoder = load_network(SpeechT5HifiGan, folder / "vocoder")
    mel = _mel_config(metadata, vocoder)
    checkpoint = Checkpoint(
        unet=load_network(UNet2DConditionModel, folder / "unet", **unet_options),
        vae=load_network(AutoencoderKL, folder / "vae"),
        vocoder=vocoder,
        clap=load_clap(folder, TEXT_TOWER_ALONE if is_audioldm else ClapModel),
        scheduler=_load_scheduler(index, folder),
        mel=mel,
        mel_ceiling=_mel_ceiling(metadata, mel.num_bins),
        bridges=_load_bridges(folder / BRIDGE_FOLDER),
        bank=Bank.open(folder / BANK_FOLDER) if (folder / BANK_FOLDER).is_dir() else None,
        sampling=_sampling_config(metadata),
        name=metadata.get("name") or _name(name, folder),
        folder=folder,
        metadata=metadata,
    )
    _check_settings(checkpoint)
    return checkpoint.to(torch.device("cpu"))


def _check_settings(checkpoint: Checkpoint) -> None:
    """Refuse values that stock classes load, and the pipeline would stumble over later."""
    unet, vae = checkpoint.unet.config, checkpoint.vae.config
    size, extractor = unet.sample_size, checkpoint.clap.feature_extractor
    prediction = checkpoint.scheduler.config.get("prediction_type", "epsilon")
    hop = extractor.hop_length if extractor else 1

    def require(is_allowed: bool, name: str, value: object) -> None:
        if not is_allowed:
            raise CheckpointError(
                f"{checkpoint.folder}: {name} is {value!r}, which no MusicLDM has; copy it again"
            )

    require(_is_whole(size) or _is_whole(*(size or (0,))), "unet: sample_size", size)
    condition = unet.class_embed_type
    require(condition == "simple_projection", "unet: class_embed_type", condition)
    require(_is_positive(vae.scaling_factor), "vae: scaling_factor", vae.scaling_factor)
    require(prediction in get_args(PredictionType), "scheduler: prediction_type", prediction)
    require(_is_whole(hop), "feature_extractor: hop_length", hop)


def _check_examples(metadata: Mapping[str, Any]) -> None:
    given = metadata.get("examples", [])
    if not isinstance(given, list) or not all(isinstance(p, str) and p.strip() for p in given):
        raise CheckpointError(
            f"{METADATA_FILE}: examples is {given!r}, must be a list of prompts; "
            "correct it or leave it out"
        )


def _is_whole(*values: object) -> bool:
    return all(isinstance(value, int) and value > 0 for value in values)


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _class_name(index: Mapping[str, Any], part: str, folder: Path) -> str:
    try:
        return str(index[part][1])
    except (KeyError, IndexError, TypeError) as error:
        raise CheckpointError(
            f"{folder / INDEX_FILE}: names no class for {part}; "
            "give the folder of a MusicLDM or AudioLDM pipeline"
        ) from error


def _load_scheduler(index: Mapping[str, Any], folder: Path) -> SchedulerMixin:
    name = _class_name(index, "scheduler", folder)
    scheduler_class: Any = getattr(diffusers, name, None)
    is_scheduler = isinstance(scheduler_class, type) and issubclass(scheduler_class, SchedulerMixin)
    if not is_scheduler:
        raise CheckpointError(
            f"{folder / INDEX_FILE}: {name} is no scheduler of diffusers {diffusers.__version__}; "
            "update diffusers, or name DDIMScheduler there"
        )
    return read_part(scheduler_class.from_pretrained, folder / "scheduler")


def _name(given: str | Path, folder: Path) -> str:
    is_path = Path(given).is_dir()
    return folder.resolve().name if is_path else str(given)


def _refuse_pickles(folder: Path) -> None:
    for part in ("unet", "vae", "text_encoder", "vocoder"):
        if not (folder / part).is_dir():
            raise CheckpointError(f"{folder}: the folder {part}/ is missing; copy it again")
        if not any((folder / part).glob("*.safetensors")):
            pickles = sorted(
                p.name for s in ("*.bin", "*.pt", "*.ckpt") for p in (folder / part).glob(s)
            )
            raise CheckpointError(
                f"{folder / part}: holds no safetensors"
                + (
                    f", only {', '.join(pickles)}, which can run code and is refused"
                    if pickles
                    else ""
                )
                + "; convert or copy the weights as safetensors"
            )


def _load_bridges(folder: Path) -> dict[str, Bridge]:
    folders = sorted(path for path in folder.glob("*") if path.is_dir())
    return {path.name: Bridge.load(path) for path in folders}


def _reference_heads(unet_config: Mapping[str, Any]) -> dict[str, Any]:
    heads = unet_config.get("attention_head_dim", STOCK_NUM_HEADS)
    is_conditioned_by_class = unet_config.get("class_embed_type") == "simple_projection"
    if heads != STOCK_NUM_HEADS or not is_conditioned_by_class:
        return {}
    channels = unet_config.get("block_out_channels")
    if not channels or not _is_whole(*channels):
        raise CheckpointError(
            f"unet/config.json: block_out_channels is {channels!r}, must be whole numbers; "
            "copy it again"
        )
    return {"attention_head_dim": [c // REFERENCE_HEAD_CHANNELS for c in channels]}


def _mel_config(metadata: Mapping[str, Any], vocoder: SpeechT5HifiGan) -> MelConfig:
    if "model" in metadata:
        try:
            return MelConfig(**metadata["model"]["mel"])
        except (KeyError, TypeError, MusicGenError) as error:
            raise CheckpointError(
                f"{METADATA_FILE}: model.mel is no mel configuration ({error}); copy it again"
            ) from error
    rate = vocoder.config.sampling_rate
    return MelConfig(
        sample_rate=rate,
        num_bins=vocoder.config.model_in_dim,
        hop_length=hop_length(vocoder),
        fmax=rate / 2,
    )


def _mel_ceiling(metadata: Mapping[str, Any], num_bins: int) -> tuple[float, ...] | None:
    given = metadata.get("mel_ceiling")
    if given is None:
        return None
    try:
        ceiling = tuple(float(value) for value in given)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{METADATA_FILE}: mel_ceiling: {error}; copy it again") from error
    if len(ceiling) != num_bins or not all(map(math.isfinite, ceiling)):
        raise CheckpointError(
            f"{METADATA_FILE}: mel_ceiling must be {num_bins} finite numbers, one a mel bin; "
            "copy it again"
        )
    return ceiling


def _sampling_config(metadata: Mapping[str, Any]) -> SamplingConfig:
    try:
        values = dict(metadata.get("sampling", {}))
        if "guidance_interval" in values:
            values["guidance_interval"] = tuple(values["guidance_interval"])
        return SamplingConfig(**values)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{METADATA_FILE}: sampling: {error}; copy it again") from error
