"""EnCodec and AST through transformers."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange, repeat
from transformers import ASTFeatureExtractor, ASTForAudioClassification, EncodecModel

from musicgen_ldm.audio import FloatArray
from musicgen_ldm.checkpoint.parts import load_network, read_part
from musicgen_ldm.data.feature_store import weights_digest
from musicgen_ldm.metrics.embedders.base import WINDOW_S, Features, identify

LEVEL_FLOOR = 1e-8  # as EnCodec was trained


@dataclass(frozen=True)
class Encodec:
    """Continuous encoder output of EnCodec, averaged over each second (Défossez et al. 2022)."""

    model: EncodecModel
    name: str
    weights: str
    window_s: float = WINDOW_S
    hop_s: float = WINDOW_S

    @property
    def identity(self) -> str:
        """Changes with the weights and the window."""
        return identify("encodec-2", self.weights, self.window_s)

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return int(self.model.config.sampling_rate)

    @property
    def dim(self) -> int:
        """D."""
        return int(self.model.config.hidden_size)

    @torch.no_grad()
    def __call__(self, windows: FloatArray) -> Features:
        """Features (W, seconds, D) of windows (W, T)."""
        channels = self.model.config.audio_channels
        mono = torch.from_numpy(windows).to(self.model.device)
        if self.model.config.normalize:  # the 48 kHz model only knows sound of level one
            mono = mono / (mono.square().mean(dim=1, keepdim=True).sqrt() + LEVEL_FLOOR)
        batch = repeat(mono, "w t -> w c t", c=channels)
        latent = self.model.encoder(batch)  # (W, D, N)
        seconds = max(1, round(windows.shape[1] / self.sample_rate))
        pooled = torch.nn.functional.adaptive_avg_pool1d(latent, seconds)
        return Features(rearrange(pooled, "w d s -> w s d").float().cpu().numpy())


@dataclass(frozen=True)
class Ast:
    """AudioSet logits and pooled states of the Audio Spectrogram Transformer (Gong et al. 2021)."""

    model: ASTForAudioClassification
    extractor: ASTFeatureExtractor
    name: str
    weights: str
    window_s: float = WINDOW_S
    hop_s: float = WINDOW_S

    @property
    def identity(self) -> str:
        """Changes with the weights and the window."""
        return identify("ast-1", self.weights, self.window_s)

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return int(self.extractor.sampling_rate)

    @property
    def dim(self) -> int:
        """D."""
        return int(self.model.config.hidden_size)

    @torch.no_grad()
    def __call__(self, windows: FloatArray) -> Features:
        """Features (W, 1, D) and logits (W, C) of windows (W, T)."""
        inputs = self.extractor(
            list(windows), sampling_rate=self.sample_rate, return_tensors="pt"
        ).to(self.model.device)
        states = self.model.audio_spectrogram_transformer(**inputs).pooler_output
        logits = self.model.classifier(states)
        return Features(states.float().cpu().numpy()[:, None], logits.float().cpu().numpy())


def _load(network_class: Any, folder: Path, device: str) -> Any:
    return load_network(network_class, folder).eval().requires_grad_(False).to(device)


def load_encodec(folder: Path, name: str, device: str) -> Encodec:
    """Load an EnCodec checkpoint folder.

    Raises:
        CheckpointError: If it does not load.
    """
    model = _load(EncodecModel, folder, device)
    return Encodec(model, name, weights_digest(model))


def load_ast(folder: Path, name: str, device: str) -> Ast:
    """Load an AST checkpoint folder.

    Raises:
        CheckpointError: If it does not load.
    """
    model = _load(ASTForAudioClassification, folder, device)
    with warnings.catch_warnings():
        # Its own 128 filters leave one empty at 512 points; the weights were trained so.
        warnings.filterwarnings("ignore", message="At least one mel filter")
        extractor = read_part(ASTFeatureExtractor.from_pretrained, folder)
    return Ast(model, extractor, name, weights_digest(model))
