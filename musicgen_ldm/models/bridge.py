"""From the text half of the CLAP space to the audio half, where the denoiser was trained.

A sentence and its sound point to neighbouring but different places (the modality gap). A bridge
moves a text embedding towards the places that audio embeddings take. Fitted on training clips,
stored as `bridge/` beside the components.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from musicgen_ldm.errors import CheckpointError, ConfigError

BridgeMode = Literal["none", "shift", "memory", "ridge"]

WEIGHTS = "bridge.safetensors"
SETTINGS = "bridge.json"


@dataclass(frozen=True)
class Bridge:
    """A fitted map of unit vectors (B, D) to unit vectors (B, D).

    Attributes:
        mode: "none" leaves text embeddings as they are; "shift" adds the difference of the two
            means; "memory" takes the softmax-weighted mean of training audio embeddings (Zhang
            et al. 2024); "ridge" is a linear regression.
        beta: Inverse temperature of "memory"; higher values stay closer to single training clips.
        tensors: What was fitted: "offset" (D,), "memory" (n, D) or "matrix" (D, D).
    """

    mode: BridgeMode = "none"
    beta: float = 30.0
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def apply(self, text: Tensor) -> Tensor:
        """Move unit text embeddings (B, D) towards audio; returns unit vectors (B, D)."""
        tensors = {name: tensor.to(text) for name, tensor in self.tensors.items()}
        if self.mode == "shift":
            text = text + tensors["offset"]
        elif self.mode == "memory":
            text = self._weights(text) @ tensors["memory"]
        elif self.mode == "ridge":
            text = text @ tensors["matrix"]
        return F.normalize(text, dim=-1)

    def effective_neighbours(self, text: Tensor) -> Tensor:
        """Training clips that share in each result, exp of the weights' entropy, (B,).

        Why: a "memory" that leans on one or two clips pulls the music towards copies of them.

        Raises:
            ConfigError: For modes that use no training clips.
        """
        if self.mode != "memory":
            raise ConfigError(f"bridge mode {self.mode!r} has no neighbours, only 'memory' has")
        return torch.special.entr(self._weights(text)).sum(dim=1).exp()

    def _weights(self, text: Tensor) -> Tensor:
        memory = self.tensors["memory"].to(text)
        return (self.beta * (text @ memory.T)).softmax(dim=1)  # (B, n)

    def save(self, folder: str | Path) -> None:
        """Write `bridge.safetensors` and `bridge.json`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        halves = {name: tensor.half().contiguous() for name, tensor in self.tensors.items()}
        save_file(halves, folder / WEIGHTS)
        settings = {"mode": self.mode, "beta": self.beta}
        (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "Bridge":
        """Read what `save` wrote.

        Raises:
            CheckpointError: If a file is missing, corrupt, or names an unknown mode.
        """
        folder = Path(folder)
        try:
            settings: dict[str, Any] = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
            tensors = load_file(folder / WEIGHTS)
            _check_mode(settings["mode"])
            floats = {name: tensor.float() for name, tensor in tensors.items()}
            return cls(settings["mode"], float(settings["beta"]), floats)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise CheckpointError(
                f"{folder}: cannot be read as a bridge ({error}); "
                "export the ldm stage again or delete the folder"
            ) from error


def _check_mode(mode: str) -> None:
    if mode not in get_args(BridgeMode):
        raise ConfigError(f"bridge mode {mode!r}: must be one of {', '.join(get_args(BridgeMode))}")


def fit_bridge(
    text: Tensor,
    audio: Tensor,
    mode: BridgeMode,
    *,
    beta: float = 30.0,
    ridge: float = 1.0,
) -> Bridge:
    """Fit a bridge on pairs of training embeddings.

    Args:
        text: Unit caption embeddings (n, D).
        audio: Unit embeddings of the captions' own clips (n, D).
        mode: See `Bridge`.
        beta: Inverse temperature of "memory".
        ridge: Penalty lambda of "ridge", in (X'X + lambda I)^-1 X'Y.

    Raises:
        ConfigError: For an unknown mode, or embeddings that are not pairs.
    """
    _check_mode(mode)
    if text.shape != audio.shape or len(text) == 0:
        raise ConfigError(
            f"a bridge is fitted on pairs of embeddings (n, D), got {tuple(text.shape)} and "
            f"{tuple(audio.shape)}"
        )
    text, audio = text.float().cpu(), audio.float().cpu()
    if mode == "shift":
        return Bridge(mode, beta, {"offset": audio.mean(dim=0) - text.mean(dim=0)})
    if mode == "memory":
        return Bridge(mode, beta, {"memory": audio})
    if mode == "ridge":
        x, y = text.double(), audio.double()
        gram = x.T @ x + ridge * torch.eye(x.shape[1], dtype=x.dtype)
        return Bridge(mode, beta, {"matrix": torch.linalg.solve(gram, x.T @ y).float()})
    return Bridge(mode, beta)
