"""Metre, swing and the clock that turns beats into seconds."""

import math
from dataclasses import dataclass
from random import Random

from musicgen_ldm.errors import CorpusError

METERS = ("2/4", "3/4", "4/4", "5/4", "7/4", "6/8", "9/8", "12/8")


@dataclass(frozen=True, slots=True)
class Meter:
    """A metre in felt beats: quarters, or dotted quarters where the metre is compound.

    Attributes:
        name: As in "4/4".
        beats: Felt beats a bar.
        is_compound: Beats divide by three.
    """

    name: str
    beats: int
    is_compound: bool

    @property
    def strong_beats(self) -> tuple[int, ...]:
        """Beats of the bar that carry weight, the downbeat first."""
        return (0, self.beats // 2) if self.beats in (4, 6) else (0,)


def parse_meter(name: str) -> Meter:
    """The metre called `name`.

    Raises:
        CorpusError: If it is not one of `METERS`.
    """
    if name not in METERS:
        raise CorpusError(f"{name!r} is not a known metre; known: {', '.join(METERS)}")
    count, unit = (int(part) for part in name.split("/"))
    return Meter(name, count // 3, True) if unit == 8 else Meter(name, count, False)


@dataclass(frozen=True, slots=True)
class Swing:
    """Long-short pairs.

    Attributes:
        pair_beats: Length of a pair: 1 swings eighths, 0.5 swings sixteenths.
        share: Part of the pair that the first note takes: 0.5 straight, 0.667 triplets.
    """

    pair_beats: float = 1.0
    share: float = 0.5


STRAIGHT = Swing()


@dataclass(frozen=True, slots=True)
class Clock:
    """Beats to seconds, exactly.

    Attributes:
        bpm: Felt beats a minute.
        swing: Applied to everything that plays.
        rubato: Give and take in beats over each `rubato_beats`; 0 is strict time.
        rubato_beats: Length of a breath.
    """

    bpm: float
    swing: Swing = STRAIGHT
    rubato: float = 0.0
    rubato_beats: float = 8.0

    def seconds(self, beat: float) -> float:
        """Time of `beat` from the start of the piece."""
        pair, share = self.swing.pair_beats, self.swing.share
        if share != 0.5:
            index, phase = divmod(beat / pair, 1.0)
            phase = phase * 2 * share if phase < 0.5 else share + (phase - 0.5) * 2 * (1 - share)
            beat = (index + phase) * pair
        if self.rubato:
            beat += self.rubato * math.sin(2 * math.pi * beat / self.rubato_beats)
        return beat * 60.0 / self.bpm


@dataclass(frozen=True, slots=True)
class Dice:
    """Independent random streams, one for each decision about a piece.

    Changing one decision (a contrast pair) leaves the others as they were. `random.Random` seeds
    from text by SHA-512, the same on every platform, and draws scalars some twenty times faster
    than numpy.

    Attributes:
        seed: Of the piece.
        split: "train", "valid" or "test": equal seeds of two splits have nothing in common.
        genre: Name of the genre, "" while it is being drawn.
    """

    seed: int
    split: str
    genre: str = ""

    def roll(self, *decision: object) -> Random:
        """The stream of `decision`."""
        return Random("/".join(map(str, (self.seed, self.split, self.genre, *decision))))


def weighted(rng: Random, weights: dict[str, float]) -> str:
    """A key drawn with probability proportional to its weight."""
    return rng.choices(list(weights), list(weights.values()))[0]
