"""The `ldm` stage: what the denoiser is conditioned on, and what its loss weighs."""

from dataclasses import dataclass, field
from typing import Literal

from musicgen_ldm.config.checks import check_least
from musicgen_ldm.config.generation import VocoderName
from musicgen_ldm.config.mixup import MixupConfig
from musicgen_ldm.config.training import OptimConfig, StageConfig
from musicgen_ldm.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ComponentsConfig:
    """Folders of the trained parts; one that holds a whole checkpoint serves for all.

    Attributes:
        vae: Holds `vae/`.
        vocoder: Holds `vocoder/`.
        clap: Holds `text_encoder/`, `tokenizer/` and `feature_extractor/`.
        unet: Holds `unet/` to go on from; None starts from random weights.
    """

    vae: str = ""
    vocoder: str = ""
    clap: str = ""
    unet: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConditionConfig:
    """What the denoiser is told about a clip.

    Attributes:
        source: "audio" embeddings of the sound (released recipe), "text" embeddings of a caption
            (text fine-tune), or "mixed": one or the other for each clip.
        text_share: Probability of the text under "mixed".
        dropout: Probability of the embedding of "" in place of either, for guidance.
        audio_noise: Standard deviation per dimension of noise on audio embeddings, a width for
            the modality gap (variance 0.001 in Zhang et al. 2024).
        whitening: Start the condition's projection from whitened conditions whose variances are
            at least this share of the largest (`models/unet.py`); None starts it at random, or
            as `components.unet` has it.
    """

    source: Literal["audio", "text", "mixed"] = "audio"
    text_share: float = 0.5
    dropout: float = 0.1
    audio_noise: float = 0.0
    whitening: float | None = None

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("text_share", "dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"condition.{name}={getattr(self, name)}: must lie in [0, 1]")
        check_least(self, "condition.", audio_noise=0)
        if self.whitening is not None and not 0 < self.whitening <= 1:
            raise ConfigError(
                f"condition.whitening={self.whitening}: must lie in (0, 1], usually 0.001"
            )


@dataclass(frozen=True, kw_only=True)
class CacheConfig:
    """Latents and embeddings computed once, when first needed, instead of in every step.

    Attributes:
        folder: Where to; None encodes on the fly, with fresh crops and mixtures for ever.
        variants: Epochs of crops and mixtures that are stored before they recur.
        half: Encode in bfloat16, up to four times as fast on a CPU that has it.
    """

    folder: str | None = None
    variants: int = 1
    half: bool = False

    def __post_init__(self) -> None:
        """Check the range."""
        check_least(self, "cache.", variants=1)


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Low-rank adaptation of the attention projections (Hu et al. 2022)."""

    rank: int = 16
    alpha: int = 16
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")

    def __post_init__(self) -> None:
        """Check the range."""
        check_least(self, "lora.", rank=1, alpha=1)


@dataclass(frozen=True, kw_only=True)
class PreviewConfig:
    """Samples drawn during training, with fixed noise."""

    prompts: tuple[str, ...] = (
        "a relaxed bossa nova with nylon guitar and flute",
        "driving techno with a pumping bass, 130 bpm",
        "slow solo piano ballad in a minor key",
        "upbeat funk with slap bass and drums",
    )
    seconds: float = 5.12
    steps: int = 25
    guidance: float = 3.0
    bridge: Literal["none", "shift", "memory", "ridge"] = "none"
    vocoder: VocoderName = "hifi-gan"

    def __post_init__(self) -> None:
        """Check ranges."""
        check_least(self, "preview.", seconds=0.1, steps=1, guidance=0)


@dataclass(frozen=True, kw_only=True)
class LdmStageConfig(StageConfig):
    """Latent diffusion training (Chen et al. 2023); the defaults are the released recipe.

    Attributes:
        components: Frozen parts and the denoiser to start from.
        condition: What the denoiser is told.
        mixup: How clips are mixed.
        cache: Where latents are kept.
        crop_seconds: Length of latent that is denoised; None takes the whole clip.
        min_snr_gamma: Cap of the signal-to-noise ratio in the loss weight (Hang et al. 2023);
            None weighs all timesteps alike.
        gradient_checkpointing: Compute activations twice and keep fewer of them.
        lora: Train low-rank factors instead of the weights.
        valid_timesteps: Fixed timesteps at which each validation clip is measured.
        bridge_clips: Training clips that text-to-audio bridges are fitted on.
        preview: Samples to listen to.
    """

    stage: str = "ldm"
    components: ComponentsConfig = field(default_factory=ComponentsConfig)
    condition: ConditionConfig = field(default_factory=ConditionConfig)
    mixup: MixupConfig = field(default_factory=MixupConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    optim: OptimConfig = field(default_factory=lambda: OptimConfig(lr=3e-5, warmup_steps=1000))
    crop_seconds: float | None = None
    min_snr_gamma: float | None = None
    gradient_checkpointing: bool = False
    lora: LoraConfig | None = None
    valid_timesteps: int = 4
    bridge_clips: int = 4096
    preview: PreviewConfig = field(default_factory=PreviewConfig)

    def __post_init__(self) -> None:
        """Check ranges and what excludes what."""
        super().__post_init__()
        check_least(self, valid_timesteps=1, bridge_clips=2)
        for name in ("vae", "vocoder", "clap"):
            if not getattr(self.components, name):
                raise ConfigError(
                    f"components.{name} must be given: the export/ folder of its training run, "
                    "or a checkpoint folder"
                )
        if self.cache.folder is not None and self.run.workers:
            raise ConfigError(
                f"run.workers={self.run.workers}: features in cache.folder are computed by the "
                "training process and cheap to read; set run.workers=0"
            )
        if self.crop_seconds is not None and not 0 < self.crop_seconds <= self.data.seconds:
            raise ConfigError(
                f"crop_seconds={self.crop_seconds}: must be above 0 and at most "
                f"data.seconds={self.data.seconds}"
            )
        if self.min_snr_gamma is not None and not self.min_snr_gamma > 0:
            raise ConfigError(f"min_snr_gamma={self.min_snr_gamma}: must be above 0, usually 5")
        if self.min_snr_gamma is not None and self.model.diffusion.zero_terminal_snr:
            raise ConfigError(
                "min_snr_gamma gives the signal-free last timestep no weight at all, so it cannot "
                "be used with model.diffusion.zero_terminal_snr=true; set one of them to null/false"
            )
        if self.lora is not None and self.components.unet is None:
            raise ConfigError("lora adapts a trained denoiser: set components.unet to its folder")
        if self.lora is not None and self.condition.whitening is not None:
            raise ConfigError("lora leaves the condition's projection as it is: no whitening")
