"""From the exports of the four stages to one checkpoint that generates."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import SpeechT5HifiGan

from musicgen_ldm.checkpoint import Checkpoint, load, save
from musicgen_ldm.checkpoint.writing import METADATA_FILE
from musicgen_ldm.config.generation import SamplingConfig
from musicgen_ldm.config.ldm_training import LdmStageConfig
from musicgen_ldm.config.models import ModelConfig
from musicgen_ldm.config.training import DataConfig, StageConfig
from musicgen_ldm.configio import Settings, build
from musicgen_ldm.data.clips import ClipDataset, select_clips
from musicgen_ldm.errors import CheckpointError, ConfigError
from musicgen_ldm.mel import log_mel
from musicgen_ldm.models.bridge import Bridge
from musicgen_ldm.training.clap_folder import load_clap
from musicgen_ldm.training.components import first_waveforms, load_component
from musicgen_ldm.training.model_card import CARD_FILE, model_card
from musicgen_ldm.training.run_folder import read_metrics
from musicgen_ldm.training.stages import load_stage_config

STAGES = ("clap", "vae", "vocoder", "ldm")
CEILING_CLIPS = 1_000


def assemble(
    runs: Mapping[str, Path],
    folder: Path,
    *,
    name: str,
    sampling: SamplingConfig,
    half: bool = True,
) -> Path:
    """Write a checkpoint folder with a model card from finished runs.

    Args:
        runs: Run folder of each of the four stages, or a checkpoint of ours, whose part is taken.
        folder: Must not exist yet.
        name: What the checkpoint calls itself in records.
        sampling: Its defaults.
        half: Store float16.

    Raises:
        CheckpointError: If a run has no export, or the parts do not fit together.
    """
    is_checkpoint = _record(runs["ldm"]) is not None
    denoiser, told = (_denoiser_of_checkpoint if is_checkpoint else _denoiser_of_run)(runs["ldm"])
    model = _model_of(runs["ldm"], "ldm")
    for stage in STAGES:
        if _parts_of(stage, _model_of(runs[stage], stage)) != _parts_of(stage, model):
            raise CheckpointError(
                f"{runs[stage]}: its {stage} has other sizes than the ldm run {runs['ldm']} was "
                "trained on; give the run that the ldm stage used"
            )
    checkpoint = Checkpoint(
        **denoiser,
        vae=load_component(AutoencoderKL, runs["vae"], "vae"),
        vocoder=load_component(SpeechT5HifiGan, runs["vocoder"], "vocoder"),
        clap=load_clap(runs["clap"]),
        mel=model.mel,
        sampling=sampling,
        metadata={
            "name": name,
            "model": asdict(model),
            "training": {stage: _provenance(runs[stage], stage) for stage in STAGES},
            **told,
        },
    )
    weights = {"clap": checkpoint.clap.model, "vae": checkpoint.vae,
               "vocoder": checkpoint.vocoder, "ldm": checkpoint.unet}  # fmt: skip
    parameters = {stage: sum(p.numel() for p in weights[stage].parameters()) for stage in STAGES}
    card = model_card(checkpoint.metadata, parameters, str(folder))
    written = save(checkpoint, folder, half=half)
    (written / CARD_FILE).write_text(card, encoding="utf-8")
    return written


def _denoiser_of_run(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parts of a checkpoint that an ldm run decides about, and what it tells of itself."""
    config = _run_config(run, "ldm")
    assert isinstance(config, LdmStageConfig)
    bridges = (run / "export" / "bridge").glob("*/")
    parts = {
        "unet": load_component(UNet2DConditionModel, run, "unet"),
        "scheduler": DDIMScheduler.from_pretrained(run / "export" / "scheduler"),
        "mel_ceiling": mel_ceiling(config),
        "bridges": {path.name: Bridge.load(path) for path in sorted(bridges)},
    }
    return parts, {"preset": config.preset, "data": data_summary(config.data), **_base(config)}


