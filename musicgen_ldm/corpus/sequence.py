"""Words for clips in which one piece follows another: the order is all that pairs differ in."""

import numpy as np

from musicgen_ldm.corpus.facts import Facts
from musicgen_ldm.data.manifest import Tags

# {a} is heard first. Test clips are described in words that no training clip is.
CONNECTIONS = {
    "train": (
        "{a}, then {b}",
        "first {a}, followed by {b}",
        "starts as {a} and turns into {b}",
        "{a} that changes into {b}",
        "{b} after {a}",
        "a medley: {a}, then {b}",
    ),
    "test": (
        "{a} giving way to {b}",
        "{a} at first, later {b}",
        "opens with {a}, ends with {b}",
        "{a}, and afterwards {b}",
        "a switch from {a} to {b}",
    ),
}
COUNT = 5


def sequence_captions(
    first: tuple[str, Tags, Facts],
    second: tuple[str, Tags, Facts],
    rng: np.random.Generator,
    *,
    split: str,
) -> tuple[str, ...]:
    """Captions that name both pieces and their order.

    Args:
        first: The genre's title and the truth of the piece heard first.
        second: Truth of the piece heard after it.
        rng: Source of all choices.
        split: "test" uses connections of its own.
    """
    connections = CONNECTIONS["test" if split == "test" else "train"]
    chosen = rng.permutation(len(connections))[:COUNT]
    return tuple(
        connections[index].format(a=_named(*first, rng), b=_named(*second, rng)) for index in chosen
    )


def _named(title: str, tags: Tags, facts: Facts, rng: np.random.Generator) -> str:
    """A piece in a few words: "calm bossa nova with flute"."""
    words = [tags.mood, title] if tags.mood and rng.random() < 0.6 else [title]
    if facts.instruments and rng.random() < 0.6:
        words += ["with", facts.instruments[0]]
    return " ".join(words)
