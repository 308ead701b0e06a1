"""The `ldm` stage: learn to denoise latents under CLAP vectors (Chen et al. 2023)."""

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Generator, Tensor, nn
from transformers import SpeechT5HifiGan

from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.ldm_training import LdmStageConfig
from musicgen_ldm.data.latents import (
    LatentDataset,
    LatentEncoder,
    sample_moments,
    stack_examples,
)
from musicgen_ldm.data.loading import Example
from musicgen_ldm.data.mixed_clips import MixedClipDataset
from musicgen_ldm.diffusion import build_scheduler
from musicgen_ldm.errors import ConfigError
from musicgen_ldm.models.bridge import Bridge, BridgeMode, fit_bridge
from musicgen_ldm.models.unet import build_unet, whiten_condition
from musicgen_ldm.models.vae import reduction
from musicgen_ldm.training.clap_folder import load_clap
from musicgen_ldm.training.components import load_component
from musicgen_ldm.training.conditioning import choose_condition, drop_condition
from musicgen_ldm.training.diffusion_loss import (
    diffusion_loss,
    diffusion_target,
    even_timesteps,
    min_snr_weight,
)
from musicgen_ldm.training.ldm_data import build_source, draw_captions, training_pairs
from musicgen_ldm.training.ldm_preview import draw_previews
from musicgen_ldm.training.lora import add_lora, merge_lora
from musicgen_ldm.training.task import (
    Batch,
    Metrics,
    Optimization,
    StepContext,
    build_optimizer,
    freeze,
    full_precision,
    mean_metrics,
    unwrapped,
)

FITTED_BRIDGES: tuple[BridgeMode, ...] = ("shift", "memory", "ridge")


