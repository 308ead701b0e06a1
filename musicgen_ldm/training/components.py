"""Trained components that a stage starts from or builds on, and the clips it is listened to on."""

from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from musicgen_ldm.checkpoint.parts import load_network
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.loading import build_loader, stack_waveforms
from musicgen_ldm.data.sampler import clip_at
from musicgen_ldm.errors import CheckpointError

Network = TypeVar("Network", bound=nn.Module)

NUM_LISTENING_CLIPS = 3


def component_folder(path: str | Path, name: str) -> Path:
    """Where a component lies: in a folder of its own, a run's export, or a checkpoint.

    Args:
        path: The component's folder, or the folder that holds it as `name/`.
        name: "vae", "vocoder", "unet", "text_encoder", …

    Raises:
        CheckpointError: If there is none.
    """
    candidates = [Path(path) / name, Path(path) / "export" / name, Path(path)]
    folder = next((c for c in candidates if any(c.glob("*config.json"))), None)
    if folder is None:
        raise CheckpointError(
            f"{path}: holds no {name}; give the export folder of a {name} run or a checkpoint"
        )
    return folder


def load_component(network_class: type[Network], path: str | Path, name: str) -> Network:
    """A stock component from any of the places of `component_folder`, in float32.

    Checkpoints are published in float16, which transformers would keep and training cannot bear.

    Raises:
        CheckpointError: If there is none, or it is damaged or of another architecture.
    """
    network: Network = load_network(network_class, component_folder(path, name))
    return network.float()


def first_waveforms(dataset: ClipDataset, num_clips: int) -> Tensor:
    """Normalised crops (B, T) of the first clips of the training stream, unusable ones replaced."""
    num_clips = min(num_clips, len(dataset))
    refs = [[clip_at(i, seed=dataset.seed, num_clips=len(dataset))] for i in range(num_clips)]
    loader = build_loader(dataset, refs, stack_waveforms, workers=0, pin_memory=False)
    return torch.cat([batch["waveform"] for batch, _ in islice(loader, num_clips)])
