"""How a folder of music becomes a manifest of clips."""

from dataclasses import dataclass

from musicgen_ldm.config.signal import CLIP_SECONDS
from musicgen_ldm.errors import ConfigError

UNKNOWN_LICENCE = "unknown"


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Settings of `musicgen-ldm prepare`.

    Attributes:
        clip_seconds: Length of the clips a track is cut into.
        min_seconds: A last piece shorter than this is left out, and so is a shorter track.
        tracker: Beat tracker, by name.
        valid_fraction: Expected share of tracks in the split "valid".
        test_fraction: Expected share of tracks in the split "test".
        licence: Of tracks that say nothing themselves.
        source: Of tracks that say nothing themselves.
        attribution: Of tracks that say nothing themselves.
    """

    clip_seconds: float = CLIP_SECONDS
    min_seconds: float = 5.0
    tracker: str = "auto"
    valid_fraction: float = 0.05
    test_fraction: float = 0.05
    licence: str = UNKNOWN_LICENCE
    source: str = "own music"
    attribution: str = ""

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 1 <= self.min_seconds <= self.clip_seconds:
            raise ConfigError(
                f"min_seconds={self.min_seconds}, clip_seconds={self.clip_seconds}: must satisfy "
                "1 <= min_seconds <= clip_seconds"
            )
        if min(self.valid_fraction, self.test_fraction) < 0 or (
            self.valid_fraction + self.test_fraction >= 1
        ):
            raise ConfigError(
                f"valid_fraction={self.valid_fraction}, test_fraction={self.test_fraction}: must "
                "not be negative and must leave something to train on (sum below 1)"
            )
