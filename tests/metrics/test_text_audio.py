"""CLAP score, floor and retrieval."""

import numpy as np
import pytest

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics import text_audio


def test_perfect_pairs_score_one_and_rank_first():
    text = np.random.default_rng(0).standard_normal((20, 8))
    scores = text_audio.evaluate(text, 3 * text, real_audio=text)
    assert scores["clap"].value == pytest.approx(1)
    assert scores["r1"].value == 1
    assert scores["median_rank"] == 1
    assert scores["ceiling"].value == pytest.approx(1)
    assert scores["floor"] < 0.5


def test_floor_is_the_mean_over_all_wrong_pairs():
    rng = np.random.default_rng(1)
    text, audio = rng.standard_normal((2, 9, 5))
    cosines = (text / np.linalg.norm(text, axis=1)[:, None]) @ (
        audio / np.linalg.norm(audio, axis=1)[:, None]
    ).T
    assert text_audio.shuffled_floor(text, audio) == pytest.approx(
        cosines[~np.eye(9, dtype=bool)].mean()
    )


def test_takes_are_not_paired_with_their_own_prompt():
    rng = np.random.default_rng(4)
    text, audio = rng.standard_normal((3, 5)), rng.standard_normal((7, 5))
    prompt = np.array([0, 0, 0, 1, 1, 1, 2])
    unit = [rows / np.linalg.norm(rows, axis=1)[:, None] for rows in (text[prompt], audio)]
    cosines = unit[0] @ unit[1].T
    assert text_audio.shuffled_floor(text[prompt], audio) == pytest.approx(
        cosines[prompt[:, None] != prompt].mean()
    )


def test_repeated_prompts_count_once_and_ties_count_against(monkeypatch):
    text = np.array([[1.0, 0], [1.0, 0], [0, 1.0]])
    audio = np.array([[1.0, 0.1], [0.1, 1.0], [0, 1.0]])
    np.testing.assert_array_equal(text_audio.ranks(text, audio), [1, 2, 1])
    constant = np.ones((3, 2))
    np.testing.assert_array_equal(text_audio.ranks(text, constant), [2, 2, 2])
    monkeypatch.setattr(text_audio, "BLOCK_ROWS", 1)
    np.testing.assert_array_equal(text_audio.ranks(text, audio), [1, 2, 1])


def test_windows_are_averaged_before_normalising():
    windows = np.array([[3.0, 0], [0, 1.0], [5.0, 5.0]])
    np.testing.assert_allclose(text_audio.mean_window(windows, [0, 0, 1]), [[1.5, 0.5], [5, 5]])


def test_pairs_follow_their_order_not_the_listing():
    rng = np.random.default_rng(2)
    text, audio = rng.standard_normal((2, 30, 6))
    order = rng.permutation(30)
    kept = text_audio.clap_score(text[order], audio[order])
    assert kept.value == pytest.approx(text_audio.clap_score(text, audio).value)
    broken = text_audio.clap_score(text[order], audio)
    assert broken.value != pytest.approx(kept.value, abs=1e-6)


def test_bad_input_is_named():
    with pytest.raises(MetricError, match="row 1 is all zeros"):
        text_audio.clap_score(np.ones((2, 2)), [[1, 0], [0, 0]])
    with pytest.raises(MetricError, match="same id"):
        text_audio.clap_score(np.ones((2, 2)), np.ones((3, 2)))
    with pytest.raises(MetricError, match="k must be at least 1"):
        text_audio.recall_at([1, 2], 0)
    with pytest.raises(MetricError, match="at least 2 different prompts"):
        text_audio.shuffled_floor(np.ones((1, 2)), np.ones((1, 2)))
