"""Everything a run needs to go on, in one checkpoint folder.

    <model>.safetensors, ema-<model>.safetensors, optimizers.pt, trainer.json

Random states are not among them: the loop seeds every micro-batch from its place in the run.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import nn
from torch.optim import Optimizer

from musicgen_ldm.training.ema import Averages


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


def save_state(
    folder: Path,
    progress: Progress,
    models: Mapping[str, nn.Module],
    averages: Averages | None,
    optimizers: Mapping[str, Optimizer],
) -> None:
    """Write the state into an existing folder."""
    for name, model in models.items():
        save_model(model, str(folder / f"{name}.safetensors"))
    if averages:
        averages.save(folder)
    states = {name: optimizer.state_dict() for name, optimizer in optimizers.items()}
    torch.save(states, folder / "optimizers.pt")
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
        load_model(model, folder / f"{name}.safetensors")
    if averages:
        averages.load(folder, progress.step)
    states = torch.load(folder / "optimizers.pt", weights_only=True, map_location="cpu")
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict(states[name])
    return progress
