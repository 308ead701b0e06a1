"""The load run fails when the demo breaks its promise, and only then."""

from pathlib import Path
from typing import Any

import pytest
from demo_load import MOST_GROWTH_MB, failures, outcome
from gradio_client.exceptions import AppError


class Job:
    def __init__(self, result: Any) -> None:
        self._result = result

    def result(self) -> Any:
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (AppError("You have 8 requests waiting already"), "refused: You have 8 requests"),
        (AppError("The upstream Gradio app has raised an exception but"), "LOST: The upstream"),
        (TimeoutError("read"), "LOST: TimeoutError: read"),
    ],
)
def test_only_a_sentence_is_a_refusal(error: Exception, said: str) -> None:
    assert outcome(Job(error), user=1).startswith(said)  # type: ignore[arg-type]


def test_only_ones_own_music_is_an_answer(tmp_path: Path) -> None:
    file = tmp_path / "a.flac"
    file.touch()
    own, other = ({"prompt": f"user {user}, request 0"} for user in (1, 2))
    assert outcome(Job((str(file), own)), user=1) == "answered"  # type: ignore[arg-type]
    for answer in ((str(file), other), (str(tmp_path / "b.flac"), own)):
        assert outcome(Job(answer), user=1) == "LOST: answered wrongly"  # type: ignore[arg-type]


def test_what_was_lost_and_what_was_leaked_fails_the_run() -> None:
    assert failures(["answered", "refused: wait"], MOST_GROWTH_MB) == []
    assert failures(["answered", "LOST: x"], 0) == [
        "1 of 2 requests got neither music nor a sentence"
    ]
    assert "the memory grew by 101 MB" in failures(["answered"], MOST_GROWTH_MB + 1)[0]
