"""The components of one text-to-music system, loaded or freshly initialised."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, SchedulerMixin, UNet2DConditionModel
from transformers import SpeechT5HifiGan

from musicgen_ldm.bank import Bank
from musicgen_ldm.checkpoint.quiet import quiet_libraries
from musicgen_ldm.config.generation import SamplingConfig
from musicgen_ldm.config.models import PRESETS
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.diffusion import build_scheduler
from musicgen_ldm.errors import CheckpointError
from musicgen_ldm.models.bridge import Bridge
from musicgen_ldm.models.clap import ClapEmbedder, build_clap, build_feature_extractor
from musicgen_ldm.models.tokenizer import byte_tokenizer
from musicgen_ldm.models.unet import build_unet
from musicgen_ldm.models.vae import build_vae
from musicgen_ldm.models.vocoder import build_vocoder


@dataclass(frozen=True)
class Checkpoint:
    """The loaded components of one system and what is known about them.

    Attributes:
        unet: Denoiser.
        vae: Mel autoencoder.
        vocoder: HiFi-GAN.
        clap: CLAP with tokenizer and feature extractor.
        scheduler: Diffusion process.
        mel: Signal numbers.
        mel_ceiling: Loudest log-mel of each bin in the training clips (M,); what the autoencoder
            decodes above it is an error of its own. None sets no limit.
        bridges: Fitted steps from text to audio embedding, by name; "none" needs no entry.
        bank: Novelty bank of the training clips; None if the checkpoint carries none.
        sampling: Default sampling, chosen by measurement for our own checkpoints.
        name: What records call it: its own name, a hub id, or its folder's last part. Never a
            path, which would tell a stranger about this machine.
        folder: Where it was read from; None for one made in memory.
        metadata: Content of `musicgen_ldm.json`, empty for other people's checkpoints.
    """

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    vocoder: SpeechT5HifiGan
    clap: ClapEmbedder
    scheduler: SchedulerMixin
    mel: MelConfig
    mel_ceiling: tuple[float, ...] | None = None
    bridges: dict[str, Bridge] = field(default_factory=dict)
    bank: Bank | None = None
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    name: str = "unnamed"
    folder: Path | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def networks(self) -> dict[str, Any]:
        """Trainable components by their folder's name."""
        return {
            "unet": self.unet,
            "vae": self.vae,
            "text_encoder": self.clap.model,
            "vocoder": self.vocoder,
        }

    @property
    def examples(self) -> tuple[str, ...]:
        """Prompts that its maker found it good at; none if they named none."""
        return tuple(self.metadata.get("examples", ()))

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> "Checkpoint":
        """Move and cast every network in place; frozen and in evaluation mode.

        CLAP stays in float32: what it says is compared with numbers of other runs.
        """
        with quiet_libraries():
            for name, network in self.networks.items():
                kept = torch.float32 if name == "text_encoder" else dtype
                network.to(device, kept).requires_grad_(False).eval()
        return self


def initialise(preset: str, *, seed: int = 0) -> Checkpoint:
    """A checkpoint with random weights, the same for the same seed.

    Raises:
        CheckpointError: If there is no such preset.
    """
    if preset not in PRESETS:
        raise CheckpointError(f"no preset {preset!r}; choose one of {', '.join(PRESETS)}")
    config = PRESETS[preset]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        channels, frames, _ = config.latent_shape()
        checkpoint = Checkpoint(
            unet=build_unet(
                config.unet,
                latent_channels=channels,
                embedding_dim=config.clap.embedding_dim,
                latent_frames=frames,
            ),
            vae=build_vae(config.vae),
            vocoder=build_vocoder(config.vocoder, config.mel),
            clap=ClapEmbedder(
                build_clap(config.clap),
                byte_tokenizer(),
                build_feature_extractor(config.clap.audio),
            ),
            scheduler=build_scheduler(config.diffusion),
            mel=config.mel,
            name=preset,
            metadata={"preset": preset, "model": asdict(config)},
        )
    return checkpoint.to(torch.device("cpu"))
