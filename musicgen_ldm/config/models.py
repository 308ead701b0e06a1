"""Sizes of the four networks, and the presets that name them.

`musicldm` is the released architecture of Chen et al. (2023); `musicldm-128` the variant its text
describes; `pocket` the embedded model that runs on a laptop; `tiny` is for tests.
"""

from dataclasses import dataclass, field
from typing import Literal

from musicgen_ldm.config.signal import CLIP_SECONDS, MelConfig
from musicgen_ldm.errors import ConfigError

EMBEDDING_DIM = 512  # D of every CLAP we build


@dataclass(frozen=True, kw_only=True)
class VaeConfig:
    """Mel autoencoder (Rombach et al. 2022), first and narrowest level first."""

    block_channels: tuple[int, ...] = (128, 256, 512)
    layers_per_block: int = 2
    latent_channels: int = 8  # C
    norm_groups: int = 32

    @property
    def factor(self) -> int:
        """Reduction of time and of frequency from mel to latent."""
        return 2 ** (len(self.block_channels) - 1)


@dataclass(frozen=True, kw_only=True)
class UnetConfig:
    """Denoiser with self-attention on every level but the first."""

    block_channels: tuple[int, ...] = (128, 256, 384, 640)
    layers_per_block: int = 2
    head_channels: int = 32  # the reference keeps 32 channels a head: 4/8/12/20 heads
    norm_groups: int = 32

    @property
    def num_heads(self) -> tuple[int, ...]:
        """Attention heads per level."""
        return tuple(channels // self.head_channels for channels in self.block_channels)

    @property
    def factor(self) -> int:
        """Latent lengths must be a multiple of this."""
        return int(2 ** (len(self.block_channels) - 1))


@dataclass(frozen=True, kw_only=True)
class VocoderConfig:
    """HiFi-GAN V1 (Kong et al. 2020); the upsampling rates multiply to the mel's hop."""

    initial_channels: int = 1024
    upsample_rates: tuple[int, ...] = (5, 4, 2, 2, 2)
    upsample_kernel_sizes: tuple[int, ...] = (16, 16, 8, 4, 4)
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5),) * 3


@dataclass(frozen=True, kw_only=True)
class ClapTextConfig:
    """Text tower; the defaults are RoBERTa-base."""

    vocab_size: int = 50265
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 514
    type_vocab_size: int = 1
    pad_token_id: int = 1


@dataclass(frozen=True, kw_only=True)
class ClapAudioConfig:
    """HTSAT audio tower and its own mel front end; the defaults are LAION's HTSAT-base."""

    patch_channels: int = 128
    depths: tuple[int, ...] = (2, 2, 12, 2)
    num_heads: tuple[int, ...] = (4, 8, 16, 32)
    spec_size: int = 256  # side of the square a window's (frames, 64) spectrogram is folded into
    sample_rate: int = 48_000  # Hz
    hop_length: int = 480  # samples
    fmin: float = 50.0  # Hz
    fmax: float = 14_000.0  # Hz
    window_s: float = 10.0


@dataclass(frozen=True, kw_only=True)
class ClapConfig:
    """Joint text-audio embedding (Wu et al. 2023)."""

    text: ClapTextConfig = field(default_factory=ClapTextConfig)
    audio: ClapAudioConfig = field(default_factory=ClapAudioConfig)
    embedding_dim: int = EMBEDDING_DIM


PredictionType = Literal["epsilon", "v_prediction", "sample"]


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """Forward process; the defaults are the released ones ("linear" there, scaled-linear here)."""

    num_train_timesteps: int = 1000
    beta_start: float = 0.0015
    beta_end: float = 0.0195
    prediction_type: PredictionType = "epsilon"
    zero_terminal_snr: bool = False  # Lin et al. 2024; needs v_prediction or sample

    def __post_init__(self) -> None:
        """Zero terminal SNR leaves nothing to recover from a predicted noise."""
        if self.zero_terminal_snr and self.prediction_type == "epsilon":
            raise ConfigError(
                "diffusion.zero_terminal_snr=true needs diffusion.prediction_type "
                "v_prediction or sample, got epsilon"
            )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """All that `build_*` needs to make the components of one checkpoint."""

    mel: MelConfig = field(default_factory=MelConfig)
    vae: VaeConfig = field(default_factory=VaeConfig)
    unet: UnetConfig = field(default_factory=UnetConfig)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    clap: ClapConfig = field(default_factory=ClapConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)

    def latent_shape(self, seconds: float = CLIP_SECONDS) -> tuple[int, int, int]:
        """(C, N', M') of a clip."""
        factor = self.vae.factor
        num_frames = self.mel.num_frames(seconds)
        return self.vae.latent_channels, num_frames // factor, self.mel.num_bins // factor


# A six-layer MiniLM sentence encoder fits the stock RoBERTa-style text tower once its positions
# are shifted past the padding index (models/minilm.py).
MINILM = ClapTextConfig(
    vocab_size=30522,
    hidden_size=384,
    num_layers=6,
    num_heads=12,
    intermediate_size=1536,
    max_position_embeddings=513,  # 512 positions + pad_token_id + 1
    type_vocab_size=2,
    pad_token_id=0,
)

_POCKET = ModelConfig(
    vae=VaeConfig(
        block_channels=(32, 64, 128, 128), layers_per_block=1, latent_channels=16, norm_groups=16
    ),
    unet=UnetConfig(block_channels=(96, 192, 256), layers_per_block=1),
    vocoder=VocoderConfig(initial_channels=192),
    clap=ClapConfig(
        text=MINILM,
        # Frames of 40 ms on a quarter of the tokens: a third of the cost of 10 ms frames, and three
        # stages because windows of 8 x 8 tokens do not fit a fourth.
        audio=ClapAudioConfig(
            patch_channels=96,
            depths=(2, 4, 2),
            num_heads=(3, 6, 12),
            spec_size=128,
            sample_rate=16_000,
            hop_length=640,
            fmax=8_000.0,
        ),
    ),
    diffusion=DiffusionConfig(prediction_type="v_prediction", zero_terminal_snr=True),
)

_TINY = ModelConfig(
    vae=VaeConfig(block_channels=(8, 8, 16), layers_per_block=1, latent_channels=4, norm_groups=4),
    unet=UnetConfig(block_channels=(16, 32), layers_per_block=1, head_channels=16, norm_groups=8),
    vocoder=VocoderConfig(
        initial_channels=32,
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1, 3),),
    ),
    clap=ClapConfig(
        text=ClapTextConfig(
            vocab_size=1000,
            hidden_size=32,
            num_layers=2,
            num_heads=2,
            intermediate_size=64,
            max_position_embeddings=514,
        ),
        audio=ClapAudioConfig(
            patch_channels=8,
            depths=(1, 1),
            num_heads=(1, 2),
            sample_rate=16_000,
            hop_length=160,
            fmax=8_000.0,
        ),
        embedding_dim=32,
    ),
)

PRESETS: dict[str, ModelConfig] = {
    "musicldm": ModelConfig(),
    "musicldm-128": ModelConfig(
        mel=MelConfig(num_bins=128),
        vae=VaeConfig(block_channels=(128, 256, 512, 1024), latent_channels=16),
    ),
    "pocket": _POCKET,
    "tiny": _TINY,
}
