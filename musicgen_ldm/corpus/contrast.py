"""Contrast pairs: which override makes the second clip differ in one audible attribute."""

from typing import Literal

import numpy as np

from musicgen_ldm.corpus.genre import Genre
from musicgen_ldm.corpus.instruments import INSTRUMENTS, get_instrument
from musicgen_ldm.corpus.score import Score
from musicgen_ldm.corpus.theory import MAJOR_SOUNDING

Attribute = Literal["instrument", "tempo", "mode", "drums"]

ATTRIBUTES: tuple[Attribute, ...] = ("instrument", "tempo", "mode", "drums")
TEMPO_STEP = 1.6  # no listener confuses two tempi this far apart
FASTEST_BPM = 200.0
SWAP_ROLES = ("lead", "comp", "arpeggio", "pad")


def contrast_override(
    score: Score, genre: Genre, attribute: Attribute, rng: np.random.Generator
) -> dict[str, object]:
    """The override that changes `attribute` of a piece.

    Where a genre cannot change it (no pulse, one mode only, no drum kit), the featured instrument
    is swapped in its place: that is always possible.

    Args:
        score: The piece as it is.
        genre: Its genre.
        attribute: What to change.
        rng: Draws among possibilities.

    Returns:
        One item for `compose(overrides=…)`.
    """
    if attribute == "tempo" and score.beats_s:
        is_faster = score.bpm * TEMPO_STEP <= FASTEST_BPM and rng.random() < 0.5
        factor = TEMPO_STEP if is_faster or score.bpm < 60 else 1 / TEMPO_STEP
        return {"bpm": round(score.bpm * factor, 1)}
    if attribute == "mode":
        is_major = score.mode in MAJOR_SOUNDING
        others = [mode for mode in genre.modes if (mode in MAJOR_SOUNDING) != is_major]
        if others and score.mode != "none":
            return {"mode": others[int(rng.integers(len(others)))]}
    if attribute == "drums" and _has_kits_only(genre):
        return {"drums": not any(part.role == "drums" for part in score.parts)}
    return {"instrument": _other_instrument(score, genre, rng)}


def _has_kits_only(genre: Genre) -> bool:
    """Whether its drummers play what captions call drums; a march's are percussion."""
    players = genre.instruments.get("drums", {})
    return bool(players) and all(get_instrument(name).family == "drums" for name in players)


def _other_instrument(score: Score, genre: Genre, rng: np.random.Generator) -> str:
    """A melodic instrument of another family than any in the piece, from the genre if it can."""
    used = {get_instrument(part.instrument).family for part in score.parts}
    own = {
        name
        for role in SWAP_ROLES
        for name in genre.instruments.get(role, {})  # type: ignore[call-overload]
    }
    leads = {name for name, row in INSTRUMENTS.items() if "lead" in row.roles}
    for pool in (own, leads):
        fresh = sorted(name for name in pool if get_instrument(name).family not in used)
        if fresh:
            return fresh[int(rng.integers(len(fresh)))]
    playing = {part.instrument for part in score.parts}
    rest = sorted(leads - playing)
    return rest[int(rng.integers(len(rest)))]
