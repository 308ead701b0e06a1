"""How near to the training set is unusually near."""

from functools import lru_cache

import numpy as np

from musicgen_ldm.bank.reader import Bank
from musicgen_ldm.config.novelty import Threshold

CALIBRATION_CLIPS = 1_000  # of the bank, all their windows compared with the rest of it
MIN_CALIBRATION = 100  # fewer say nothing about a quantile
QUANTILE = 0.90


@lru_cache(maxsize=1)
def novelty_threshold(bank: Bank, device: str = "cpu") -> Threshold:
    """The similarity that one in ten training clips reaches with a clip of another recording.

    Clips of one style are near anyway; how near depends on the embedding and the music, so the
    training set itself says what is unusually near. A clip's similarity is the largest of its
    windows': of many windows one is soon near to something.

    Args:
        bank: Of the training set.
        device: Of the search.
    """
    numbers: dict[str, int] = {}
    clips = np.array([numbers.setdefault(e["id"], len(numbers)) for e in bank.all_entries()])
    count = min(CALIBRATION_CLIPS, len(numbers))
    chosen = np.random.default_rng(0).choice(len(numbers), count, replace=False)
    rows = np.flatnonzero(np.isin(clips, chosen))
    nearest, _ = bank.search(bank.rows(rows), 1, exclude_tracks=bank.tracks()[rows], device=device)
    reached = np.full(len(numbers), -np.inf)
    np.maximum.at(reached, clips[rows], nearest[:, 0])
    found = reached[np.isfinite(reached)]
    if len(found) < MIN_CALIBRATION:
        return Threshold()
    return Threshold(float(np.quantile(found, QUANTILE)), is_calibrated=True)
