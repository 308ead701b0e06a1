"""Captions of clips in which one piece follows another: "a calm waltz, then fast techno".

The composition benchmark asks whether a model hears the order, so every frame is true of one
order alone; words that some read either way ("proceeded by") are not used.
"""

from typing import NamedTuple

import numpy as np

from musicgen_ldm.corpus.facts import Facts
from musicgen_ldm.corpus.mentions import mentions
from musicgen_ldm.corpus.sentences import Choices, polish, reads_well
from musicgen_ldm.corpus.speaker import Speaker
from musicgen_ldm.corpus.splits import check_split
from musicgen_ldm.corpus.vocabulary import Vocabulary, load_vocabulary
from musicgen_ldm.data.manifest import Tags
from musicgen_ldm.errors import CorpusError

ATTEMPTS = 60


class Told(NamedTuple):
    """One of the two pieces."""

    tags: Tags
    facts: Facts


def write_sequence_captions(
    first: Told,
    second: Told,
    rng: np.random.Generator,
    *,
    split: str,
    count: int = 5,
    vocabulary: Vocabulary | None = None,
) -> tuple[str, ...]:
    """Distinct captions that say both pieces and which comes first.

    Args:
        first: Piece heard first.
        second: Piece heard after it.
        rng: Source of all choices.
        split: "test" draws from held-out clauses, frames and words; others never do.
        count: How many.
        vocabulary: Words; None takes the built-in ones.

    Raises:
        CorpusError: If the split is unknown, or too little is known for so many captions.
    """
    check_split(split)
    vocabulary = vocabulary or load_vocabulary()
    frames = vocabulary.sequences["held_out" if split == "test" else "train"]["frames"]
    captions: dict[str, None] = {}
    for _ in range(count * ATTEMPTS):
        if len(captions) == count:
            break
        said = [_clause(piece, split, vocabulary, rng) for piece in (first, second)]
        frame = frames[int(rng.integers(len(frames)))]
        if said[0] and said[1] and said[0] != said[1]:
            captions[polish(frame.format(first=said[0], second=said[1]))] = None
    if len(captions) < count:
        raise CorpusError(
            f"only {len(captions)} of {count} captions can tell {first} and {second} apart; "
            "name a genre and a mood of both"
        )
    return tuple(captions)


def _clause(
    piece: Told, split: str, vocabulary: Vocabulary, rng: np.random.Generator
) -> str | None:
    """The piece in a few words, None if the drawn clause cannot be said well."""
    clauses = vocabulary.sequences["held_out" if split == "test" else "train"]["clauses"]
    speaker = Speaker(
        piece.tags,
        piece.facts,
        clauses[int(rng.integers(len(clauses)))],
        split=split,
        choices=Choices(int(rng.integers(2**32))),
        vocabulary=vocabulary,
    )
    clause = speaker.caption()
    if clause is None or not reads_well(clause):
        return None
    genres = mentions(clause, vocabulary)["genres"].values()
    return clause if all(piece.tags.genre in names for names in genres) else None
