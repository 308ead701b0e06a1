"""Reading a caption back: which genres, instruments, moods and traits its words name.

Longest phrases first, so "drum and bass" is a genre and no bass. It knows the words of the
lexicon only; on free text it finds what it finds.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from musicgen_ldm.corpus.instruments import INSTRUMENTS
from musicgen_ldm.corpus.vocabulary import Phrases, Vocabulary, bare, load_vocabulary

BPM = re.compile(r"\b(\d{2,3})(?:\.\d+)? ?bpm\b", re.IGNORECASE)
KEY = re.compile(r"\b([A-G])(#|b|[ -]sharp|[ -]flat)? (major|minor|dorian|mixolydian|phrygian)\b")
METER = re.compile(r"(?<![\w/])(\d{1,2}/(?:2|4|8|16))(?![\w/])")
SOLO = re.compile(
    r"\b(solo|unaccompanied|without accompaniment|alone|by itself|only|nothing but|just|"
    r"one instrument|lone|a single player|no other instrument)\b",
    re.IGNORECASE,
)
TOKEN = re.compile(r"[\w'&#-]+|[^\w\s]")  # punctuation is a word, so no phrase reaches across it
SIGNS = {"#": "#", "b": "b", "sharp": "#", "flat": "b", "": ""}

Meaning = tuple[str, str]  # kind of word and what it names, e.g. ("mood", "calm")


def mentions(caption: str, vocabulary: Vocabulary | None = None) -> dict[str, Any]:
    """What the words of `caption` claim, in the built-in vocabulary unless another is given.

    Returns:
        genres: {phrase: names it may mean}; a family word ("jazz") means all its genres.
        instruments: {phrase: names it may mean}, e.g. "saxophone" any of three.
        moods: Names of `corpus.moods`, in order.
        uses: Moods to which the named situations belong.
        tempo: "slow", "medium", "fast" or None; density, brightness, space, swing, sound alike.
        drums: True or False where the caption says so or names a kit, else None.
        events: Names of `facts.Event`.
        bpm: Number or None.
        key: (tonic, mode) or None.
        meter: E.g. "3/4", or None.
        solo: Whether it says that an instrument plays alone.
    """
    found: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for phrase, meanings in _phrases_in(caption, vocabulary or load_vocabulary()):
        for kind, name in meanings:
            found[kind].setdefault(phrase, []).append(name)
    bpm, key, meter = BPM.search(caption), KEY.search(caption), METER.search(caption)
    return {
        "genres": {phrase: tuple(names) for phrase, names in found["genre"].items()},
        "instruments": {phrase: tuple(names) for phrase, names in found["instrument"].items()},
        "moods": _names(found["mood"]),
        "uses": _names(found["use"]),
        "events": _names(found["events"]),
        "drums": _drums(found),
        "bpm": float(bpm.group(1)) if bpm else None,
        "key": (key.group(1) + SIGNS[(key.group(2) or "").strip(" -")], key.group(3))
        if key
        else None,
        "meter": meter.group(1) if meter else None,
        "solo": SOLO.search(caption) is not None,
    } | {
        trait: next(iter(_names(found[trait])), None)
        for trait in ("tempo", "density", "brightness", "space", "swing", "sound")
    }


def _names(phrases: dict[str, list[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in phrases.values() for name in names))


def _drums(found: dict[str, dict[str, list[str]]]) -> bool | None:
    said = _names(found["drums"])
    if said:
        return "present" in said
    named = any(INSTRUMENTS[name].family == "drums" for name in _names(found["instrument"]))
    told = any(name.startswith("drums") for name in _names(found["events"]))
    return True if named or told else None


def _phrases_in(caption: str, vocabulary: Vocabulary) -> Iterator[tuple[str, list[Meaning]]]:
    """Known phrases from left to right, the longest at each place, with their meanings."""
    table, longest = _index(vocabulary)
    words = TOKEN.findall(caption.lower())
    start = 0
    while start < len(words):
        for stop in range(min(start + longest, len(words)), start, -1):
            phrase = " ".join(words[start:stop])
            meanings = table.get(phrase) or table.get(phrase.removesuffix("s"))
            if meanings:
                yield phrase, meanings
                start = stop
                break
        else:
            start += 1


@lru_cache(maxsize=8)
def _index(vocabulary: Vocabulary) -> tuple[dict[str, list[Meaning]], int]:
    """What each phrase means, and the number of words of the longest."""
    table: dict[str, list[Meaning]] = defaultdict(list)
    for phrase, meaning in _meanings(vocabulary):
        words = " ".join(TOKEN.findall(phrase.lower()))
        if meaning not in table[words]:
            table[words].append(meaning)
    return dict(table), max(phrase.count(" ") + 1 for phrase in table)


def _meanings(words: Vocabulary) -> Iterator[tuple[str, Meaning]]:
    for name, genre in words.genres.items():
        for phrases in (genre.style, genre.piece, genre.family):
            yield from _each(phrases, ("genre", name))
    for name, phrases in words.instruments.items():
        yield from _each(phrases, ("instrument", name))
    for name, phrases in words.moods.items():
        yield from _each(phrases, ("mood", name))
    for name, phrases in words.uses.items():
        yield from _each(phrases, ("use", name))
    for trait, values in words.traits.items():
        for value, phrases in values.items():
            yield from _each(phrases, (trait, value))


def _each(phrases: Phrases, meaning: Meaning) -> Iterable[tuple[str, Meaning]]:
    return ((bare(phrase), meaning) for phrase in phrases.all)
