"""What the denoiser sees of a clip: its latent and the CLAP vectors that may condition it.

Letters: B clips, T samples, D embedding, latent (C, N', M'). Moments are the posterior's mean and
log-variance, (2 C, N', M'), so that a stored latent can still be sampled anew in each epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Generator, Tensor
from torch.nn import functional as F
from transformers import SpeechT5HifiGan

from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.data.feature_store import FeatureCache, Features, FeatureStore, clip_key
from musicgen_ldm.data.mixed_clips import MixedClipDataset
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.mel import log_mel
from musicgen_ldm.mixup.mix import latent_mixup
from musicgen_ldm.models.clap import ClapEmbedder, audio_windows, clap_mel
from musicgen_ldm.models.vae import decode
from musicgen_ldm.models.vocoder import vocode


@dataclass(frozen=True)
class Encoded:
    """A batch after the frozen networks.

    Attributes:
        moments: (B, 2 C, N', M') of the unscaled posterior.
        latent: (B, C, N', M'), a scaled sample of it.
        audio: CLAP embeddings of the sound, (B, D).
    """

    moments: Tensor
    latent: Tensor
    audio: Tensor


class LatentEncoder:
    """The frozen networks around the denoiser.

    Args:
        vae: Trained mel autoencoder.
        vocoder: Only latent mixtures are decoded with it.
        clap: Trained CLAP.
        mel: Signal numbers.
        half: Run the autoencoder's encoder in bfloat16: up to four times as fast on a CPU that
            has it, at an error far below the posterior's own width.
    """

    def __init__(
        self,
        vae: AutoencoderKL,
        vocoder: SpeechT5HifiGan,
        clap: ClapEmbedder,
        mel: MelConfig,
        *,
        half: bool = False,
    ) -> None:
        self.vae = vae
        self.vocoder = vocoder
        self.clap = clap
        self.mel = mel
        self.half = half

    @torch.no_grad()
    def encode(self, batch: dict[str, Any], generator: Generator) -> Encoded:
        """Latents and audio conditions of waveforms, mixing latents where the batch says so.

        Args:
            batch: `waveform` (B, T); for latent mixup also `first`, `second` (B, T), `ratio` (B,)
                and `mixed` (B,) boolean.
            generator: Samples the posteriors.
        """
        waveform = batch["waveform"]
        posterior = self.posterior(waveform)
        latent = self.scaled(posterior.sample(generator))
        encoded = Encoded(posterior.parameters, latent, self.embed_audio(waveform))
        if "first" not in batch or not bool(batch["mixed"].any()):
            return encoded
        mixed = batch["mixed"]
        halves = {name: batch[name][mixed] for name in ("first", "second", "ratio")}
        mixture = self._mix(**halves, generator=generator)
        return Encoded(
            *(
                old.masked_scatter(mixed.view(-1, *[1] * (old.ndim - 1)), new.to(old))
                for old, new in zip(
                    (encoded.moments, encoded.latent, encoded.audio),
                    (mixture.moments, mixture.latent, mixture.audio),
                    strict=True,
                )
            )
        )

    def _mix(self, first: Tensor, second: Tensor, ratio: Tensor, generator: Generator) -> Encoded:
        """BLM: the mixture's own sound is what CLAP hears, decoded and vocoded (Chen et al. 2023).

        The mixture of two independent Gaussians is Gaussian, so it has moments as well.
        """
        ours, theirs = self.posterior(first), self.posterior(second)
        latent = self._mixed(ours, theirs, ratio, generator)
        weight = ratio.to(latent).view(-1, 1, 1, 1)
        mean = latent_mixup(ours.mean, theirs.mean, ratio)
        variance = weight**2 * ours.var + (1 - weight) ** 2 * theirs.var
        moments = torch.cat([mean, variance.log()], dim=1)
        return Encoded(moments, latent, self.embed_audio(self._sound(latent)))

    def _mixed(
        self,
        ours: DiagonalGaussianDistribution,
        theirs: DiagonalGaussianDistribution,
        ratio: Tensor,
        generator: Generator,
    ) -> Tensor:
        """Scaled samples of two posteriors, mixed, (B, C, N', M')."""
        first = self.scaled(ours.sample(generator))
        return latent_mixup(first, self.scaled(theirs.sample(generator)), ratio)

    def _sound(self, latent: Tensor) -> Tensor:
        """Waveforms (B, T) of scaled latents, decoded and vocoded."""
        return vocode(self.vocoder, decode(self.vae, latent))

    @torch.no_grad()
    def mixed_sound(
        self, first: Tensor, second: Tensor, ratio: Tensor, generator: Generator
    ) -> Tensor:
        """What CLAP hears of the latent mixtures of waveforms (B, T), likewise (B, T)."""
        ours, theirs = self.posterior(first), self.posterior(second)
        return self._sound(self._mixed(ours, theirs, ratio, generator))

    def posterior(self, waveform: Tensor) -> DiagonalGaussianDistribution:
        """VAE posterior of waveforms (B, T), in single precision."""
        mel = log_mel(waveform, self.mel)
        with torch.autocast(mel.device.type, torch.bfloat16, enabled=self.half):
            parameters = self.vae.encode(mel).latent_dist.parameters
        return DiagonalGaussianDistribution(parameters.float())

    def scaled(self, latent: Tensor) -> Tensor:
        """A raw latent at about unit variance."""
        return latent * self.vae.config.scaling_factor

    @torch.no_grad()
    def embed_audio(self, waveform: Tensor) -> Tensor:
        """CLAP embeddings (B, D) of clips (B, T), all windows in one pass.

        Equals `ClapEmbedder.audio` clip by clip.
        """
        extractor = self.clap.feature_extractor
        assert extractor is not None
        if extractor.sampling_rate != self.mel.sample_rate:
            clips = [Waveform(clip, self.mel.sample_rate) for clip in waveform.cpu().numpy()]
            resampled = np.stack([clip.resampled(extractor.sampling_rate).mono for clip in clips])
            waveform = torch.from_numpy(resampled).to(waveform.device)
        windows = torch.stack([audio_windows(clip, extractor) for clip in waveform])
        count = windows.shape[1]
        projected = self.clap.project(clap_mel(windows.flatten(0, 1), extractor))
        return F.normalize(projected.float().unflatten(0, (-1, count)).mean(dim=1), dim=-1)

    @torch.no_grad()
    def embed_text(self, sentences: Sequence[str]) -> Tensor:
        """CLAP embeddings (B, D) of sentences, in one padded pass."""
        model = self.clap.model
        tokens = self.clap.tokenizer(
            list(sentences),
            padding=True,
            truncation=True,
            max_length=self.clap.max_tokens,
            return_tensors="pt",
        ).to(model.device)
        hidden = model.text_model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).pooler_output
        return F.normalize(model.text_projection(hidden).float(), dim=-1)


def sample_moments(moments: Tensor, generator: Generator) -> Tensor:
    """A raw latent (B, C, N', M') from stored moments (B, 2 C, N', M')."""
    return DiagonalGaussianDistribution(moments.float()).sample(generator)


class LatentDataset:
    """Stored features of a dataset's first epochs, computed when first asked for.

    Epoch e reads variant e modulo `variants`, so crops and mixtures recur after so many epochs,
    while posterior samples, captions and noise never do.

    Args:
        source: Clips, mixed or not.
        encoder: The frozen networks, on their device.
        store: Must be named after the networks, the source's settings and the mixup.
        variants: How many epochs of `source` are stored.
    """

    def __init__(
        self,
        source: MixedClipDataset,
        encoder: LatentEncoder,
        store: FeatureStore,
        *,
        variants: int,
    ) -> None:
        self.source = source
        self.clips = source.source.clips
        self.seed = source.source.seed
        self.encoder = encoder
        self.variants = variants
        keys = [clip_key(clip, variant) for variant in range(variants) for clip in self.clips]
        self.cache = FeatureCache(store, keys, self._compute)

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.clips)

    def __getitem__(self, ref: ClipRef) -> dict[str, Any]:
        """`{"id", "moments" (2 C, N', M'), "audio" (D,), "text" (D,)}`.

        Raises:
            AudioError: If the clip is missing, corrupt or silent.
        """
        variant = ref.epoch % self.variants
        features = self.cache[variant * len(self.clips) + ref.index]
        rng = np.random.default_rng((self.seed, ref.epoch, ref.index))
        text = features["text"][int(rng.integers(len(features["text"])))]
        return {
            "id": self.clips[ref.index].id,
            "moments": features["moments"],
            "audio": features["audio"].float(),
            "text": text.float(),
        }

    def pairs(self, limit: int) -> tuple[Tensor, Tensor]:
        """Text and audio embeddings (n, D) of the first `limit` clips, unusable ones left out."""
        features = self.cache.all(range(min(limit, len(self))), label="features")
        text = torch.stack([entry["text"][0] for entry in features])
        return text.float(), torch.stack([entry["audio"] for entry in features]).float()

    @torch.no_grad()
    def _compute(self, index: int) -> Features:
        """All captions of the example are embedded; half precision costs 1e-3 at most."""
        example = self.source[ClipRef(*divmod(index, len(self.clips)))]
        batch = stack_examples([example])
        device = self.encoder.vae.device
        batch = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()}
        with torch.autocast(device.type, enabled=False):
            generator = Generator(device).manual_seed(self.seed + index)
            encoded = self.encoder.encode(batch, generator)
            text = self.encoder.embed_text(example["captions"] or [""])
        return {
            "moments": encoded.moments[0].half().cpu(),
            "audio": encoded.audio[0].half().cpu(),
            "text": text.half().cpu(),
        }


def stack_examples(examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Collate waveforms or stored features; strings and captions stay lists."""
    batch: dict[str, Any] = {}
    for name, first in examples[0].items():
        values = [example[name] for example in examples]
        if isinstance(first, Tensor):
            batch[name] = torch.stack(values)
        elif isinstance(first, np.ndarray):
            batch[name] = torch.from_numpy(np.stack(values))
        elif isinstance(first, bool | float):
            batch[name] = torch.tensor(values)
        else:
            batch[name] = values
    return batch
