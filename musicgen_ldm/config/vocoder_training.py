"""The `vocoder` stage: HiFi-GAN's recipe, discriminators optional and of any width."""

from dataclasses import dataclass, field

from musicgen_ldm.config.training import AdversaryConfig, DataConfig, OptimConfig, StageConfig
from musicgen_ldm.errors import ConfigError

_ADAMW = OptimConfig(lr=2e-4, betas=(0.8, 0.99))


@dataclass(frozen=True, kw_only=True)
class VocoderStageConfig(StageConfig):
    """Mel to waveform (Kong et al. 2020).

    The mel of a window of `data.seconds` is computed as a whole; `segment_frames` of it are
    drawn away from its edges, so that no frame carries reflected samples.
    """

    stage: str = "vocoder"
    init: str | None = None  # vocoder that the weights start from
    optim: OptimConfig = field(default_factory=lambda: _ADAMW)
    data: DataConfig = field(default_factory=lambda: DataConfig(seconds=1.28))
    vae: str | None = None  # fine-tune on what this autoencoder decodes instead of true mels
    segment_frames: int = 51  # 8,160 samples
    mel_weight: float = 45.0
    stft_weight: float = 1.0
    feature_weight: float = 2.0  # of feature matching
    adversary: AdversaryConfig | None = field(
        default_factory=lambda: AdversaryConfig(start_step=0, width=32, optim=_ADAMW)
    )

    def __post_init__(self) -> None:
        """The segment must fit between the edges of the window."""
        super().__post_init__()
        inner = self.model.mel.num_frames(self.data.seconds) - 2 * self.edge_frames
        if not 0 < self.segment_frames <= inner:
            raise ConfigError(
                f"segment_frames={self.segment_frames}: must be 1 to {inner}, the frames of "
                f"data.seconds={self.data.seconds} without {self.edge_frames} at each edge"
            )

    @property
    def edge_frames(self) -> int:
        """Frames whose analysis window reaches over the edge of the waveform."""
        mel = self.model.mel
        return -(-mel.n_fft // (2 * mel.hop_length))
