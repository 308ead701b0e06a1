"""CLAP checkpoints as embedders: ours, or any that transformers reads."""

from dataclasses import dataclass
from pathlib import Path

import torch

from musicgen_ldm.audio import FloatArray
from musicgen_ldm.checkpoint import parts
from musicgen_ldm.checkpoint.writing import BANK_FOLDER
from musicgen_ldm.data.feature_store import weights_digest
from musicgen_ldm.errors import CheckpointError
from musicgen_ldm.metrics.embedders.base import Features, identify
from musicgen_ldm.models.clap import ClapEmbedder, clap_mel


@dataclass(frozen=True)
class Clap:
    """A frozen CLAP; windows become unnormalised projections.

    Attributes:
        clap: Model, tokenizer and feature extractor.
        name: E.g. "clap-pocket".
        weights: Hash of the weights.
        trained_on: Bank of the training clips, where its checkpoint carries one.
    """

    clap: ClapEmbedder
    name: str
    weights: str
    trained_on: Path | None = None

    @property
    def identity(self) -> str:
        """Changes with the weights and the window."""
        return identify("clap-1", self.weights, self.sample_rate, self.window_s)

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return int(self.clap.feature_extractor.sampling_rate)

    @property
    def window_s(self) -> float:
        """The length that the audio tower was trained on."""
        return float(self.clap.feature_extractor.nb_max_samples / self.sample_rate)

    @property
    def hop_s(self) -> float:
        """Windows do not overlap."""
        return self.window_s

    @property
    def dim(self) -> int:
        """D."""
        return self.clap.dim

    @torch.no_grad()
    def __call__(self, windows: FloatArray) -> Features:
        """Features (W, 1, D) of windows (W, T)."""
        batch = torch.from_numpy(windows).to(self.clap.model.device)
        projected = self.clap.project(clap_mel(batch, self.clap.feature_extractor))
        return Features(projected.float().cpu().numpy()[:, None])

    def text(self, sentences: list[str]) -> FloatArray:
        """Unit embeddings (n, D) of sentences."""
        return self.clap.text(sentences).float().cpu().numpy()


def load_clap(folder: Path, name: str, device: str) -> Clap:
    """Load a CLAP from a pipeline folder or from a plain model folder.

    Raises:
        CheckpointError: If the folder holds no complete CLAP with safetensors.
    """
    clap = parts.load_clap(folder)
    if clap.feature_extractor is None:
        raise CheckpointError(f"{folder}: holds no feature_extractor/; give a CLAP that hears")
    model = clap.model.float().eval().requires_grad_(False).to(device)  # stored half precision
    bank = folder / BANK_FOLDER
    return Clap(clap, name, weights_digest(model), bank if bank.is_dir() else None)
