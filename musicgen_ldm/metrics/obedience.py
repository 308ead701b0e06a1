"""Does the music do as it was told: what prompts ask for, one by one, against what is heard.

Goal: the share of clips that obey, read between a floor and a ceiling. The floor is the same judge
on shuffled prompts, the ceiling on the real clips that the prompts describe; a share without both
says more about the judge than about the music.

Conventions: row i of `asked` and of `heard` belong to the same clip. What was not asked for does
not count; what was asked for and could not be measured is wrong. Tempo in beats per minute.

Metrics (`ATTRIBUTES`), shares with Wilson intervals:
    lead             the asked lead instrument is heard
    genre_top1       the surest merged genre (`data.merged_genres`) is the asked one
    genre_top5       it is among the five surest
    drums            a drum kit where one is asked for, none where none is
    solo             one instrument alone or several, as asked
    electronic       electronic or acoustic, as asked
    tempo_word       the measured pulse is slow, medium or fast as asked; where the words' ranges
                     leave a gap, both neighbours fit
    tempo_exact      within 4 % of the asked tempo (accuracy 1)
    tempo_octave     the same, admitting double, half, triple and third (accuracy 2)
    key_exact        the asked tonic and mode
and means over clips:
    key_weighted     MIREX score: fifth 0.5, relative 0.3, parallel 0.2
    instruments      share of the asked instruments that are heard; others may sound beside them
    instruments_f1   F-measure of the sets, for prompts that name every instrument
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any, TypeVar

import numpy as np

from musicgen_ldm.config.tempo_words import TempoWord, fits_tempo_word
from musicgen_ldm.data.merged_genres import merged_genre
from musicgen_ldm.errors import MetricError
from musicgen_ldm.measure import Key, Tempo, key_agreement
from musicgen_ldm.metrics.checks import Array, same_length
from musicgen_ldm.metrics.clips import Prompt
from musicgen_ldm.metrics.statistics import Estimate, mean_estimate, share_estimate

Asked = TypeVar("Asked")
Other = TypeVar("Other")
GENRES_ADMITTED = 5  # by genre_top5
NO_PULSE = Tempo(None, 0.0)
PREFIX, CEILING = "obeys.", "_ceiling"  # of the metrics' names in results and per_clip.csv


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What the judges say of one clip.

    Attributes:
        tempo: Measured.
        key: Measured; None where none is heard.
        instruments: Present.
        genres: Merged genres, the surest first.
        traits: Yes or no by name: "drums", "solo", "electronic".
    """

    tempo: Tempo = NO_PULSE
    key: Key | None = None
    instruments: frozenset[str] = frozenset()
    genres: tuple[str, ...] = ()
    traits: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Attribute:
    """One thing that a prompt may ask for.

    Attributes:
        asked: What a prompt asks, hashable; None where it does not.
        score: How well what is heard obeys it, 0 to 1.
        is_share: Whether that is yes or no for every clip.
    """

    asked: Callable[[Prompt], Any]
    score: Callable[[Any, Heard], float]
    is_share: bool = True


def _trait(name: str) -> Attribute:
    return Attribute(
        lambda prompt: getattr(prompt, name), lambda asked, heard: heard.traits.get(name) == asked
    )


def _genre(depth: int) -> Attribute:
    return Attribute(
        lambda prompt: None if prompt.genre is None else merged_genre(prompt.genre),
        lambda asked, heard: asked in heard.genres[:depth],
    )


def _tempo(*, octaves: bool) -> Attribute:
    return Attribute(
        lambda prompt: prompt.bpm, lambda asked, heard: heard.tempo.matches(asked, octaves=octaves)
    )


def _tempo_word() -> Attribute:
    def fits(asked: tuple[TempoWord, float], heard: Heard) -> bool:
        word, felt = asked
        return heard.tempo.bpm is not None and fits_tempo_word(word, heard.tempo.bpm * felt)

    return Attribute(
        lambda prompt: None if prompt.tempo_word is None else (prompt.tempo_word, prompt.felt),
        fits,
    )


