"""The words captions are made of: synonyms for genres, instruments, moods and audible traits.

The words live in `lexicon/*.yaml`; a genre without an entry there is called by the title and
synonyms of its own file. Held-out words belong to the test set alone.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any

import yaml

from musicgen_ldm.corpus.genre import list_genres, load_genre

BOOKS = ("genres", "instruments", "moods", "traits", "templates", "sequences")
ARTICLE = re.compile(r"^(?:a|an|the) ")
GENERIC_NOUNS = ("track", "piece", "instrumental")


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """Ways to say one thing: `say` for every split, `held_out` for the test set only."""

    say: tuple[str, ...]
    held_out: tuple[str, ...] = ()

    def of_split(self, split: str) -> tuple[tuple[str, ...], ...]:
        """Pools to draw from, each as likely as the other."""
        return (self.say, self.held_out) if split == "test" and self.held_out else (self.say,)

    @property
    def all(self) -> tuple[str, ...]:
        """Every phrase of every split."""
        return self.say + self.held_out


@dataclass(frozen=True, kw_only=True)
class GenreWords:
    """How a genre is called.

    Attributes:
        style: Said like "some bossa nova", without article.
        piece: Said like "a waltz", without article.
        family: Name of a wider group that may be said instead, e.g. "jazz"; or empty.
    """

    style: Phrases
    piece: Phrases
    family: Phrases = field(default_factory=lambda: Phrases(say=()))


@dataclass(frozen=True, kw_only=True, eq=False)  # compared and cached by identity
class Vocabulary:
    """Every word of the captions.

    Attributes:
        genres: By file name of the genre.
        instruments: By name in `corpus.instruments`, phrases with their articles.
        moods: Adjectives by name in `corpus.moods`.
        uses: Situations by mood, with their articles.
        traits: Phrases by trait ("tempo", "density", …) and value.
        templates: Sentence patterns by split ("train", "held_out") and register.
        sequences: "clauses" and "frames" by split, see `corpus.sequences`.
    """

    genres: Mapping[str, GenreWords]
    instruments: Mapping[str, Phrases]
    moods: Mapping[str, Phrases]
    uses: Mapping[str, Phrases]
    traits: Mapping[str, Mapping[str, Phrases]]
    templates: Mapping[str, Mapping[str, tuple[str, ...]]]
    sequences: Mapping[str, Mapping[str, tuple[str, ...]]]

    def genre(self, name: str) -> GenreWords:
        """Words for a genre; its file name where nothing else is known (a musician's own file)."""
        return self.genres.get(name) or genre_words({"style": [name.replace("-", " ")]}, {})


@lru_cache(maxsize=8)
def load_vocabulary(genre_files: tuple[str, ...] = ()) -> Vocabulary:
    """The built-in vocabulary, with the titles of all built-in genres and of `genre_files`."""
    book = {name: _read(name) for name in BOOKS}
    families = book["genres"]["families"]
    return Vocabulary(
        genres=_genres(book["genres"]["genres"], families) | _titles(genre_files),
        instruments={name: _phrases(entry) for name, entry in book["instruments"].items()},
        moods={name: _phrases(entry) for name, entry in book["moods"].items()},
        uses={
            name: Phrases(say=tuple(entry["uses"]), held_out=tuple(entry["held_out_uses"]))
            for name, entry in book["moods"].items()
        },
        traits={
            trait: {value: _phrases(entry) for value, entry in values.items()}
            for trait, values in book["traits"].items()
        },
        templates=_lines(book["templates"]),
        sequences=_lines(book["sequences"]),
    )


def _read(name: str) -> Any:
    path = resources.files("musicgen_ldm.corpus") / "lexicon" / f"{name}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _lines(
    splits: Mapping[str, Mapping[str, Sequence[str]]],
) -> dict[str, dict[str, tuple[str, ...]]]:
    return {
        split: {name: tuple(lines) for name, lines in groups.items()}
        for split, groups in splits.items()
    }


def _phrases(entry: Mapping[str, Sequence[str]]) -> Phrases:
    return Phrases(say=tuple(entry["say"]), held_out=tuple(entry.get("held_out", ())))


def _genres(
    entries: Mapping[str, Mapping[str, Any]], families: Mapping[str, Mapping[str, Any]]
) -> dict[str, GenreWords]:
    table = {name: genre_words(entry, families[entry["family"]]) for name, entry in entries.items()}
    return table | _titles([name for name in list_genres() if name not in table])


def _titles(genres: Sequence[str]) -> dict[str, GenreWords]:
    """Words of genres that are called by the title and synonyms of their files."""
    # A solo is called by its instrument; "jazz solo" is no style.
    return {
        genre.name: genre_words({"style": [genre.title, *genre.synonyms]}, {})
        for genre in map(load_genre, genres)
        if genre.kind != "solo"
    }


def genre_words(entry: Mapping[str, Any], family: Mapping[str, Any]) -> GenreWords:
    """Words of one genre from its entry and that of its family.

    A genre with pieces of its own ("a waltz") has held-out pieces, any other held-out styles;
    its pieces are styles with a noun ("a techno track").
    """
    styles, held_out = tuple(entry["style"]), tuple(entry.get("held_out", ()))
    nouns = tuple(family.get("nouns", GENERIC_NOUNS))
    if "piece" in entry:
        style, piece = (
            Phrases(say=styles),
            Phrases(say=tuple(entry["piece"]), held_out=held_out),
        )
    else:
        style = Phrases(say=styles, held_out=held_out)
        held_out_nouns = tuple(family.get("held_out_nouns", ()))
        piece = Phrases(
            say=_join(styles, nouns),
            held_out=_join(styles, held_out_nouns) + _join(held_out, nouns),
        )
    return GenreWords(style=style, piece=piece, family=Phrases(say=tuple(family.get("say", ()))))


def _join(styles: Sequence[str], nouns: Sequence[str]) -> tuple[str, ...]:
    """Each style before each noun; "techno music" loses its "music"."""
    bases = dict.fromkeys(style.removesuffix(" music") for style in styles)
    return tuple(f"{base} {noun}" for base in bases for noun in nouns)


def bare(phrase: str) -> str:
    """`phrase` without its article."""
    return ARTICLE.sub("", phrase)


def is_plural(phrase: str) -> bool:
    """Whether a verb after `phrase` stands in the plural ("strings play", "brass plays")."""
    if phrase.startswith(("a ", "an ")):
        return False
    head = bare(phrase).split(" played ")[0].split(" with ")[0]
    return head.endswith("s") and not head.endswith("ss")
