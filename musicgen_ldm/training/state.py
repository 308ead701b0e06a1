"""Everything a run needs to go on, in one checkpoint folder.

    <model>.safetensors, ema-<model>.safetensors, optimizers.pt, trainer.json

Random states are not among them: the loop seeds every micro-batch from its place in the run.
Tensors are whole, however many processes share them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from musicgen_ldm.training.ema import Averages
from musicgen_ldm.training.sharding import gathered, placed


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        step: Finished optimizer steps.
        meters: Sum and count per name since the last log line, of the main process.
        skipped: (index of the clip, reason) of each unusable clip met.
        scaler: State of the fp16 loss scaler; None without one.
    """

    step: int
    meters: dict[str, tuple[float, int]]
    skipped: list[tuple[int, str]]
    scaler: dict[str, Any] | None


@dataclass(frozen=True)
class TrainingState:
    """What is trained, in whole tensors.

    Attributes:
        weights: By file stem, then by key: networks, and their averages as "ema-<name>".
        optimizers: State of each optimizer by name.
    """

    weights: dict[str, dict[str, Tensor]]
    optimizers: dict[str, Any]


def gather_state(
    models: Mapping[str, nn.Module],
    averages: Averages | None,
    optimizers: Mapping[str, Optimizer],
) -> TrainingState:
    """The present state; every process must call it."""
    weights = {name: model.state_dict() for name, model in models.items()}
    if averages:
        weights |= {f"ema-{name}": tensors for name, tensors in averages.tensors().items()}
    states = {name: optimizer.state_dict() for name, optimizer in optimizers.items()}
    return TrainingState(gathered(weights), gathered(states))


def save_state(folder: Path, progress: Progress, state: TrainingState) -> None:
    """Write the state into an existing folder."""
    for stem, tensors in state.weights.items():
        contiguous = {key: tensor.contiguous() for key, tensor in tensors.items()}
        save_file(contiguous, folder / f"{stem}.safetensors")
    torch.save(state.optimizers, folder / "optimizers.pt")
    (folder / "trainer.json").write_text(json.dumps(asdict(progress)))


def load_state(
    folder: Path,
    models: Mapping[str, nn.Module],
    averages: Averages | None,
    optimizers: Mapping[str, Optimizer],
) -> Progress:
    """Put the state that `save_state` wrote into networks, averages and optimizers."""
    progress = Progress(**json.loads((folder / "trainer.json").read_text()))
    for name, model in models.items():
        tensors = load_file(folder / f"{name}.safetensors")
        own = model.state_dict()
        model.load_state_dict({key: placed(t, like=own[key]) for key, t in tensors.items()})
    if averages:
        averages.load(folder, progress.step)
    states = torch.load(folder / "optimizers.pt", weights_only=True, map_location="cpu")
    for name, optimizer in optimizers.items():
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for index, values in states[name]["state"].items():
            like = parameters[index]
            states[name]["state"][index] = {k: placed(v, like) for k, v in values.items()}
        optimizer.load_state_dict(states[name])
    return progress
