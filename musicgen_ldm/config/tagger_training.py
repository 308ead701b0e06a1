"""The tagger, what it hears, and the `tagger` stage that trains it."""

from dataclasses import dataclass, field

from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.config.training import StageConfig
from musicgen_ldm.errors import ConfigError

# Twice the project's hop: a tag lasts, and half the frames are half the work.
TAGGER_MEL = MelConfig(hop_length=320)


@dataclass(frozen=True, kw_only=True)
class TaggerNetworkConfig:
    """Size of the convolutional tagger (Kong et al. 2020, CNN14 made smaller)."""

    channels: tuple[int, ...] = (32, 64, 128, 256)  # of each block; a block halves both axes
    embedding_dim: int = 256
    dropout: float = 0.2

    def __post_init__(self) -> None:
        """Check that the mel survives the halvings."""
        if 2 ** len(self.channels) > TAGGER_MEL.num_bins:
            raise ConfigError(
                f"network.channels={self.channels}: at most 6 blocks fit {TAGGER_MEL.num_bins} bins"
            )


@dataclass(frozen=True, kw_only=True)
class TempoBins:
    """Tempo as classes: equal ratios, so that an error means the same everywhere."""

    lowest_bpm: float = 50.0
    octaves: int = 2
    per_octave: int = 12  # 5.9 % a bin

    @property
    def count(self) -> int:
        """Number of bins."""
        return self.octaves * self.per_octave


@dataclass(frozen=True, kw_only=True)
class TaggerStageConfig(StageConfig):
    """Training of the tagger on clips whose instruments, genre and tempo are known.

    It judges the generator, so it must neither train nor rank it.
    """

    stage: str = "tagger"
    network: TaggerNetworkConfig = field(default_factory=TaggerNetworkConfig)
    tempo: TempoBins = field(default_factory=TempoBins)
    mixup: bool = True  # blend pairs of examples and their targets (Zhang et al. 2018)
    # Spectra are tilted by up to this between the lowest and the highest bin, so that the tagger
    # learns instruments and not the colour of a mix or of a codec.
    tilt_db: float = 6.0
    min_clips: int = 20  # rarer instruments and genres are not learned
    cache: str | None = None  # folder of spectrograms; None computes them again in each epoch
