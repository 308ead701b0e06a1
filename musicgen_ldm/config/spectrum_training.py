"""The spectrum network and the `spectrum` stage that trains it."""

from dataclasses import dataclass, field

from musicgen_ldm.config.training import StageConfig
from musicgen_ldm.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class SpectrumNetworkConfig:
    """Size of the network that resolves mel bins into the bins of the transform."""

    channels: int = 256
    blocks: int = 3  # residual, of one frame to either side each
    kernel: int = 5  # frames that the first layer sees

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.kernel % 2 == 0:
            raise ConfigError(f"network.kernel={self.kernel}: must be odd, so that it is centred")


@dataclass(frozen=True, kw_only=True)
class SpectrumStageConfig(StageConfig):
    """Training of the spectrum network; needs sound alone, no captions."""

    stage: str = "spectrum"
    network: SpectrumNetworkConfig = field(default_factory=SpectrumNetworkConfig)
    noise: float = 0.2  # standard deviation added to the log-mel: decoded mels are not exact
    floor: float = 1e-3  # magnitudes are compared above this: a full-scale tone reaches 256