def _denoiser_of_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same of a checkpoint of ours."""
    whole, record = load(folder), _record(folder) or {}
    parts = {name: getattr(whole, name) for name in ("unet", "scheduler", "mel_ceiling", "bridges")}
    return parts, {name: record[name] for name in ("preset", "data", "base") if name in record}


def _model_of(source: Path, stage: str) -> ModelConfig:
    """Sizes that a run or a checkpoint of ours has.

    Raises:
        CheckpointError: If it is neither.
        ConfigError: If it is another stage's run.
    """
    record = _record(source)
    if record is None:
        return _run_config(source, stage).model
    if "model" not in record:
        raise CheckpointError(
            f"{source}: does not say what sizes its parts have; give a checkpoint that "
            "`musicgen-ldm assemble` wrote"
        )
    return build(ModelConfig, Settings(record["model"]))


def _record(source: Path) -> dict[str, Any] | None:
    """What a checkpoint of ours says of itself; None for anything else."""
    file = source / METADATA_FILE
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _base(config: LdmStageConfig) -> dict[str, Any]:
    """The checkpoint that the denoiser was trained on from, whose data it has heard too."""
    record = _record(Path(config.components.unet)) if config.components.unet else None
    if record is None:
        return {}
    return {"base": {key: record[key] for key in ("name", "data", "base") if key in record}}


def _run_config(run: Path, stage: str) -> StageConfig:
    file = run / "config.yaml"
    if not file.is_file() or not (run / "export").is_dir():
        raise CheckpointError(
            f"{run}: is no finished {stage} run (it lacks config.yaml or export/); "
            "give the folder that `musicgen-ldm train` wrote, or a checkpoint"
        )
    config = load_stage_config(file)
    if config.stage != stage:
        raise ConfigError(f"{run}: is a {config.stage} run, a {stage} run is needed here")
    return config


def _parts_of(stage: str, model: ModelConfig) -> object:
    """What of a model configuration a stage decides about."""
    return {
        "clap": model.clap,
        "vae": (model.mel, model.vae),
        "vocoder": (model.mel, model.vocoder),
        "ldm": model,
    }[stage]


def _provenance(run: Path, stage: str) -> dict[str, Any]:
    """Steps, data and code version of a run, for the record."""
    if (record := _record(run)) is not None:
        return dict(record.get("training", {}).get(stage, {}))
    identity = json.loads((run / "run.json").read_text(encoding="utf-8"))
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    lines = read_metrics(run / "metrics.jsonl")
    last: dict[str, Any] = {}
    for line in lines:
        last |= {k: v for k, v in line.items() if k.startswith("valid/") or k == "step"}
    return identity | {"seed": config["seed"], "steps": last.pop("step", 0), "validation": last}


def mel_ceiling(config: StageConfig) -> tuple[float, ...]:
    """Loudest log-mel of each bin (M,) over the first clips of the training stream.

    Raises:
        ManifestError: If the manifest is gone or holds none.
    """
    mel = config.model.mel
    clips = ClipDataset.for_mel(config.data, "train", mel, config.seed)
    loudest = [
        log_mel(waveform, mel).flatten(end_dim=-2).amax(dim=0)
        for waveform in first_waveforms(clips, CEILING_CLIPS).split(1)
    ]
    return tuple(torch.stack(loudest).amax(dim=0).tolist())


def data_summary(data: DataConfig) -> dict[str, Any]:
    """Hours and licences of the clips that the denoiser was trained on.

    Raises:
        ManifestError: If the manifest is gone or holds none.
    """
    clips = select_clips(data, "train")
    return {
        "clips": len(clips),
        "hours": round(sum(clip.duration_s for clip in clips) / 3600, 2),
        "licences": dict(Counter(clip.licence for clip in clips)),
        "sources": dict(Counter(clip.source for clip in clips).most_common(20)),
    }
