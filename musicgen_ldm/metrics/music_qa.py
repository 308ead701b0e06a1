"""MusicQA: one four-choice question about each fact of a prompt, after AIR-Bench (2024).

Goal: a text score on a scale that everybody reads. Chance is 0.25 whatever the checkpoint.

Conventions: a question holds one true option and three that are false of the prompt, drawn from
what the other prompts ask for; a judge answers with the option whose sentence is nearest to the
clip. Key and mode are left out: a mel-based CLAP does not hear them, and `obedience` measures
them. Tempo options differ by at least a quarter, and not by an octave.

Metrics:
    music_qa                 share of right answers
    music_qa_genre, …        the same for each attribute
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics.checks import Array, clip_index, matrix, unit_rows
from musicgen_ldm.metrics.clips import Prompt
from musicgen_ldm.metrics.statistics import Estimate, share_estimate

NUM_OPTIONS = 4
SENTENCES = {"genre": "{} music", "instrument": "music with {}", "tempo": "music at {} bpm"}
TEMPO_RATIO = 1.25  # closest two tempo options
OCTAVE_TOLERANCE = 0.1  # relative; nearer to the double than this may be heard as the same pulse


@dataclass(frozen=True)
class Question:
    """One question about one clip.

    Attributes:
        clip: Row of the clip.
        attribute: "genre", "instrument" or "tempo".
        options: Sentences.
        answer: Index of the true one.
    """

    clip: int
    attribute: str
    options: tuple[str, ...]
    answer: int


def questions(prompts: Sequence[Prompt], rng: np.random.Generator) -> list[Question]:
    """Questions about the facts of prompts, at most one for each attribute and prompt.

    Args:
        prompts: Of the clips, row by row.
        rng: Of the false options and of the order.

    Returns:
        Possibly none: an attribute needs four different values among the prompts.
    """
    genres = sorted({p.genre for p in prompts if p.genre})
    instruments = sorted({name for p in prompts for name in p.instruments})
    tempi = sorted({round(p.bpm) for p in prompts if p.bpm})
    asked = []
    for clip, prompt in enumerate(prompts):
        if prompt.genre:
            others = [g for g in genres if g != prompt.genre]
            asked.append(_question(clip, "genre", prompt.genre, others, rng))
        if prompt.instruments:
            others = [name for name in instruments if name not in prompt.instruments]
            true = str(rng.choice(prompt.instruments))
            asked.append(_question(clip, "instrument", true, others, rng))
        if prompt.bpm:
            others = _other_tempi(round(prompt.bpm), tempi, rng)
            asked.append(_question(clip, "tempo", str(round(prompt.bpm)), others, rng))
    return [question for question in asked if question is not None]


def _question(
    clip: int, attribute: str, true: str, others: Sequence[str], rng: np.random.Generator
) -> Question | None:
    if len(others) < NUM_OPTIONS - 1:
        return None
    false = rng.choice(others, size=NUM_OPTIONS - 1, replace=False).tolist()
    answer = int(rng.integers(NUM_OPTIONS))
    words = [*false[:answer], true, *false[answer:]]
    return Question(clip, attribute, tuple(SENTENCES[attribute].format(w) for w in words), answer)


def _other_tempi(true: int, tempi: Sequence[int], rng: np.random.Generator) -> list[str]:
    """Three tempi that neither the true one nor each other could be mistaken for."""
    chosen = [true]
    for tempo in rng.permutation(tempi):
        if all(_is_distinct(int(tempo), other) for other in chosen):
            chosen.append(int(tempo))
    return [str(tempo) for tempo in chosen[1:NUM_OPTIONS]]


def _is_distinct(first: int, second: int) -> bool:
    ratio = max(first, second) / min(first, second)
    is_octave = abs(ratio / 2 - 1) < OCTAVE_TOLERANCE
    return ratio >= TEMPO_RATIO and not is_octave


def validate(asked: Sequence[Question], audio: npt.ArrayLike) -> Array:
    """Audio embeddings as unit rows.

    Raises:
        MetricError: If there is no question, or one is about a clip that is not there.
    """
    if not asked:
        raise MetricError(
            "no question can be asked: the prompts need four different genres, instruments or tempi"
        )
    rows = unit_rows(matrix("audio", audio))
    if max(question.clip for question in asked) >= len(rows):
        raise MetricError(f"a question is about a clip beyond the {len(rows)} given")
    return rows


def evaluate(
    asked: Sequence[Question],
    audio: npt.ArrayLike,
    text: Mapping[str, npt.ArrayLike],
    prompts: npt.ArrayLike | None = None,
) -> dict[str, Estimate]:
    """Share of right answers, over all questions and by attribute.

    Args:
        asked: From `questions`.
        audio: (n, D) clips.
        text: (D,) embedding of every option's sentence.
        prompts: (n,) label of each clip's prompt: neither the questions about a prompt nor its
            takes are independent. None: each clip has its own.
    """
    rows = validate(asked, audio)
    units = clip_index(len(rows), prompts)[[question.clip for question in asked]]
    attributes = np.array([question.attribute for question in asked])
    is_right = np.empty(len(asked), dtype=bool)
    for number, question in enumerate(asked):
        vectors = np.stack([np.asarray(text[option]) for option in question.options])
        options = unit_rows(matrix("options", vectors))
        is_right[number] = (options @ rows[question.clip]).argmax() == question.answer
    scores = {"music_qa": share_estimate(is_right, units)}
    for attribute in np.unique(attributes).tolist():
        own = attributes == attribute
        scores[f"music_qa_{attribute}"] = share_estimate(is_right[own], units[own])
    return scores
