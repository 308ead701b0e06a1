"""Captions and hard negatives, written from known truth.

Templates and words of the test set are its own (`lexicon/*.yaml`, `held_out`), so that a model
can be asked in sentences it never read. Sentences claim nothing that `Tags` and `Facts` do not
hold; `corpus.mentions` parses them back and the tests compare.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from musicgen_ldm.corpus.facts import Facts
from musicgen_ldm.corpus.mentions import mentions
from musicgen_ldm.corpus.negatives import HardNegative, contrast
from musicgen_ldm.corpus.sentences import Choices, reads_well
from musicgen_ldm.corpus.speaker import Speaker
from musicgen_ldm.corpus.splits import check_split
from musicgen_ldm.corpus.vocabulary import Vocabulary, load_vocabulary
from musicgen_ldm.data.manifest import Tags
from musicgen_ldm.errors import CorpusError

FEWEST_MEANINGS = 2  # "a waltz" alone tells a listener too little
ATTEMPTS = 40  # for each caption, before the facts are called too few


def write_captions(
    tags: Tags,
    facts: Facts,
    rng: np.random.Generator,
    *,
    split: str,
    count: int = 5,
    vocabulary: Vocabulary | None = None,
) -> tuple[str, ...]:
    """Distinct captions of one clip in different registers.

    Args:
        tags: Truth of the clip; unknown fields are not spoken of.
        facts: What is audible beyond the tags.
        rng: Source of all choices.
        split: "test" draws from held-out templates and words; others never do.
        count: How many.
        vocabulary: Words; None takes the built-in ones.

    Raises:
        CorpusError: If the split is unknown or too little is known for so many captions.
    """
    check_split(split)
    vocabulary = vocabulary or load_vocabulary()
    captions: dict[str, None] = {}
    registers = list(templates_for(facts, split, vocabulary).values())
    for templates in _by_turns(registers, rng, count * ATTEMPTS):
        caption = _caption(tags, facts, templates, vocabulary, split=split, rng=rng)
        if caption is not None:
            captions[caption] = None
        if len(captions) == count:
            return tuple(captions)
    raise CorpusError(
        f"only {len(captions)} of {count} captions can be written about {tags} and {facts}; "
        "name at least a genre or an instrument, and a mood"
    )


def templates_for(facts: Facts, split: str, vocabulary: Vocabulary) -> dict[str, tuple[str, ...]]:
    """Templates by register that fit a solo or an ensemble, for one split."""
    is_solo = facts.kind == "solo"
    return {
        register: lines
        for register, lines in vocabulary.templates[
            "held_out" if split == "test" else "train"
        ].items()
        if register.startswith("solo_") == is_solo
    }


def _by_turns(
    registers: Sequence[Sequence[str]], rng: np.random.Generator, attempts: int
) -> Iterator[Sequence[str]]:
    """One register after another, reshuffled when all have had their turn."""
    for _ in range(0, attempts, len(registers)):
        for index in rng.permutation(len(registers)):
            yield registers[index]


def _caption(
    tags: Tags,
    facts: Facts,
    templates: Sequence[str],
    vocabulary: Vocabulary,
    *,
    split: str,
    rng: np.random.Generator,
) -> str | None:
    """A caption from one of `templates`, None if it cannot be said or reads badly."""
    template = templates[int(rng.integers(len(templates)))]
    choices = Choices(int(rng.integers(2**32)))
    speaker = Speaker(tags, facts, template, split=split, choices=choices, vocabulary=vocabulary)
    caption = speaker.caption()
    if caption is None or not reads_well(caption):
        return None
    said = mentions(caption, vocabulary)
    # Two true words side by side may name a third thing: a dark piece of ambient music.
    names_another_genre = any(tags.genre not in names for names in said["genres"].values())
    told = sum(meaning not in (None, False, (), {}) for meaning in said.values())
    return None if names_another_genre or told < FEWEST_MEANINGS else caption


def hard_negatives(
    tags: Tags, facts: Facts, rng: np.random.Generator, vocabulary: Vocabulary | None = None
) -> list[HardNegative]:
    """A true training caption retold with one attribute false, once for each attribute it names.

    Args:
        tags: Truth of the clip.
        facts: What is audible beyond the tags.
        rng: Source of all choices.
        vocabulary: Words; None takes the built-in ones.

    Returns:
        (caption, changed attribute, true caption) triples of the same sentence; the attribute
        is "instrument", "tempo", "genre", "drums", "mood" or "key".
    """
    vocabulary = vocabulary or load_vocabulary()
    groups = templates_for(facts, "train", vocabulary).values()
    return contrast(tags, facts, [line for lines in groups for line in lines], vocabulary, rng)
