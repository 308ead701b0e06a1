"""The `vae` stage: log-mel <-> latent."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.vae_training import VaeStageConfig
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.loading import Example, stack_waveforms
from musicgen_ldm.errors import ConfigError
from musicgen_ldm.inversion.griffin_lim import griffin_lim
from musicgen_ldm.mel import log_mel
from musicgen_ldm.models.discriminators import PatchDiscriminator, hinge_loss
from musicgen_ldm.models.vae import build_vae
from musicgen_ldm.training.components import NUM_LISTENING_CLIPS, first_waveforms, load_component
from musicgen_ldm.training.spectral import multiscale_mel_loss
from musicgen_ldm.training.task import (
    Batch,
    Metrics,
    Optimization,
    StepContext,
    build_optimizer,
    freeze,
    frozen,
    full_precision,
    mean_metrics,
    unwrapped,
)

MAX_ADAPTIVE_WEIGHT = 1e4  # Esser et al. 2021
MEAN_CLIPS = 16  # that the first output is the mean of


class TrainingVae(nn.Module):
    """Encoder, sampling and decoder as one `forward`, which is what DDP synchronises."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, mel: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction (B, 1, N, M), posterior mean and log-variance (B, C, N', M').

        Args:
            mel: Log-mel (B, 1, N, M).
            generator: Samples the posterior; None decodes its mean.
        """
        posterior = self.vae.encode(mel).latent_dist
        latent = posterior.mean if generator is None else posterior.sample(generator)
        return self.vae.decode(latent).sample, posterior.mean, posterior.logvar


class VaeTask:
    """Reconstruction, KL and, from some step on, a patch discriminator.

    Args:
        config: Losses, data and sizes.

    Raises:
        ConfigError: If the crop is no multiple of the autoencoder's factor.
    """

    name = "vae"

    def __init__(self, config: VaeStageConfig) -> None:
        self.config = config
        self.mel_config = config.model.mel
        self.num_frames = self.mel_config.num_frames(config.data.seconds)
        factor = config.model.vae.factor
        if self.num_frames % factor or self.mel_config.num_bins % factor:
            raise ConfigError(
                f"data.seconds={config.data.seconds} is {self.num_frames} mel frames: frames and "
                f"bins ({self.mel_config.num_bins}) must be multiples of the VAE's factor {factor}"
            )
        vae = (
            load_component(AutoencoderKL, config.init, "vae") if config.init else self._fresh_vae()
        )
        if config.frozen_encoder:
            freeze(vae.encoder)
            freeze(vae.quant_conv)
        self.models: dict[str, nn.Module] = {"vae": TrainingVae(vae)}
        if config.adversary:
            self.models["discriminator"] = PatchDiscriminator(config.adversary.width)
        self.frozen: dict[str, nn.Module] = {}
        self.averaged = ("vae",)

    def _fresh_vae(self) -> AutoencoderKL:
        """Random weights, except that the output begins at the data's mean.

        A log-mel lies around -5; left to the optimizer, the way there from 0 takes thousands of
        steps at the learning rates of this stage.
        """
        vae = build_vae(self.config.model.vae)
        mel = self._mel(first_waveforms(self.dataset("train"), MEAN_CLIPS))
        nn.init.constant_(vae.decoder.conv_out.bias, float(mel.mean()))
        return vae

    @property
    def vae(self) -> AutoencoderKL:
        """The stock autoencoder being trained."""
        return unwrapped(self.models["vae"]).vae

    def optimizers(self) -> dict[str, Optimization]:
        """One for the autoencoder and one for its discriminator."""
        trained = (p for p in self.models["vae"].parameters() if p.requires_grad)
        optimizers = {"vae": build_optimizer(trained, self.config.optim)}
        if self.config.adversary:
            optimizers["discriminator"] = build_optimizer(
                self.models["discriminator"].parameters(), self.config.adversary.optim
            )
        return optimizers

    def dataset(self, split: str) -> ClipDataset:
        """Crops of `data.seconds`."""
        return ClipDataset.for_mel(self.config.data, split, self.mel_config, self.config.seed)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Ids and waveforms (B, T)."""
        return stack_waveforms(examples)

    def step(self, batch: Batch, context: StepContext) -> Metrics:
        """Discriminator first, where it takes part, then the autoencoder."""
        mel = self._mel(batch["waveform"])
        reconstruction, mean, logvar = self.models["vae"](mel, context.generator)
        with full_precision(mel.device):
            losses = self._losses(mel, reconstruction.float(), mean.float(), logvar.float())
        loss = self._weighted(losses)
        adversary = self.config.adversary
        if adversary is None or not adversary.active(context.index):
            context.optimize("vae", loss)
            return losses
        pair = torch.cat([mel, reconstruction.detach()])  # one call, as DDP wants it
        losses["discriminator"] = hinge_loss(*self.models["discriminator"](pair).float().chunk(2))
        context.optimize("discriminator", losses["discriminator"])
        with frozen(self.models["discriminator"]) as discriminator:
            losses["adversarial"] = -discriminator(reconstruction).float().mean()
            weight = self._adaptive_weight(losses, losses["adversarial"])
            context.optimize("vae", loss + adversary.weight * weight * losses["adversarial"])
        return losses | {"adversarial_weight": weight}

    def _mel(self, waveform: Tensor) -> Tensor:
        return log_mel(waveform, self.mel_config)

    def _losses(
        self, mel: Tensor, reconstruction: Tensor, mean: Tensor, logvar: Tensor
    ) -> dict[str, Tensor]:
        return {
            "l1": F.l1_loss(reconstruction, mel),
            "multiscale": multiscale_mel_loss(reconstruction, mel),
            "kl": 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean(),
        }

    def _reconstruction_loss(self, losses: dict[str, Tensor]) -> Tensor:
        return losses["l1"] + self.config.multiscale_weight * losses["multiscale"]

    def _weighted(self, losses: dict[str, Tensor]) -> Tensor:
        return self._reconstruction_loss(losses) + self.config.kl_weight * losses["kl"]

    def _adaptive_weight(self, losses: dict[str, Tensor], adversarial: Tensor) -> Tensor:
        """Ratio of the gradients that reach the last layer (Esser et al. 2021, eq. 7)."""
        last = self.vae.decoder.conv_out.weight
        reconstruction = self._reconstruction_loss(losses)
        (wanted,) = torch.autograd.grad(reconstruction, last, retain_graph=True)
        (fooling,) = torch.autograd.grad(adversarial, last, retain_graph=True)
        return (wanted.norm() / (fooling.norm() + 1e-4)).clamp(max=MAX_ADAPTIVE_WEIGHT).detach()

    def validate(self, batches: Iterable[Batch], generator: Generator) -> Metrics:
        """Losses with the posterior's mean, that is without its noise."""
        return mean_metrics(self._validate_batch(batch) for batch in batches)

    def _validate_batch(self, batch: Batch) -> dict[str, Tensor]:
        mel = self._mel(batch["waveform"])
        reconstruction, mean, logvar = self.models["vae"](mel, None)
        with full_precision(mel.device):
            return self._losses(mel, reconstruction.float(), mean.float(), logvar.float())

    def samples(self, generator: Generator) -> dict[str, Waveform]:
        """Some validation clips before and after, both made audible by Griffin-Lim."""
        waveforms = first_waveforms(self.dataset("valid"), NUM_LISTENING_CLIPS)
        mel = self._mel(waveforms.to(self.vae.device))
        decoded = self.models["vae"](mel, None)[0].float()
        sounds = {}
        for i, (before, after) in enumerate(zip(mel, decoded, strict=True)):
            sounds[f"clip{i}-original"] = self._sound(before)
            sounds[f"clip{i}-decoded"] = self._sound(after)
        return sounds

    def _sound(self, mel: Tensor) -> Waveform:
        """Of a log-mel (1, N, M)."""
        samples = griffin_lim(mel[0], self.mel_config).clamp(-1, 1)
        return Waveform(samples.cpu().numpy(), self.mel_config.sample_rate)

    def export(self, folder: Path) -> None:
        """Write `vae/` with the measured scale, for the stock `AutoencoderKL`."""
        if not self.config.frozen_encoder:
            self.vae.register_to_config(scaling_factor=self.measure_scale())
        self.vae.save_pretrained(folder / "vae")

    @torch.no_grad()
    def measure_scale(self) -> float:
        """1 / standard deviation of sampled latents over `scale_clips` training clips.

        The reference takes the first batch alone, which leaves it to chance.
        """
        generator = Generator(self.vae.device).manual_seed(self.config.seed)
        count, total, squares = 0, 0.0, 0.0
        with full_precision(self.vae.device):
            for waveform in first_waveforms(self.dataset("train"), self.config.scale_clips).split(
                1
            ):
                mel = self._mel(waveform.to(self.vae.device))
                latent = self.vae.encode(mel).latent_dist.sample(generator).double()
                count += latent.numel()
                total += float(latent.sum())
                squares += float(latent.square().sum())
        return (squares / count - (total / count) ** 2) ** -0.5
