"""Hard negatives: the same sentence with one attribute made false.

Why: contrastive training on random negatives leaves tempo and instrument almost unread; a
caption that differs in one word forces the text tower to read it (composition-aware CLAP).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from musicgen_ldm.corpus.facts import Facts, TempoWord
from musicgen_ldm.corpus.genre import list_genres
from musicgen_ldm.corpus.instruments import INSTRUMENTS
from musicgen_ldm.corpus.mentions import mentions
from musicgen_ldm.corpus.moods import MOODS
from musicgen_ldm.corpus.sentences import Choices, reads_well
from musicgen_ldm.corpus.speaker import Speaker
from musicgen_ldm.corpus.vocabulary import Vocabulary
from musicgen_ldm.data.manifest import Tags

Attribute = Literal["instrument", "tempo", "genre", "drums", "mood", "key"]
TONICS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
# What a swap may change in the meaning of a caption.
MEANING: dict[Attribute, tuple[str, ...]] = {
    "instrument": ("instruments",),
    "tempo": ("tempo", "bpm"),
    "genre": ("genres",),
    "drums": ("drums", "instruments"),
    "mood": ("moods", "uses"),
    "key": ("key",),
}
TRIES = 12  # sentences drawn; the one that names most attributes is taken
# Far enough that no listener could call the new tempo by the old word.
FASTER, SLOWER = 1.6, 0.6


class HardNegative(NamedTuple):
    """A false caption, what was changed in it, and the true caption it was made from."""

    caption: str
    changed: Attribute
    positive: str


def contrast(
    tags: Tags,
    facts: Facts,
    templates: Sequence[str],
    vocabulary: Vocabulary,
    rng: np.random.Generator,
) -> list[HardNegative]:
    """Hard negatives of the most telling of a few captions from `templates`.

    Args:
        tags: Truth of the clip.
        facts: What is audible beyond the tags.
        templates: Patterns to choose from.
        vocabulary: Words.
        rng: Source of all choices.
    """
    # Chords follow the key and events the drums: a swap would leave them behind.
    facts = replace(facts, chords=(), events=())
    swaps = list(_swaps(tags, facts, vocabulary, rng))
    best: list[HardNegative] = []
    for _ in range(TRIES):
        template = templates[int(rng.integers(len(templates)))]
        choices = Choices(int(rng.integers(2**32)))
        positive = _told(tags, facts, template, choices, vocabulary)
        if positive is None:
            continue
        told = ((name, _told(*swapped, template, choices, vocabulary)) for name, swapped in swaps)
        found = [HardNegative(text, name, positive) for name, text in told if text]
        found = [negative for negative in found if _lies_once(negative, vocabulary)]
        best = max(best, found, key=len)
    return best


def _lies_once(negative: HardNegative, vocabulary: Vocabulary) -> bool:
    """Whether the sentences differ in the changed attribute and in nothing else.

    Leaving a true word out is no lie, so both must speak of the attribute.
    """
    true, false = (mentions(text, vocabulary) for text in (negative.positive, negative.caption))
    may_change = MEANING[negative.changed]
    others_agree = all(true[kind] == false[kind] for kind in true if kind not in may_change)
    spoken = [
        kind
        for kind in may_change
        if true[kind] != false[kind] and _is_said(true[kind]) and _is_said(false[kind])
    ]
    if negative.changed == "drums":
        return others_agree and "drums" in spoken
    return others_agree and bool(spoken)


def _is_said(meaning: object) -> bool:
    return meaning not in (None, (), {})


def _told(
    tags: Tags, facts: Facts, template: str, choices: Choices, vocabulary: Vocabulary
) -> str | None:
    speaker = Speaker(tags, facts, template, split="train", choices=choices, vocabulary=vocabulary)
    caption = speaker.caption()
    return caption if caption and reads_well(caption) else None


def _swaps(
    tags: Tags, facts: Facts, vocabulary: Vocabulary, rng: np.random.Generator
) -> Iterator[tuple[Attribute, tuple[Tags, Facts]]]:
    """Each attribute that is known, with the facts in which it alone is false."""
    if facts.lead:
        yield "instrument", _other_lead(tags, facts, rng)
    if facts.felt_bpm is not None:
        yield "tempo", _other_tempo(tags, facts, rng)
    if tags.genre and facts.kind != "solo":
        yield "genre", (replace(tags, genre=_other_genre(tags.genre, vocabulary, rng)), facts)
    if not any(INSTRUMENTS[name].family == "percussion" for name in facts.instruments):
        yield "drums", (tags, _other_drums(facts))
    if tags.mood:
        others = [name for name in MOODS if name != tags.mood]
        yield "mood", (replace(tags, mood=_one(others, rng)), facts)
    if tags.key and tags.mode not in (None, "none"):
        other = _one([tonic for tonic in TONICS if tonic != tags.key], rng)
        mode = "major" if tags.mode == "minor" else "minor"
        yield "key", (replace(tags, key=other, mode=mode), facts)


def _one(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _other_lead(tags: Tags, facts: Facts, rng: np.random.Generator) -> tuple[Tags, Facts]:
    """A lead of a family that is not heard at all."""
    heard = {INSTRUMENTS[name].family for name in facts.instruments}
    others = [row.name for row in INSTRUMENTS.values() if row.is_solo and row.family not in heard]
    return tags, replace(facts, lead=_one(others, rng))


def _other_tempo(tags: Tags, facts: Facts, rng: np.random.Generator) -> tuple[Tags, Facts]:
    """A tempo whose word and number are both wrong."""
    faster = facts.tempo_word != "fast" and (facts.tempo_word == "slow" or rng.random() < 0.5)
    bpm = None if tags.bpm is None else tags.bpm * (FASTER if faster else SLOWER)
    word: TempoWord | None = None if facts.tempo_word is None else "fast" if faster else "slow"
    return replace(tags, bpm=bpm), replace(facts, tempo_word=word)


def _other_genre(genre: str, words: Vocabulary, rng: np.random.Generator) -> str:
    """A genre of the corpus that shares no word of its own or of its family.

    Why of the corpus: a word that is never true would be learnt as false, whatever is heard.
    """
    own = words.genre(genre)
    said = {*own.style.all, *own.piece.all, *own.family.all}
    others = [
        name
        for name, other in ((name, words.genre(name)) for name in list_genres())
        if said.isdisjoint((*other.style.all, *other.piece.all, *other.family.all))
    ]
    return _one(others, rng)


def _other_drums(facts: Facts) -> Facts:
    if facts.has_drums:
        kept = tuple(name for name in facts.backing if INSTRUMENTS[name].family != "drums")
        return replace(facts, has_drums=False, backing=kept)
    kit = "909 drum machine" if facts.kind == "electronic" else "drum kit"
    return replace(facts, has_drums=True, backing=(*facts.backing, kit))
