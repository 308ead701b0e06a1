"""Which material each split may use.

A fifth of every genre's patterns and progressions, and of the contours, figures and themes that
all genres share, is kept for the test split, chosen by content hash. A pattern that is held out
in one genre is held out wherever else it occurs, so no bar of the test set was trained on.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Protocol, TypeVar

from musicgen_ldm.corpus.genre import Genre, list_genres, load_genre
from musicgen_ldm.corpus.patterns import Pattern, held_out
from musicgen_ldm.corpus.theory import Progression
from musicgen_ldm.errors import CorpusError

SPLITS = ("train", "valid", "test")


class Material(Protocol):
    """Anything that names itself by its content."""

    @property
    def digest(self) -> str:
        """Name made of the content."""


M = TypeVar("M", bound=Material)


def check_split(split: str) -> None:
    """Refuse a split that does not exist.

    Raises:
        CorpusError: Unless `split` is one of `SPLITS`.
    """
    if split not in SPLITS:
        raise CorpusError(f"split is {split!r}, must be one of {', '.join(SPLITS)}")


def patterns_of(genre: Genre, kind: str, split: str) -> list[Pattern]:
    """Patterns of `kind` that `split` may use.

    Raises:
        CorpusError: If the genre writes too few for the split.
    """
    known = genre.patterns[kind]
    return _genre_share(known, genre, kind, split)


def progressions_of(genre: Genre, mode: str, split: str) -> list[Progression]:
    """Progressions in `mode` that `split` may use.

    Raises:
        CorpusError: If the genre writes too few for the split.
    """
    return _genre_share(genre.progressions[mode], genre, f"progressions.{mode}", split)


def share_of(items: Sequence[M], split: str) -> list[M]:
    """The part of material common to all genres that `split` may use."""
    kept = held_out([item.digest for item in items])
    return [item for item in items if (item.digest in kept) == (split == "test")]


def _genre_share(items: Sequence[M], genre: Genre, kind: str, split: str) -> list[M]:
    kept = held_out([item.digest for item in items]) | _held_out_everywhere()
    allowed = [item for item in items if (item.digest in kept) == (split == "test")]
    if not allowed:
        raise CorpusError(
            f"genre {genre.name}: all {len(items)} entries of `{kind}` are kept for another "
            f"split than {split}; write another one"
        )
    return allowed


@lru_cache(maxsize=1)
def _held_out_everywhere() -> frozenset[str]:
    return frozenset().union(*(_own_held_out(load_genre(name)) for name in list_genres()))


def _own_held_out(genre: Genre) -> frozenset[str]:
    groups: Iterable[Sequence[Material]] = (
        *genre.patterns.values(),
        *genre.progressions.values(),
    )
    return frozenset().union(*(held_out([item.digest for item in group]) for group in groups))
