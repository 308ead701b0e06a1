"""Which material each split may use.

A fifth of every genre's patterns and progressions, and of the contours and themes that all
genres share, is kept for the test split, chosen by content. A pattern that is held out in one
genre is held out wherever else it occurs, so no bar of the test set was trained on. What many
genres write (a plain root-fifth bass, I-V-vi-IV) stays with training: the rarest goes to the
test. Pads are held chords, no material: every split may play them.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Protocol, TypeVar

from musicgen_ldm.corpus.genre import Genre, list_genres, load_genre
from musicgen_ldm.corpus.patterns import Pattern
from musicgen_ldm.corpus.theory import Progression
from musicgen_ldm.data.manifest import SPLITS
from musicgen_ldm.errors import CorpusError

HELD_OUT_SHARE = 0.2
# Kinds whose patterns are the common property of all splits.
SHARED_KINDS = ("pad",)


class Material(Protocol):
    """Anything that names itself by its content."""

    @property
    def digest(self) -> str:
        """Name made of the content."""


M = TypeVar("M", bound=Material)


def check_split(split: str) -> None:
    """Refuse a split that does not exist.

    Raises:
        CorpusError: Unless `split` is one of `data.manifest.SPLITS`.
    """
    if split not in SPLITS:
        raise CorpusError(f"split is {split!r}, must be one of {', '.join(SPLITS)}")


def patterns_of(genre: Genre, kind: str, split: str) -> list[Pattern]:
    """Patterns of `kind` that `split` may use.

    Raises:
        CorpusError: If the genre writes too few for the split.
    """
    known = genre.patterns[kind]
    return list(known) if kind in SHARED_KINDS else _genre_share(known, genre, kind, split)


def progressions_of(genre: Genre, mode: str, split: str) -> list[Progression]:
    """Progressions in `mode` that `split` may use.

    Raises:
        CorpusError: If the genre writes too few for the split.
    """
    return _genre_share(genre.progressions[mode], genre, f"progressions.{mode}", split)


def share_of(items: Sequence[M], split: str) -> list[M]:
    """The part of material common to all genres that `split` may use."""
    kept = held_out([item.digest for item in items], Counter())
    return [item for item in items if (item.digest in kept) == (split == "test")]


def held_out(digests: list[str], common: Counter[str]) -> frozenset[str]:
    """The share of one group that is kept for the test split.

    Args:
        digests: Content names of a group of alternatives.
        common: How many genres write each content.

    Returns:
        The least common ones, ties broken by hash.
    """
    count = max(1, round(len(digests) * HELD_OUT_SHARE))

    def rank(digest: str) -> tuple[int, bytes]:
        return common[digest], hashlib.sha256(digest.encode()).digest()

    return frozenset(sorted(set(digests), key=rank)[:count])


def _genre_share(items: Sequence[M], genre: Genre, kind: str, split: str) -> list[M]:
    common, everywhere = _library()
    kept = held_out([item.digest for item in items], common) | everywhere
    allowed = [item for item in items if (item.digest in kept) == (split == "test")]
    if not allowed:
        raise CorpusError(
            f"genre {genre.name}: all {len(items)} entries of `{kind}` are kept for another "
            f"split than {split}; write another one"
        )
    return allowed


@lru_cache(maxsize=1)
def _library() -> tuple[Counter[str], frozenset[str]]:
    """How many groups of the built-in genres hold each content, and all that is held out."""
    groups = [
        [item.digest for item in group]
        for name in list_genres()
        for group in _groups(load_genre(name))
    ]
    common = Counter(digest for group in groups for digest in set(group))
    return common, frozenset().union(*(held_out(group, common) for group in groups))


def _groups(genre: Genre) -> Iterable[Sequence[Material]]:
    patterns = (group for kind, group in genre.patterns.items() if kind not in SHARED_KINDS)
    return (*patterns, *genre.progressions.values())
