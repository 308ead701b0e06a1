"""The `vocoder` stage: log-mel -> waveform."""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from transformers import SpeechT5HifiGan

from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.signal import CLIP_SECONDS
from musicgen_ldm.config.vocoder_training import VocoderStageConfig
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.loading import Example, stack_waveforms
from musicgen_ldm.errors import ConfigError
from musicgen_ldm.mel import log_mel
from musicgen_ldm.models.discriminators import (
    WaveformDiscriminator,
    feature_matching_loss,
    least_squares_loss,
    split_judgements,
)
from musicgen_ldm.models.vae import decode, encode, reduction
from musicgen_ldm.models.vocoder import build_vocoder, vocode
from musicgen_ldm.training.components import NUM_LISTENING_CLIPS, first_waveforms, load_component
from musicgen_ldm.training.spectral import multi_resolution_stft_loss
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


class TrainingVocoder(nn.Module):
    """The vocoder with weight normalisation, its output cut to whole frames in `forward`."""

    def __init__(self, vocoder: SpeechT5HifiGan) -> None:
        super().__init__()
        vocoder.apply_weight_norm()
        self.vocoder = vocoder

    def forward(self, mel: Tensor) -> Tensor:
        """Waveform (B, T) of a log-mel (B, 1, N, M)."""
        return vocode(self.vocoder, mel)


