"""The beat network, what it hears, and the `beats` stage that trains it."""

from dataclasses import dataclass, field

from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.config.training import StageConfig
from musicgen_ldm.errors import ConfigError

# 50 frames per second: a frame of 20 ms is well inside the 70 ms tolerance of beat evaluation,
# and decoding costs a quarter of what it costs at 100.
BEAT_MEL = MelConfig(n_fft=1024, hop_length=320, num_bins=64, fmin=30.0, floor=1e-3)


@dataclass(frozen=True, kw_only=True)
class BeatNetworkConfig:
    """Size of the temporal convolutional network (Davies & Böck 2019)."""

    channels: int = 32
    kernel: int = 5  # frames of each dilated convolution
    layers: int = 9  # dilations 1, 2, … 2^(layers - 1): 20 s of context either side
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.kernel % 2 == 0:
            raise ConfigError(f"network.kernel={self.kernel}: must be odd, so that it is centred")


@dataclass(frozen=True, kw_only=True)
class BeatAugmentConfig:
    """Largest changes that a training example undergoes; 0 switches one off.

    They stand in for what the built-in corpus lacks: rooms, microphones, old recordings,
    masters, radios and other tempi.
    """

    stretch: float = 0.3  # tempo factor within [1 / (1 + x), 1 + x]
    transpose_bins: int = 3  # mel bins up or down
    gain_db: float = 6.0
    equaliser_db: float = 8.0  # standard deviation of each band of a smooth random curve
    contrast: float = 0.3  # compression or expansion of the log spectrum by 1 +- x
    noise_probability: float = 0.5  # coloured noise, 0 to 30 dB below the music
    bandlimit_probability: float = 0.3  # cut off below 100-400 Hz or above 1.5-6 kHz
    mask_probability: float = 0.5  # silence up to 0.4 s, and up to 12 bins


@dataclass(frozen=True, kw_only=True)
class BeatsStageConfig(StageConfig):
    """Training of the beat network on clips whose beats are known.

    `data.seconds` is the length of an example *after* stretching; a clip shorter than
    `data.seconds * (1 + augment.stretch)` is sped up less.
    """

    stage: str = "beats"
    network: BeatNetworkConfig = field(default_factory=BeatNetworkConfig)
    augment: BeatAugmentConfig = field(default_factory=BeatAugmentConfig)

    @property
    def num_frames(self) -> int:
        """Frames N of an example."""
        return BEAT_MEL.num_frames(self.data.seconds)
