"""Which clips may be mixed: groups of one tempo."""

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

from musicgen_ldm.config.mixup import MixupConfig


def tempo_bpm(beats_s: Sequence[float]) -> int:
    """Mean tempo of a beat list as a whole number of beats per minute; 0 without two beats."""
    if len(beats_s) < 2 or not beats_s[-1] > beats_s[0]:
        return 0
    return round((len(beats_s) - 1) / (beats_s[-1] - beats_s[0]) * 60)


def beats_per_bar(beats_s: Sequence[float], downbeats_s: Sequence[float]) -> int:
    """Median number of beats from one downbeat to the next."""
    beats_before = np.searchsorted(np.asarray(beats_s) + 1e-3, downbeats_s)
    return int(np.median(np.diff(beats_before)))


def group_key(
    beats_s: Sequence[float], downbeats_s: Sequence[float], config: MixupConfig
) -> Hashable | None:
    """What two clips must share to be mixed.

    Clips share a tempo bin (plain mixup pairs any two). Bars can only coincide if they count
    alike, so synchronised downbeats ask for the same number of beats in a bar too.

    Returns:
        None for a clip that is never mixed: without two downbeats there is nothing to align.
    """
    if config.kind == "plain":
        return ()
    bpm = tempo_bpm(beats_s)
    if bpm == 0 or len(downbeats_s) < 2:
        return None
    tempo = bpm // config.tempo_bin_bpm
    if config.sync == "downbeats":
        return tempo, beats_per_bar(beats_s, downbeats_s)
    return (tempo,)


class PartnerGroups:
    """Draws a partner of the same group.

    Why never the clip itself: the reference allows it, and then "mixes" a clip with its own echo.
    """

    def __init__(self, keys: Sequence[Hashable | None]) -> None:
        """Group the indices 0, 1, … by their keys.

        Args:
            keys: One key of `group_key` for each clip.
        """
        self._keys = list(keys)
        self._members: dict[Hashable, list[int]] = defaultdict(list)
        for index, key in enumerate(self._keys):
            if key is not None:
                self._members[key].append(index)

    def members(self, index: int) -> list[int]:
        """Everybody in the group of `index`, itself included; empty for an ungrouped clip."""
        key = self._keys[index]
        return [] if key is None else self._members[key]

    def partner(self, index: int, rng: np.random.Generator) -> int | None:
        """Another member of the group, each equally likely; None if there is none."""
        others = len(self.members(index)) - 1
        if others < 1:
            return None
        members = self.members(index)
        draw = int(rng.integers(others))
        # Skipping over the clip's own place keeps the draw uniform and of constant cost.
        return members[draw + (members[draw] >= index)]
