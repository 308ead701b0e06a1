"""How near to the training set is unusually near."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from musicgen_ldm.bank.reader import Bank

PUBLISHED_THRESHOLD = 0.90  # SIM_AA@90 (Chen et al. 2023), for banks too small for their own
CALIBRATION_CLIPS = 1_000  # of the bank, compared with the rest of it
MIN_CALIBRATION = 100  # fewer say nothing about a quantile
QUANTILE = 0.90


@dataclass(frozen=True)
class Threshold:
    """The similarity above which a sound is close to a training clip.

    Attributes:
        similarity: Cosine.
        is_calibrated: Whether the training clips themselves set it; else it is the published one.
    """

    similarity: float
    is_calibrated: bool


@lru_cache(maxsize=1)
def novelty_threshold(bank: Bank) -> Threshold:
    """The similarity that one in ten training clips reaches with a clip of another recording.

    Clips of one style are near anyway; how near depends on the embedding and the music, so the
    training set itself says what is unusually near.
    """
    count = min(CALIBRATION_CLIPS, len(bank))
    rows = np.sort(np.random.default_rng(0).choice(len(bank), count, replace=False))
    nearest, _ = bank.search(bank.rows(rows), 1, exclude_tracks=bank.tracks()[rows])
    found = nearest[np.isfinite(nearest)]
    if len(found) < MIN_CALIBRATION:
        return Threshold(PUBLISHED_THRESHOLD, is_calibrated=False)
    return Threshold(float(np.quantile(found, QUANTILE)), is_calibrated=True)