class VocoderTask:
    """Spectral losses and, from some step on, period and spectrum discriminators.

    Args:
        config: Losses, data and sizes.

    Raises:
        ConfigError: If the window does not suit the given autoencoder.
    """

    name = "vocoder"

    def __init__(self, config: VocoderStageConfig) -> None:
        self.config = config
        self.mel_config = config.model.mel
        vocoder = (
            load_component(SpeechT5HifiGan, config.init, "vocoder")
            if config.init
            else build_vocoder(config.model.vocoder, self.mel_config)
        )
        self.models: dict[str, nn.Module] = {"vocoder": TrainingVocoder(vocoder)}
        if config.adversary:
            self.models["discriminator"] = WaveformDiscriminator(config.adversary.width)
        self.frozen: dict[str, nn.Module] = {}
        if config.vae:
            self.frozen["vae"] = self._load_vae(config.vae)
        self.averaged = ("vocoder",)

    def _load_vae(self, path: str) -> nn.Module:
        vae = load_component(AutoencoderKL, path, "vae")
        factor = reduction(vae)
        num_frames = self.mel_config.num_frames(self.config.data.seconds)
        if num_frames % factor:
            raise ConfigError(
                f"data.seconds={self.config.data.seconds} is {num_frames} mel frames: with a VAE "
                f"they must be a multiple of its factor {factor}"
            )
        return freeze(vae)

    def optimizers(self) -> dict[str, Optimization]:
        """One for the vocoder and one for its discriminators."""
        optimizers = {
            "vocoder": build_optimizer(self.models["vocoder"].parameters(), self.config.optim)
        }
        if self.config.adversary:
            optimizers["discriminator"] = build_optimizer(
                self.models["discriminator"].parameters(), self.config.adversary.optim
            )
        return optimizers

    def dataset(self, split: str) -> ClipDataset:
        """Windows of `data.seconds`."""
        return ClipDataset.for_mel(self.config.data, split, self.mel_config, self.config.seed)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Ids and waveforms (B, T)."""
        return stack_waveforms(examples)

    def step(self, batch: Batch, context: StepContext) -> Metrics:
        """Discriminators first, where they take part, then the vocoder."""
        mel, target = self._segments(batch["waveform"], context.generator)
        generated = self.models["vocoder"](mel).float()
        losses = self._losses(generated, target)
        loss = self._weighted(losses)
        adversary = self.config.adversary
        if adversary is None or not adversary.active(context.index):
            context.optimize("vocoder", loss)
            return losses
        pair = torch.cat([target, generated.detach()])  # one call, as DDP wants it
        real, fake = split_judgements(self.models["discriminator"](pair))
        losses["discriminator"] = least_squares_loss(real, 1.0) + least_squares_loss(fake, 0.0)
        context.optimize("discriminator", losses["discriminator"])
        with frozen(self.models["discriminator"]) as discriminator:
            with torch.no_grad():
                real = discriminator(target)
            fake = discriminator(generated)
            losses["adversarial"] = least_squares_loss(fake, 1.0)
            losses["features"] = feature_matching_loss(real, fake)
            loss = loss + adversary.weight * losses["adversarial"]
            context.optimize("vocoder", loss + self.config.feature_weight * losses["features"])
        return losses

    def _segments(self, waveform: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Matching log-mels (B, 1, segment_frames, M) and waveforms, one place per clip."""
        mel = self._mel(waveform)
        edge, size = self.config.edge_frames, self.config.segment_frames
        last = mel.shape[2] - size - edge
        device = waveform.device
        starts = torch.randint(edge, last + 1, (len(mel), 1), generator=generator, device=device)
        frames = starts + torch.arange(size, device=device)  # (B, segment_frames)
        rows = torch.arange(len(mel), device=device)[:, None]
        hop = self.mel_config.hop_length
        samples = starts * hop + torch.arange(size * hop, device=device)  # (B, T)
        return mel[rows, 0, frames].unsqueeze(1), waveform[rows, samples]

    @torch.no_grad()
    def _mel(self, waveform: Tensor) -> Tensor:
        """The mel to vocode: the true one, or what the autoencoder makes of it."""
        mel = log_mel(waveform, self.mel_config)
        if "vae" not in self.frozen:
            return mel
        vae: AutoencoderKL = self.frozen["vae"]
        return decode(vae, encode(vae, mel)).float()

    def _losses(self, generated: Tensor, target: Tensor) -> dict[str, Tensor]:
        with full_precision(generated.device):
            mel = F.l1_loss(log_mel(generated, self.mel_config), log_mel(target, self.mel_config))
            return {"mel": mel, "stft": multi_resolution_stft_loss(generated, target)}

    def _weighted(self, losses: dict[str, Tensor]) -> Tensor:
        return self.config.mel_weight * losses["mel"] + self.config.stft_weight * losses["stft"]

    def validate(self, batches: Iterable[Batch], generator: Generator) -> Metrics:
        """Spectral losses over whole windows."""
        return mean_metrics(
            self._losses(self._vocode(batch["waveform"]), batch["waveform"]) for batch in batches
        )

    def _vocode(self, waveform: Tensor) -> Tensor:
        return self.models["vocoder"](self._mel(waveform)).float()

    def samples(self, generator: Generator) -> dict[str, Waveform]:
        """Whole validation clips before and after."""
        dataset, rate = self.dataset("valid"), self.mel_config.sample_rate
        dataset.num_samples = self.mel_config.num_samples(self.mel_config.num_frames(CLIP_SECONDS))
        waveforms = first_waveforms(dataset, NUM_LISTENING_CLIPS)
        device = next(self.models["vocoder"].parameters()).device
        vocoded = self._vocode(waveforms.to(device)).cpu()
        sounds = {}
        for i, (before, after) in enumerate(zip(waveforms, vocoded, strict=True)):
            sounds[f"clip{i}-original"] = Waveform(before.numpy(), rate)
            sounds[f"clip{i}-vocoded"] = Waveform(after.numpy(), rate)
        return sounds

    def export(self, folder: Path) -> None:
        """Write `vocoder/` for the stock `SpeechT5HifiGan`, weight normalisation folded in."""
        training = unwrapped(self.models["vocoder"])
        assert isinstance(training, TrainingVocoder)
        without_weight_norm(training.vocoder).save_pretrained(folder / "vocoder")


def without_weight_norm(vocoder: SpeechT5HifiGan) -> SpeechT5HifiGan:
    """A copy whose weights are the normalised values.

    The stock class applies the newer form of weight normalisation but can remove only the older.
    """
    plain = SpeechT5HifiGan(vocoder.config)
    plain.load_state_dict({key: attrgetter(key)(vocoder) for key in plain.state_dict()})
    return plain
