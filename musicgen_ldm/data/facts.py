"""What is known of a clip, as questions and their right answers."""

import math

from musicgen_ldm.data.manifest import Clip

BPM_CLASSES_PER_OCTAVE = 24  # 2.9 % a class: a tempo that is asked for counts as met within 4 %

Answers = dict[str, tuple[str, ...]]


def answers(clip: Clip) -> Answers:
    """Right answers by question; a question without any is left out.

    "genre", "mood", "instrument" (all that sound), "lead", "tempo" (slow, medium or fast), "bpm"
    (class of a logarithmic scale), and "key" with its mode.
    """
    tags, known = clip.tags, clip.extra.get("facts", {})
    found: Answers = {
        "genre": _some(tags.genre),
        "mood": _some(tags.mood),
        "instrument": tags.instruments,
        "lead": _some(known.get("lead")),
        "tempo": _some(known.get("tempo_word")),
        "bpm": () if tags.bpm is None else (bpm_class(tags.bpm),),
        "key": (f"{tags.key} {tags.mode}",) if tags.key and tags.mode else (),
    }
    return {question: right for question, right in found.items() if right}


def bpm_class(bpm: float) -> str:
    """Name of a tempo's class; classes are equal ratios."""
    return str(round(BPM_CLASSES_PER_OCTAVE * math.log2(bpm)))


def _some(name: object) -> tuple[str, ...]:
    return () if name is None else (str(name),)
