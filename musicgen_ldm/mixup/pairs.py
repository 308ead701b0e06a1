"""Which clips may be mixed: groups of one tempo."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from itertools import groupby

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
    beats_s: Sequence[float],
    downbeats_s: Sequence[float],
    config: MixupConfig,
    confidence: float = 1.0,
) -> Hashable | None:
    """What two clips must share to be mixed.

    Clips share a tempo bin (plain mixup pairs any two). Bars can only coincide if they count
    alike, so synchronised downbeats ask for the same number of beats in a bar too.

    Args:
        beats_s: Beat times.
        downbeats_s: Bar lines.
        config: Kind, bins and the least confidence.
        confidence: How sure the beats are, from 0 to 1.

    Returns:
        None for a clip that is never mixed: without a pulse that is sure enough and two downbeats
        there is nothing to align.
    """
    if config.kind == "plain":
        return ()
    bpm = tempo_bpm(beats_s)
    if bpm == 0 or len(downbeats_s) < 2 or confidence < config.min_beat_confidence:
        return None
    tempo = bpm // config.tempo_bin_bpm
    if config.sync == "downbeats":
        return tempo, beats_per_bar(beats_s, downbeats_s)
    return (tempo,)


class PartnerGroups:
    """Draws a partner of the same group and of another recording.

    Why never the same recording: the reference allows it, and then "mixes" a clip with its own
    echo.
    """

    def __init__(
        self, keys: Sequence[Hashable | None], recordings: Sequence[Hashable] | None = None
    ) -> None:
        """Group the indices 0, 1, … by their keys.

        Args:
            keys: One key of `group_key` for each clip.
            recordings: What each clip is cut from; None takes each for a recording of its own.
        """
        first: dict[Hashable, int] = {}
        origins = [first.setdefault(r, i) for i, r in enumerate(recordings or range(len(keys)))]
        self._keys = list(keys)
        # Clips of one recording stand side by side, to be skipped over as one.
        self._members: dict[Hashable, list[int]] = defaultdict(list)
        self._own: dict[int, range] = {}
        for index in sorted(range(len(keys)), key=origins.__getitem__):
            if (key := self._keys[index]) is not None:
                self._members[key].append(index)
        for members in self._members.values():
            begin = 0
            for _, recording in groupby(members, key=origins.__getitem__):
                clips = list(recording)
                self._own |= dict.fromkeys(clips, range(begin, begin + len(clips)))
                begin += len(clips)

    def num_partners(self, index: int) -> int:
        """How many clips may be mixed with this one."""
        key = self._keys[index]
        return 0 if key is None else len(self._members[key]) - len(self._own[index])

    def partner(self, index: int, rng: np.random.Generator) -> int | None:
        """One of them, each equally likely; None if there is none."""
        others = self.num_partners(index)
        if others < 1:
            return None
        draw, own = int(rng.integers(others)), self._own[index]
        # Skipping over the recording's own places keeps the draw uniform and of constant cost.
        return self._members[self._keys[index]][draw + len(own) * (draw >= own.start)]
