"""The `spectrum` stage: the network that `inversion/spectrum.py` asks learns from sound alone.

Letters: B clips, T samples, N frames, M mel bins, F bins of the transform.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.spectrum_training import SpectrumStageConfig
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.loading import Example, stack_waveforms
from musicgen_ldm.inversion.spectrum import SpectrumNetwork, save_network
from musicgen_ldm.mel import log_mel, magnitudes
from musicgen_ldm.training.task import (
    Batch,
    Metrics,
    Optimization,
    StepContext,
    build_optimizer,
    full_precision,
    mean_metrics,
    unwrapped,
)


class SpectrumTask:
    """Absolute error of log-magnitudes, from log-mels with a little noise."""

    name = "spectrum"

    def __init__(self, config: SpectrumStageConfig) -> None:
        self.config = config
        self.mel_config = config.model.mel
        self.models: dict[str, nn.Module] = {
            "network": SpectrumNetwork(config.network, self.mel_config)
        }
        self.frozen: dict[str, nn.Module] = {}
        self.averaged = ("network",)

    def optimizers(self) -> dict[str, Optimization]:
        """One optimizer."""
        return {"network": build_optimizer(self.models["network"].parameters(), self.config.optim)}

    def dataset(self, split: str) -> ClipDataset:
        """Windows of `data.seconds`."""
        return ClipDataset.for_mel(self.config.data, split, self.mel_config, self.config.seed)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Ids and waveforms (B, T)."""
        return stack_waveforms(examples)

    def step(self, batch: Batch, context: StepContext) -> Metrics:
        """Learn from one micro-batch."""
        mel, target = self._spectra(batch["waveform"])
        noise = torch.randn(mel.shape, generator=context.generator, device=mel.device)
        loss = self._loss(mel + self.config.noise * noise, target)
        context.optimize("network", loss)
        return {"loss": loss.detach()}

    def _spectra(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mel (B, N, M) and log-magnitude (B, F, N) of waveforms (B, T)."""
        with torch.no_grad(), full_precision(waveform.device):
            target = magnitudes(waveform, self.mel_config).clamp(min=self.config.floor).log()
            return log_mel(waveform, self.mel_config)[:, 0], target.transpose(1, 2)

    def _loss(self, mel: Tensor, target: Tensor) -> Tensor:
        found = self.models["network"](mel).float()
        return F.l1_loss(found.clamp(min=target.new_tensor(self.config.floor).log()), target)

    def validate(self, batches: Iterable[Batch], generator: Generator) -> Metrics:
        """Mean error without noise."""
        spectra = (self._spectra(batch["waveform"]) for batch in batches)
        return mean_metrics({"loss": self._loss(*pair)} for pair in spectra)

    def samples(self, generator: Generator) -> dict[str, Waveform]:
        """Nothing: the network alone makes no sound."""
        return {}

    def export(self, folder: Path) -> None:
        """Write `spectrum.safetensors`, the file that `inversion/spectrum.py` loads."""
        network = cast(SpectrumNetwork, unwrapped(self.models["network"]))
        save_network(network, self.config.network, folder / "spectrum.safetensors")
