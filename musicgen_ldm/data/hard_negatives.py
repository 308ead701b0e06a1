"""Captions that are false in one attribute: what a sentence encoder alone takes for the same.

"fast techno, 140 bpm" and "slow techno, 90 bpm" have a cosine of 0.92 under MiniLM; contrasting a
clip with such near misses teaches the words that matter.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from musicgen_ldm.data.manifest import Clip

OPPOSITES = (("slow", "fast"), ("major", "minor"), ("calm", "energetic"), ("dark", "bright"))
GIVEN_SHARE = 0.5  # how often the true sentence of a given pair is the caption
DRAWS = 4  # attempts for each false caption; a caption may name few attributes
TEMPO_FACTORS = (0.6, 0.7, 0.8, 1.25, 1.4, 1.6)
_BPM = re.compile(r"\b(\d{2,3})(?=\s*bpm\b)", re.IGNORECASE)

Edit = Callable[[np.random.Generator], str]


def _spoken(name: str) -> str:
    """A tag as a caption writes it."""
    return name.replace("-", " ").replace("_", " ").lower()


def replace_word(caption: str, word: str, substitute: str) -> str:
    """Replace every occurrence of a word or phrase, the article before it agreeing.

    A wrong article would give the false caption away.
    """
    pattern = re.compile(rf"\b(?:(an?) )?{re.escape(word)}\b", re.IGNORECASE)

    def replaced(match: re.Match[str]) -> str:
        text = substitute.capitalize() if match.group(0)[0].isupper() else substitute
        if match.group(1) is None:
            return text
        article = "an" if substitute[0] in "aeiou" else "a"
        return f"{article.capitalize() if match.group(1)[0].isupper() else article} {substitute}"

    return pattern.sub(replaced, caption)


@dataclass(frozen=True)
class NearMisses:
    """Draws a caption of a clip and captions that are false of it in one attribute.

    Attributes:
        genres: All genres of the data set, as spoken.
        instruments: All its instruments, as spoken.
    """

    genres: tuple[str, ...]
    instruments: tuple[str, ...]

    @classmethod
    def from_clips(cls, clips: Iterable[Clip]) -> "NearMisses":
        """The vocabulary of a manifest."""
        clips = list(clips)
        genres = {_spoken(clip.tags.genre) for clip in clips if clip.tags.genre}
        instruments = {_spoken(name) for clip in clips for name in clip.tags.instruments}
        return cls(tuple(sorted(genres)), tuple(sorted(instruments)))

    def draw(self, clip: Clip, count: int, rng: np.random.Generator) -> tuple[str, list[str]]:
        """A true caption and at most `count` different false ones.

        A manifest may bring its own in the field "hard_negatives", a list of {"caption",
        "positive"}: a false sentence and the true one it was made from. Otherwise one attribute
        that the caption names is swapped for another one of the data set.

        Args:
            clip: Its tags say what is true.
            count: K.
            rng: Of the draws.
        """
        captions = clip.captions or ("",)
        caption = captions[int(rng.integers(len(captions)))]
        given = clip.extra.get("hard_negatives", ())
        if count == 0 or not given:
            return caption, self.swapped(caption, clip, count, rng)
        positive = given[int(rng.integers(len(given)))]["positive"]
        false = [pair["caption"] for pair in given if pair["positive"] == positive]
        chosen = [false[i] for i in rng.permutation(len(false))[:count]]
        return (positive if rng.random() < GIVEN_SHARE else caption), chosen

    def swapped(self, caption: str, clip: Clip, count: int, rng: np.random.Generator) -> list[str]:
        """At most `count` versions of a caption with one attribute swapped.

        Args:
            caption: True of the clip.
            clip: Its tags.
            count: K.
            rng: Each attribute that the caption names is equally likely.
        """
        edits = self._edits(caption, clip)
        found: list[str] = []
        for _ in range(DRAWS * count if edits else 0):
            if len(found) == count:
                break
            text = edits[int(rng.integers(len(edits)))](rng)
            if text != caption and text not in found:
                found.append(text)
        return found

    def _edits(self, caption: str, clip: Clip) -> list[Edit]:
        edits: list[Edit] = []
        instruments = [_spoken(name) for name in clip.tags.instruments]
        genre = [_spoken(clip.tags.genre)] if clip.tags.genre else []
        for true, vocabulary in ((genre, self.genres), (instruments, self.instruments)):
            others = [name for name in vocabulary if name not in true]
            for name in true:
                if others and re.search(rf"\b{re.escape(name)}\b", caption, re.IGNORECASE):
                    edits.append(_substitution(caption, name, others))
        for pair in OPPOSITES:
            for word, opposite in (pair, pair[::-1]):
                if re.search(rf"\b{word}\b", caption, re.IGNORECASE):
                    edits.append(_substitution(caption, word, [opposite]))
        if _BPM.search(caption):
            edits.append(lambda rng: _other_tempo(caption, rng))
        return edits


def _substitution(caption: str, word: str, others: list[str]) -> Edit:
    return lambda rng: replace_word(caption, word, others[int(rng.integers(len(others)))])


def _other_tempo(caption: str, rng: np.random.Generator) -> str:
    factor = TEMPO_FACTORS[int(rng.integers(len(TEMPO_FACTORS)))]
    return _BPM.sub(lambda match: str(round(int(match.group(1)) * factor)), caption)
