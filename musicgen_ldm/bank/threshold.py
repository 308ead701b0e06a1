"""How near to the training set is unusually near."""

from functools import lru_cache

import numpy as np

from musicgen_ldm.bank.reader import Bank
from musicgen_ldm.config.novelty import Threshold

CALIBRATION_CLIPS = 1_000  # of the bank, compared with the rest of it
MIN_CALIBRATION = 100  # fewer say nothing about a quantile
QUANTILE = 0.90


@lru_cache(maxsize=1)
def novelty_threshold(bank: Bank, device: str = "cpu") -> Threshold:
    """The similarity that one in ten training clips reaches with a clip of another recording.

    Clips of one style are near anyway; how near depends on the embedding and the music, so the
    training set itself says what is unusually near.

    Args:
        bank: Of the training set.
        device: Of the search.
    """
    count = min(CALIBRATION_CLIPS, len(bank))
    rows = np.sort(np.random.default_rng(0).choice(len(bank), count, replace=False))
    nearest, _ = bank.search(bank.rows(rows), 1, exclude_tracks=bank.tracks()[rows], device=device)
    found = nearest[np.isfinite(nearest)]
    if len(found) < MIN_CALIBRATION:
        return Threshold()
    return Threshold(float(np.quantile(found, QUANTILE)), is_calibrated=True)
