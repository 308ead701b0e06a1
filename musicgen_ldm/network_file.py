"""Our own small networks as one file: half-precision safetensors that carry their configuration."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.errors import CheckpointError


class NetworkFile(NamedTuple):
    """What a file holds: weights in float32, and `settings` by name."""

    weights: dict[str, Tensor]
    settings: dict[str, Any]


def write_network(
    path: Path, network: nn.Module, kind: str, mel: MelConfig, settings: Mapping[str, Any]
) -> None:
    """Write a network's weights in half precision.

    Args:
        path: Its folder is created.
        network: Any.
        kind: Name and version of the architecture, such as "musicgen_ldm.tagger.v1".
        mel: Spectrogram that it was trained on.
        settings: Whatever JSON holds that is needed to build the network again.
    """
    weights = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in network.state_dict().items()
    }
    texts = {name: json.dumps(value) for name, value in settings.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, path, {"format": kind, "mel": json.dumps(asdict(mel))} | texts)


def read_network(
    path: Path, kind: str, *, config: str, mel: MelConfig | None = None
) -> NetworkFile:
    """Read what `write_network` wrote; `settings` hold the spectrogram as "mel".

    Args:
        path: The file.
        kind: Architecture that it must hold.
        config: Configuration that trains such a network, for the messages.
        mel: Spectrogram that it must have been trained on; None allows any.

    Raises:
        CheckpointError: If the file is missing, corrupt, or of another kind or spectrogram.
    """
    again = f"train one with `musicgen-ldm train {config}`"
    try:
        with safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        settings = {name: json.loads(text) for name, text in texts.items() if name != "format"}
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: no readable network ({error}); {again}") from error
    if texts.get("format") != kind:
        raise CheckpointError(
            f"{path}: holds {texts.get('format')}, this version reads {kind}; {again}"
        )
    if mel is not None and settings.get("mel") != asdict(mel):
        raise CheckpointError(
            f"{path}: trained on spectrogram {settings.get('mel')}, this version computes "
            f"{asdict(mel)}; {again}"
        )
    floats = {k: w.float() if w.dtype == torch.float16 else w for k, w in weights.items()}
    return NetworkFile(floats, settings)
