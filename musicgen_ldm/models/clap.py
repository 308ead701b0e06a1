"""CLAP: unit vectors (B, D) for sentences and for sounds, in one space (Wu et al. 2023).

The stock feature extractor crops long clips at random; here windows are placed deterministically
and its spectrogram is computed in torch, equal to the extractor's within float rounding.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    ClapConfig as StockClapConfig,
)
from transformers import (
    ClapFeatureExtractor,
    ClapModel,
    ClapTextModelWithProjection,
    PreTrainedTokenizerBase,
)
from transformers.audio_utils import mel_filter_bank

from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.models import ClapAudioConfig, ClapConfig

MIN_TAIL_S = 1.0  # a shorter remainder after the last full window is dropped
POWER_FLOOR = 1e-10  # the stock extractor clamps the mel power here before taking decibels
NUM_BINS = 64  # mel bins of every HTSAT


def build_clap(config: ClapConfig) -> ClapModel:
    """A freshly initialised CLAP with the unfused HTSAT audio tower."""
    text, audio = config.text, config.audio
    model = ClapModel(
        StockClapConfig(
            text_config={
                "vocab_size": text.vocab_size,
                "hidden_size": text.hidden_size,
                "num_hidden_layers": text.num_layers,
                "num_attention_heads": text.num_heads,
                "intermediate_size": text.intermediate_size,
                "max_position_embeddings": text.max_position_embeddings,
                "type_vocab_size": text.type_vocab_size,
                "pad_token_id": text.pad_token_id,
                "projection_dim": config.embedding_dim,
            },
            audio_config={
                "patch_embeds_hidden_size": audio.patch_channels,
                "hidden_size": audio.patch_channels * 2 ** (len(audio.depths) - 1),
                "depths": list(audio.depths),
                "num_attention_heads": list(audio.num_heads),
                "num_mel_bins": NUM_BINS,
                "spec_size": audio.spec_size,
                "enable_fusion": False,
                "projection_dim": config.embedding_dim,
            },
            projection_dim=config.embedding_dim,
        )
    )
    # transformers 4 draws the logarithms of the temperatures from around 0, where towers hardly
    # learn; LAION's CLAP and transformers 5 start them here.
    with torch.no_grad():
        for scale in (model.logit_scale_a, model.logit_scale_t):
            scale.fill_(math.log(model.config.logit_scale_init_value))
    return model


def build_feature_extractor(config: ClapAudioConfig) -> ClapFeatureExtractor:
    """The stock extractor whose numbers travel with the checkpoint."""
    return ClapFeatureExtractor(
        feature_size=NUM_BINS,
        sampling_rate=config.sample_rate,
        hop_length=config.hop_length,
        max_length_s=int(config.window_s),
        frequency_min=config.fmin,
        frequency_max=config.fmax,
        truncation="rand_trunc",
        padding="repeatpad",
    )


@lru_cache(maxsize=8)
def _filters(sample_rate: int, n_fft: int, fmin: float, fmax: float) -> Tensor:
    bank = mel_filter_bank(
        num_frequency_bins=n_fft // 2 + 1,
        num_mel_filters=NUM_BINS,
        min_frequency=fmin,
        max_frequency=fmax,
        sampling_rate=sample_rate,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(bank.astype(np.float32))


def clap_mel(window: Tensor, extractor: ClapFeatureExtractor) -> Tensor:
    """Decibel mel power, the audio tower's input.

    Args:
        window: (B, T) in [-1, 1], exactly one window long.
        extractor: Holds sample rate, hop and band edges.

    Returns:
        (B, 1, N, M) with N = T / hop + 1.
    """
    n_fft = extractor.fft_window_size
    spectrum = torch.stft(
        window,
        n_fft=n_fft,
        hop_length=extractor.hop_length,
        window=torch.hann_window(n_fft, device=window.device),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    ).abs()
    filters = _filters(
        extractor.sampling_rate, n_fft, extractor.frequency_min, extractor.frequency_max
    )
    # A surrounding autocast would round powers that span ten orders of magnitude.
    with torch.autocast(window.device.type, enabled=False):
        power = spectrum.square().transpose(1, 2) @ filters.to(window.device)
    return 10 * power.clamp(min=POWER_FLOOR).log10().unsqueeze(1)


def audio_windows(samples: Tensor, extractor: ClapFeatureExtractor) -> Tensor:
    """Cut one clip into full windows.

    A clip shorter than the window is repeated and zero-padded, as the stock extractor does; of a
    longer one every whole window is kept, and the remainder if it lasts `MIN_TAIL_S`.

    Args:
        samples: (T,) at the extractor's rate.
        extractor: Holds window length and rate.

    Returns:
        (number of windows, window length).
    """
    size = extractor.nb_max_samples
    if len(samples) < size:
        repeated = samples.repeat(max(1, size // len(samples)))
        return F.pad(repeated, (0, size - len(repeated))).unsqueeze(0)
    windows = list(samples.split(size))
    if len(windows[-1]) < size:
        tail = windows.pop()
        if len(tail) >= MIN_TAIL_S * extractor.sampling_rate:
            windows.append(audio_windows(tail, extractor)[0])
    return torch.stack(windows)


def pooled(windows: Tensor) -> Tensor:
    """The unit embedding (1, D) of a clip from those of its windows (W, D), before normalising."""
    return F.normalize(windows.mean(dim=0, keepdim=True), dim=-1)


@dataclass(frozen=True)
class ClapEmbedder:
    """A frozen CLAP with everything that turns words and sounds into its inputs.

    AudioLDM-style checkpoints hold the text tower alone: `feature_extractor` is None then, and
    sounds have no embedding.
    """

    model: ClapModel | ClapTextModelWithProjection
    tokenizer: PreTrainedTokenizerBase
    feature_extractor: ClapFeatureExtractor

    @property
    def dim(self) -> int:
        """D."""
        return self.model.config.projection_dim

    @property
    def max_tokens(self) -> int:
        """Positions of the text tower; RoBERTa-style ones start after the padding index."""
        config = self.model.config
        text = getattr(config, "text_config", config)  # of a text tower alone, the whole of it
        return int(text.max_position_embeddings) - (text.pad_token_id or 0) - 1

    @torch.no_grad()
    def text(self, sentences: list[str]) -> Tensor:
        """Unit embeddings (B, D) of sentences.

        Each sentence is embedded alone, so that its vector does not depend on its neighbours'
        padding.
        """
        return torch.cat([self._sentence(sentence) for sentence in sentences])

    def _sentence(self, sentence: str) -> Tensor:
        device = self.model.device
        tokens = self.tokenizer(
            sentence,
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        )
        hidden = self.model.text_model(
            input_ids=tokens["input_ids"].to(device),
            attention_mask=tokens["attention_mask"].to(device),
        ).pooler_output
        return F.normalize(self.model.text_projection(hidden), dim=-1)

    @torch.no_grad()
    def audio(self, waveforms: list[Waveform]) -> Tensor:
        """Unit embeddings (B, D) of clips of any length and rate.

        The windows' projections are averaged before normalising.
        """
        return torch.cat([pooled(self.windows(waveform)) for waveform in waveforms])

    @torch.no_grad()
    def windows(self, waveform: Waveform) -> Tensor:
        """Unnormalised embeddings (W, D) of a clip's windows, in order."""
        rate = self.feature_extractor.sampling_rate
        samples = torch.from_numpy(waveform.resampled(rate).mono).to(self.model.device)
        windows = audio_windows(samples, self.feature_extractor)
        # One window at a time keeps memory independent of the clip's length.
        mels = (clap_mel(window[None], self.feature_extractor) for window in windows)
        return torch.cat([self.project(mel) for mel in mels])

    def project(self, mel: Tensor) -> Tensor:
        """Unnormalised audio projections (B, D) of tower inputs (B, 1, N, M); keeps gradients."""
        is_longer = torch.zeros(len(mel), 1, dtype=torch.bool, device=mel.device)
        hidden = self.model.audio_model(input_features=mel, is_longer=is_longer).pooler_output
        return self.model.audio_projection(hidden)
