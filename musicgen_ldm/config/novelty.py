"""What a record says of novelty: which training clips are nearest, and how near is too near."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NUM_NEIGHBOURS = 3  # training clips named in a record
PUBLISHED_THRESHOLD = 0.90  # SIM_AA@90 (Chen et al. 2023), for banks too small for their own


@dataclass(frozen=True)
class Threshold:
    """The similarity above which a sound is close to a training clip.

    Attributes:
        similarity: Cosine.
        is_calibrated: Whether the training clips themselves set it; else it is the published one.
    """

    similarity: float = PUBLISHED_THRESHOLD
    is_calibrated: bool = False

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Threshold":
        """What a take was held against; early records do not name it."""
        return cls(**(record.get("novelty_threshold") or {}))