class LdmTask:
    """Trains the denoiser; everything around it is frozen.

    Raises:
        CheckpointError: If a component is missing or damaged.
        ConfigError: If the components do not fit together.
    """

    name = "ldm"

    def __init__(self, config: LdmStageConfig) -> None:
        self.config = config
        parts, model = config.components, config.model
        self.clap = load_clap(parts.clap)
        self.encoder = LatentEncoder(
            load_component(AutoencoderKL, parts.vae, "vae"),
            load_component(SpeechT5HifiGan, parts.vocoder, "vocoder"),
            self.clap,
            model.mel,
            half=config.cache.half,
        )
        self.scheduler = build_scheduler(model.diffusion)
        self._check_sizes()
        self.models: dict[str, nn.Module] = {"unet": self._build_unet()}
        self.averaged = ("unet",)
        self.frozen: dict[str, nn.Module] = {
            "vae": freeze(self.encoder.vae),
            "vocoder": freeze(self.encoder.vocoder),
            "clap": freeze(self.clap.model),
        }
        self.null = self.encoder.embed_text([""])  # (1, D)
        self._bridges: dict[str, Bridge] | None = None
        self._sources: dict[str, MixedClipDataset | LatentDataset] = {}

    def _check_sizes(self) -> None:
        model, vae = self.config.model, self.encoder.vae
        given = (vae.config.latent_channels, reduction(vae), self.clap.dim)
        wanted = (model.vae.latent_channels, model.vae.factor, model.clap.embedding_dim)
        if given != wanted:
            raise ConfigError(
                f"components have (latent channels, factor, embedding size) {given}, but preset "
                f"{self.config.preset!r} says {wanted}; change the preset, model.vae or model.clap"
            )
        if self.crop_frames % model.unet.factor:
            raise ConfigError(
                f"crop_seconds={self.config.crop_seconds} is {self.crop_frames} latent frames, "
                f"must be a multiple of {model.unet.factor}"
            )

    @property
    def crop_frames(self) -> int:
        """Latent frames N' that are denoised at once."""
        seconds = self.config.crop_seconds or self.config.data.seconds
        return self.config.model.latent_shape(seconds)[1]

    def _build_unet(self) -> nn.Module:
        model = self.config.model
        if self.config.components.unet is not None:
            unet = load_component(UNet2DConditionModel, self.config.components.unet, "unet")
            sizes = unet.config.in_channels, unet.config.projection_class_embeddings_input_dim
            if sizes != (model.vae.latent_channels, model.clap.embedding_dim):
                raise ConfigError(
                    f"components.unet takes (latent channels, embedding size) {sizes}, but preset "
                    f"{self.config.preset!r} has "
                    f"{(model.vae.latent_channels, model.clap.embedding_dim)}"
                )
        else:
            channels, frames, _ = model.latent_shape(self.config.data.seconds)
            unet = build_unet(
                model.unet,
                latent_channels=channels,
                embedding_dim=model.clap.embedding_dim,
                latent_frames=frames,
            )
        if self.config.gradient_checkpointing:
            unet.enable_gradient_checkpointing()
        if self.config.lora is not None:
            add_lora(unet, self.config.lora)
        return unet

    @property
    def _unet(self) -> UNet2DConditionModel:
        """The denoiser without its distributed wrapper."""
        return cast(UNet2DConditionModel, unwrapped(self.models["unet"]))

    def start_from_data(self) -> None:
        """Whiten the condition's projection, if so configured."""
        if self.config.condition.whitening is not None:
            whiten_condition(self._unet, self._conditions(), self.config.condition.whitening)

    def optimizers(self) -> dict[str, Optimization]:
        """One optimizer over what is not frozen."""
        trained = (p for p in self.models["unet"].parameters() if p.requires_grad)
        return {"unet": build_optimizer(trained, self.config.optim)}

    def _conditions(self) -> Tensor:
        """Conditions (n, D) of training clips, as `step` draws them."""
        with full_precision(self.encoder.vae.device):
            text, audio = training_pairs(self.config, self.dataset("train"), self.encoder)
        generator = Generator(text.device).manual_seed(self.config.seed)
        return self._draw_condition(audio, text, generator)

    def _draw_condition(self, audio: Tensor, text: Tensor, generator: Generator) -> Tensor:
        """What the denoiser is told (B, D), or the embedding of "" for some."""
        condition = choose_condition(audio, text, self.config.condition, generator)
        return drop_condition(condition, self.null, self.config.condition.dropout, generator)

    def dataset(self, split: str) -> MixedClipDataset | LatentDataset:
        """Waveforms with captions, or their stored features; the same object each time."""
        if split not in self._sources:
            self._sources[split] = build_source(self.config, split, self.encoder)
        return self._sources[split]

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Stack waveforms or features."""
        return stack_examples(examples)

    def step(self, batch: Batch, context: StepContext) -> Metrics:
        """One denoising step at random timesteps."""
        generator = context.generator
        clean, audio, text = self._features(batch, generator)
        clean = self._crop(clean, generator)
        condition = self._draw_condition(audio, text, generator)
        timesteps = torch.randint(
            self.scheduler.config.num_train_timesteps,
            (len(clean),),
            generator=generator,
            device=clean.device,
        )
        loss = self._loss(clean, condition, timesteps, generator)
        context.optimize("unet", loss)
        return {"loss": loss.detach()}

    def _features(self, batch: Batch, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Scaled latents (B, C, N', M'), audio and text embeddings (B, D)."""
        if "moments" in batch:
            latent = self.encoder.scaled(sample_moments(batch["moments"], generator))
            return latent, batch["audio"], batch["text"]
        with full_precision(generator.device):
            encoded = self.encoder.encode(batch, generator)
            text = self.encoder.embed_text(draw_captions(batch["captions"], generator))
        return encoded.latent, encoded.audio, text

    def _crop(self, latent: Tensor, generator: Generator) -> Tensor:
        """A random stretch of `crop_frames` of each latent."""
        spare = latent.shape[2] - self.crop_frames
        if spare == 0:
            return latent
        device = generator.device
        starts = torch.randint(spare + 1, (len(latent),), generator=generator, device=device)
        return torch.stack(
            [row[:, s : s + self.crop_frames] for row, s in zip(latent, starts, strict=True)]
        )

    def _loss(
        self, clean: Tensor, condition: Tensor, timesteps: Tensor, generator: Generator
    ) -> Tensor:
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        noisy = self.scheduler.add_noise(clean, noise, timesteps)
        prediction = self.models["unet"](
            noisy, timesteps, encoder_hidden_states=None, class_labels=condition, return_dict=False
        )[0]
        gamma = self.config.min_snr_gamma
        weight = None if gamma is None else min_snr_weight(self.scheduler, timesteps, gamma)
        return diffusion_loss(
            prediction, diffusion_target(self.scheduler, clean, noise, timesteps), weight
        )

    def validate(self, batches: Iterable[Batch], generator: Generator) -> Metrics:
        """Loss under the audio, the raw text, each bridged text and no condition.

        All conditions see the same clips, timesteps and noise, so their differences are not
        chance. `closure/<bridge>` is the share of the gap between text and audio that a bridge
        closes.
        """
        bridges = self.bridges()
        rows = [self._validate_batch(batch, bridges, generator) for batch in batches]
        metrics = mean_metrics(rows)
        if not metrics:
            return metrics
        gap = metrics["loss_text"] - metrics["loss_audio"]
        for name in bridges:
            metrics[f"closure/{name}"] = (
                (metrics["loss_text"] - metrics[f"loss_bridge/{name}"]) / gap if gap else 0.0
            )
        return metrics

    def _validate_batch(
        self, batch: Batch, bridges: dict[str, Bridge], generator: Generator
    ) -> dict[str, float]:
        clean, audio, text = self._features(batch, generator)
        clean = self._crop(clean, generator)
        conditions = {
            "loss_audio": audio,
            "loss_text": text,
            "loss_null": self.null.to(text).expand_as(text),
        }
        with full_precision(clean.device):
            for name, bridge in bridges.items():
                conditions[f"loss_bridge/{name}"] = bridge.apply(text)
        count, total = self.config.valid_timesteps, self.scheduler.config.num_train_timesteps
        losses: dict[str, list[float]] = {name: [] for name in conditions}
        for timestep in even_timesteps(count, total).to(clean.device):
            state = generator.get_state()
            for name, condition in conditions.items():
                generator.set_state(state)
                loss = self._loss(clean, condition, timestep.expand(len(clean)), generator)
                losses[name].append(float(loss))
        row = {name: sum(values) / len(values) for name, values in losses.items()}
        row["cosine"] = float((audio * text).sum(dim=1).mean())
        if "memory" in bridges:
            neighbours = bridges["memory"].effective_neighbours(text)
            row["bridge_neighbours"] = float(neighbours.median())
        return row

    def bridges(self) -> dict[str, Bridge]:
        """Text-to-audio bridges fitted on training clips; fitted once, for CLAP is frozen."""
        if self._bridges is None:
            with full_precision(self.encoder.vae.device):
                text, audio = training_pairs(self.config, self.dataset("train"), self.encoder)
                self._bridges = {mode: fit_bridge(text, audio, mode) for mode in FITTED_BRIDGES}
        return self._bridges

    def samples(self, generator: Generator) -> dict[str, Waveform]:
        """The preview prompts, from text embeddings as a user would have them."""
        return draw_previews(
            self._unet,
            self.scheduler,
            self.encoder,
            self.bridges().get(self.config.preview.bridge, Bridge()),
            self.config.preview,
            self.config.model,
        )

    def export(self, folder: Path) -> None:
        """Write `unet/`, `scheduler/` and one folder per bridge in `bridge/`."""
        unet = self._unet
        if self.config.lora is not None:
            unet = merge_lora(copy.deepcopy(unet))
        unet.save_pretrained(folder / "unet")
        self.scheduler.save_pretrained(folder / "scheduler")
        for name, bridge in self.bridges().items():
            bridge.save(folder / "bridge" / name)