ATTRIBUTES: Mapping[str, Attribute] = {
    "lead": Attribute(lambda prompt: prompt.lead, lambda asked, heard: asked in heard.instruments),
    "genre_top1": _genre(1),
    "genre_top5": _genre(GENRES_ADMITTED),
    "drums": _trait("drums"),
    "solo": _trait("solo"),
    "electronic": _trait("electronic"),
    "tempo_word": _tempo_word(),
    "tempo_exact": _tempo(octaves=False),
    "tempo_octave": _tempo(octaves=True),
    "key_exact": Attribute(
        lambda prompt: prompt.key, lambda asked, heard: key_score(asked, heard.key) == 1
    ),
    "key_weighted": Attribute(
        lambda prompt: prompt.key,
        lambda asked, heard: key_score(asked, heard.key),
        is_share=False,
    ),
    "instruments": Attribute(
        lambda prompt: prompt.instruments or None,
        lambda asked, heard: len(heard.instruments.intersection(asked)) / len(asked),
        is_share=False,
    ),
    "instruments_f1": Attribute(
        lambda prompt: prompt.instruments or None,
        lambda asked, heard: instrument_f1(asked, heard.instruments),
        is_share=False,
    ),
}


def validate(asked: Sequence[Asked | None], heard: Sequence[Other]) -> list[tuple[Asked, Other]]:
    """The pairs in which something was asked for.

    Raises:
        MetricError: If the lengths differ or nothing was asked for.
    """
    same_length("asked", asked, "heard", heard)
    pairs = [(a, h) for a, h in zip(asked, heard, strict=True) if a is not None]
    if not pairs:
        raise MetricError("no prompt asks for this attribute; add it to the prompts file")
    return pairs


def clip_scores(
    attribute: Attribute, prompts: Sequence[Prompt], heard: Sequence[Heard]
) -> list[float]:
    """How well each clip whose prompt asks for the attribute obeys, 0 to 1.

    Raises:
        MetricError: If no prompt asks.
    """
    pairs = validate([attribute.asked(prompt) for prompt in prompts], heard)
    return [float(attribute.score(a, h)) for a, h in pairs]


def obeyed(
    attribute: Attribute,
    prompts: Sequence[Prompt],
    heard: Sequence[Heard],
    ids: Sequence[str] | None = None,
) -> Estimate:
    """Share of the asked clips that obey (Wilson interval), or their mean score (t interval).

    Args:
        attribute: What is asked about.
        prompts: Of each clip (n,).
        heard: What is heard in it (n,).
        ids: Of the prompts (n,), for takes of one are not independent; None: each its own.

    Raises:
        MetricError: If no prompt asks for the attribute.
    """
    scores = clip_scores(attribute, prompts, heard)
    labels = [str(row) for row in range(len(prompts))] if ids is None else ids
    asking = [attribute.asked(prompt) is not None for prompt in prompts]
    groups = list(compress(labels, asking))
    if attribute.is_share:
        return share_estimate(scores, groups)
    mean = mean_estimate(scores, groups)
    low, high = mean.ci95
    return replace(mean, ci95=(max(0.0, low), min(1.0, high)))  # scores lie from 0 to 1


def shuffled_floor(
    attribute: Attribute, prompts: Sequence[Prompt], heard: Sequence[Heard], ids: Sequence[str]
) -> float:
    """Mean over all pairs of an asking prompt and a clip of another: what a deaf system scores.

    Computed over every pair, so no shuffle has to be drawn.

    Args:
        attribute: What is asked.
        prompts: Of each clip.
        heard: Of each clip.
        ids: Of the prompts; takes of one prompt are never paired with it.

    Raises:
        MetricError: If nothing is asked, or all clips have the same prompt.
    """
    asked = [attribute.asked(prompt) for prompt in prompts]
    validate(asked, heard)
    takes: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(ids):
        takes[name].append(row)
    scores: dict[Any, Array] = {}
    total, trials = 0.0, 0
    for name, value in zip(ids, asked, strict=True):
        if value is None:
            continue
        if value not in scores:
            scores[value] = np.array([float(attribute.score(value, clip)) for clip in heard])
        total += float(scores[value].sum() - scores[value][takes[name]].sum())
        trials += len(heard) - len(takes[name])
    if not trials:
        raise MetricError("the shuffled floor needs clips of at least 2 prompts; add clips")
    return total / trials


def key_score(asked: Key, heard: Key | None) -> float:
    """MIREX score of a key, 0 to 1; 0 where none is heard."""
    return 0.0 if heard is None else key_agreement(asked, heard)


def instrument_f1(asked: Collection[str], heard: Collection[str]) -> float:
    """F-measure of two sets of instrument names; 1 when equal, 0 when disjoint."""
    both = len(set(asked) & set(heard))
    total = len(set(asked)) + len(set(heard))
    return 2 * both / total if total else 1.0


def evaluate(prompts: Sequence[Prompt], heard: Sequence[Heard]) -> dict[str, Estimate]:
    """All metrics that some prompt asks for, in the order of the list."""
    return {
        name: obeyed(attribute, prompts, heard)
        for name, attribute in ATTRIBUTES.items()
        if any(attribute.asked(prompt) is not None for prompt in prompts)
    }
