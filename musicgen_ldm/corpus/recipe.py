"""What a corpus consists of: a list of clips to make, a pure function of preset and seed.

The plan of clip i does not depend on how many clips follow, so a corpus can be made longer.
Genres of one kind take turns in shuffled order, so every genre gets its share.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from musicgen_ldm.config.signal import CLIP_SECONDS
from musicgen_ldm.corpus.contrast import ATTRIBUTES, Attribute
from musicgen_ldm.corpus.genre import KINDS, list_genres, load_genre
from musicgen_ldm.corpus.splits import check_split
from musicgen_ldm.errors import CorpusError

Recipe = Literal["piece", "contrast", "order"]

SPLIT_CODES = {"train": 0, "valid": 1, "test": 2}  # apart, so that no two splits share a seed
MAX_SEED = 2**48


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Size and composition of a corpus.

    Attributes:
        split: Which material may be used.
        num_clips: Clips unless asked otherwise.
        kinds: Shares of the kinds of genre.
        contrast: Share of clips in contrast pairs.
        order: Share of clips in order pairs.
    """

    split: str
    num_clips: int
    kinds: dict[str, float] = field(
        default_factory=lambda: {"band": 0.50, "electronic": 0.24, "orchestral": 0.10, "solo": 0.16}
    )
    contrast: float = 0.06
    order: float = 0.02


PRESETS: dict[str, Preset] = {
    "train": Preset(split="train", num_clips=10_500),
    "valid": Preset(split="valid", num_clips=300),
    "test": Preset(split="test", num_clips=500),
    "tiny": Preset(split="train", num_clips=64),
}


@dataclass(frozen=True, kw_only=True)
class ClipPlan:
    """One clip to make.

    Attributes:
        id: Name of the clip.
        split: Material it may use.
        genre: Genre of the piece.
        seed: Of the piece; both clips of a pair share it.
        recipe: An ordinary piece, or half of a pair.
        half: 0 or 1 within a pair.
        attribute: What a contrast pair changes, if the genre can.
        other: Genre and seed of the second piece of an order pair.
        clip_seconds: Length.
    """

    id: str
    split: str
    genre: str
    seed: int
    recipe: Recipe = "piece"
    half: int = 0
    attribute: Attribute | None = None
    other: tuple[str, int] | None = None
    clip_seconds: float = CLIP_SECONDS

    @property
    def pair(self) -> str | None:
        """Name that both clips of a pair share."""
        return None if self.recipe == "piece" else self.id.rsplit("-", 1)[0]


def check_genres(names: Sequence[str]) -> tuple[str, ...]:
    """The named genres (or genre files), or all built-in ones where none is named.

    Raises:
        CorpusError: If one does not exist.
    """
    known = list_genres()
    unknown = [n for n in names if n not in known and not n.endswith((".yaml", ".yml"))]
    if unknown:
        raise CorpusError(
            f"no genre is called {', '.join(map(repr, unknown))}; "
            f"`musicgen-ldm corpus list` shows all {len(known)}"
        )
    return tuple(names) or known


def check_seed(seed: int) -> None:
    """Refuse a seed that no generator takes.

    Raises:
        CorpusError: If it is negative.
    """
    if seed < 0:
        raise CorpusError(f"a seed is 0 or above, got {seed}")


def single_plan(seed: int, *, genre: str | None = None, split: str = "train") -> ClipPlan:
    """One piece by itself, its genre drawn by the seed unless given.

    Raises:
        CorpusError: If genre or split do not exist or the seed is negative.
    """
    check_split(split)
    check_seed(seed)
    names = check_genres((genre,) if genre else ())
    drawn = names[int(np.random.default_rng((seed, SPLIT_CODES[split])).integers(len(names)))]
    return ClipPlan(id=f"{split}-{seed}", split=split, genre=drawn, seed=seed)


def plan_clips(
    preset: Preset, num_clips: int, seed: int, genres: Sequence[str] = ()
) -> list[ClipPlan]:
    """Clips 0 to `num_clips - 1` of a corpus.

    Raises:
        CorpusError: If a genre does not exist, or a number is out of range.
    """
    if num_clips < 1:
        raise CorpusError(f"a corpus has at least one clip, got --clips {num_clips}")
    check_seed(seed)
    rng = np.random.default_rng((seed, SPLIT_CODES[preset.split]))
    turns = _Turns(check_genres(genres), preset.kinds, rng)
    plans: list[ClipPlan] = []
    while len(plans) < num_clips:
        name = f"{preset.split}-{len(plans):06d}"
        common: dict[str, Any] = {"split": preset.split, "seed": int(rng.integers(MAX_SEED))}
        common["genre"] = next(turns)
        chance = rng.random()
        # A pair is two clips, so it starts half as often as its share of clips.
        if chance < preset.contrast / 2:
            attribute = ATTRIBUTES[rng.integers(len(ATTRIBUTES))]
            plans += _pair(name, common | {"recipe": "contrast", "attribute": attribute})
        elif chance < (preset.contrast + preset.order) / 2 and turns.num_genres > 1:
            follower = next(genre for genre in turns if genre != common["genre"])
            other = (follower, int(rng.integers(MAX_SEED)))
            plans += _pair(name, common | {"recipe": "order", "other": other})
        else:
            plans.append(ClipPlan(id=name, **common))
    return plans[:num_clips]


def _pair(name: str, common: dict[str, Any]) -> list[ClipPlan]:
    return [ClipPlan(id=f"{name}-{'ab'[half]}", half=half, **common) for half in (0, 1)]


class _Turns(Iterator[str]):
    """Genres in turn: a kind by its share, then the next of that kind's shuffled round."""

    def __init__(
        self, genres: tuple[str, ...], shares: dict[str, float], rng: np.random.Generator
    ) -> None:
        by_kind: dict[str, list[str]] = {kind: [] for kind in KINDS}
        for name in genres:
            by_kind[load_genre(name).kind].append(name)
        self._by_kind = {kind: names for kind, names in by_kind.items() if names}
        weights = np.array([shares[kind] for kind in self._by_kind])
        self._weights = weights / weights.sum()
        self._rounds: dict[str, list[str]] = {kind: [] for kind in self._by_kind}
        self._rng = rng
        self.num_genres = len(set(genres))

    def __next__(self) -> str:
        kind = str(self._rng.choice(list(self._by_kind), p=self._weights))
        if not self._rounds[kind]:
            self._rounds[kind] = [str(name) for name in self._rng.permutation(self._by_kind[kind])]
        return self._rounds[kind].pop()
