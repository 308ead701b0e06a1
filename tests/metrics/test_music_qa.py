"""Four-choice questions: well-formed, answerable by a judge that hears, chance for one that not."""

import numpy as np
import pytest

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics import music_qa
from musicgen_ldm.metrics.clips import Prompt

GENRES = ("house", "jazz", "waltz", "drone", "march")
INSTRUMENTS = ("piano", "flute", "harp", "bass", "drums", "oboe")


def prompts(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Prompt(text="x", genre=str(rng.choice(GENRES)), bpm=float(rng.choice([60, 80, 100, 140])),
               instruments=tuple(map(str, rng.choice(INSTRUMENTS, 2, replace=False))))
        for _ in range(count)
    ]  # fmt: skip


def embeddings(asked):
    rng = np.random.default_rng(1)
    sentences = sorted({option for question in asked for option in question.options})
    return {sentence: rng.standard_normal(64) for sentence in sentences}


def test_options_are_distinct_and_only_the_answer_is_true():
    clips = prompts(200)
    asked = music_qa.questions(clips, np.random.default_rng(0))
    assert len(asked) >= 500
    for question in asked:
        prompt = clips[question.clip]
        true = {
            "genre": [f"{prompt.genre} music"],
            "instrument": [f"music with {name}" for name in prompt.instruments],
            "tempo": [f"music at {round(prompt.bpm)} bpm"],
        }[question.attribute]
        assert len(set(question.options)) == 4
        assert [o in true for o in question.options].index(True) == question.answer
        assert sum(o in true for o in question.options) == 1
    answers = np.bincount([question.answer for question in asked]) / len(asked)
    assert (np.abs(answers - 0.25) < 0.07).all()


def test_a_judge_that_hears_is_right_and_one_that_does_not_is_at_chance():
    clips = prompts(300)
    asked = music_qa.questions(clips, np.random.default_rng(0))
    text = embeddings(asked)
    hears = np.stack([
        sum(text.get(s, 0) for s in (f"{p.genre} music", f"music at {round(p.bpm)} bpm",
                                     *(f"music with {name}" for name in p.instruments)))
        for p in clips
    ])  # fmt: skip
    scores = music_qa.evaluate(asked, hears, text)
    assert list(scores) == ["music_qa", "music_qa_genre", "music_qa_instrument", "music_qa_tempo"]
    assert scores["music_qa"].value > 0.95
    low, high = music_qa.evaluate(asked, np.roll(hears, 1, axis=0), text)["music_qa"].ci95
    assert low < 0.36
    deaf = music_qa.evaluate(asked, np.random.default_rng(2).standard_normal((300, 64)), text)
    low, high = deaf["music_qa"].ci95
    assert low - 0.05 < 0.25 < high + 0.05


def test_same_seed_asks_the_same():
    first, second = (music_qa.questions(prompts(20), np.random.default_rng(3)) for _ in range(2))
    assert first == second


def test_too_few_values_ask_nothing():
    few = [Prompt(text="x", genre=g) for g in ("a", "b", "c")]
    asked = music_qa.questions(few, np.random.default_rng(0))
    assert asked == []
    with pytest.raises(MetricError, match="four different genres"):
        music_qa.evaluate(asked, np.ones((3, 2)), {})
    four = music_qa.questions([*few, Prompt(text="x", genre="d")], np.random.default_rng(0))
    with pytest.raises(MetricError, match="beyond the 2 given"):
        music_qa.evaluate(four, np.ones((2, 64)), embeddings(four))
