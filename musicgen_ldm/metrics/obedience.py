"""Does the music do as it was told: tempo, key, instruments, genre.

Goal: the attributes a musician writes into a prompt, checked one by one against measurement.

Conventions: row i of `asked` and of `heard` belong to the same clip. Tempo in beats per minute.
What was not asked for does not count; what was asked for and could not be measured is wrong.

Metrics:
    tempo_exact      share within 4 % of the asked tempo (accuracy 1)
    tempo_octave     the same, admitting double, half, triple and third (accuracy 2)
    key_exact        share with the asked tonic and mode
    key_weighted     mean MIREX score: fifth 0.5, relative 0.3, parallel 0.2
    instruments_f1   mean over clips of the F-measure of the instrument sets
    genre            share with the asked genre
"""

from collections.abc import Collection, Sequence
from typing import TypeVar

from musicgen_ldm.errors import MetricError
from musicgen_ldm.measure import Key, Tempo, key_agreement
from musicgen_ldm.metrics.checks import same_length
from musicgen_ldm.metrics.statistics import Estimate, mean_estimate, wilson_interval

Asked = TypeVar("Asked")
Heard = TypeVar("Heard")


def validate(asked: Sequence[Asked | None], heard: Sequence[Heard]) -> list[tuple[Asked, Heard]]:
    """The pairs in which something was asked for.

    Raises:
        MetricError: If the lengths differ or nothing was asked for.
    """
    same_length("asked", asked, "heard", heard)
    pairs = [(a, h) for a, h in zip(asked, heard, strict=True) if a is not None]
    if not pairs:
        raise MetricError("no prompt asks for this attribute; add it to the prompts file")
    return pairs


def tempo_accuracy(
    asked_bpm: Sequence[float | None], heard: Sequence[Tempo], *, octaves: bool
) -> Estimate:
    """Share of clips within 4 % of the asked tempo.

    Args:
        asked_bpm: Beats per minute, or None.
        heard: Measured; a missing pulse is wrong.
        octaves: Admit other metrical levels of the same pulse.
    """
    pairs = validate(asked_bpm, heard)
    return wilson_interval(sum(h.matches(a, octaves=octaves) for a, h in pairs), len(pairs))


def key_accuracy(asked: Sequence[Key | None], heard: Sequence[Key | None]) -> Estimate:
    """Share of clips in the asked key; F# and Gb are one."""
    scores = key_scores(asked, heard)
    return wilson_interval(sum(score == 1 for score in scores), len(scores))


def key_scores(asked: Sequence[Key | None], heard: Sequence[Key | None]) -> list[float]:
    """MIREX score of each clip that was asked for a key, 0 to 1."""
    return [0.0 if h is None else key_agreement(a, h) for a, h in validate(asked, heard)]


def instrument_f1(asked: Collection[str], heard: Collection[str]) -> float:
    """F-measure of two sets of instrument names; 1 when equal, 0 when disjoint."""
    both = len(set(asked) & set(heard))
    total = len(set(asked)) + len(set(heard))
    return 2 * both / total if total else 1.0


def genre_accuracy(asked: Sequence[str | None], heard: Sequence[str | None]) -> Estimate:
    """Share of clips with the asked genre."""
    pairs = validate(asked, heard)
    return wilson_interval(sum(a == h for a, h in pairs), len(pairs))


def evaluate(
    *,
    bpm: tuple[Sequence[float | None], Sequence[Tempo]] | None = None,
    key: tuple[Sequence[Key | None], Sequence[Key | None]] | None = None,
    instruments: tuple[Sequence[Collection[str] | None], Sequence[Collection[str]]] | None = None,
    genre: tuple[Sequence[str | None], Sequence[str | None]] | None = None,
) -> dict[str, Estimate]:
    """The metrics of the given attributes, each as (asked, heard), in the order of the list."""
    scores: dict[str, Estimate] = {}
    if bpm is not None:
        scores["tempo_exact"] = tempo_accuracy(*bpm, octaves=False)
        scores["tempo_octave"] = tempo_accuracy(*bpm, octaves=True)
    if key is not None:
        scores["key_exact"] = key_accuracy(*key)
        scores["key_weighted"] = mean_estimate(key_scores(*key))
    if instruments is not None:
        pairs = validate(*instruments)
        scores["instruments_f1"] = mean_estimate([instrument_f1(a, h) for a, h in pairs])
    if genre is not None:
        scores["genre"] = genre_accuracy(*genre)
    return scores
