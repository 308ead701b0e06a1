"""One rendering at a time, stoppable, refusing with sentences."""

import threading
from pathlib import Path

import pytest

from musicgen_ldm import GenerateRequest
from musicgen_ldm.config.demo import DemoConfig
from musicgen_ldm.errors import ConfigError, RequestError
from musicgen_ldm.pipeline import Take
from musicgen_ldm.ui.engine import Engine, Step

SLOW = {"sampler": "dpm++", "steps": 200, "guidance": 1.0}
FAST = SLOW | {"steps": 2}


@pytest.fixture(scope="module")
def engine(tiny_folder: Path) -> Engine:
    engine = Engine(DemoConfig(max_waiting_per_user=1, device="cpu"))
    engine.load(str(tiny_folder))
    engine.ready_model()
    return engine


def request(**changes: object) -> GenerateRequest:
    return GenerateRequest(**{"prompt": "a", "seconds": 1, "sampling": FAST, **changes})  # type: ignore[arg-type]


def test_steps_then_takes(engine: Engine) -> None:
    messages = list(engine.render(request(takes=2), "me", threading.Event()))
    kinds = ["take" if isinstance(m, Take) else "step" for m in messages]
    assert kinds == ["step", "step", "take"] * 2
    assert engine.estimate_s(request()) is not None


def test_stop_ends_within_a_step_and_the_next_request_works(engine: Engine) -> None:
    stop = threading.Event()
    seen = 0
    for message in engine.render(request(sampling=SLOW), "me", stop):
        assert isinstance(message, Step)
        seen += 1
        stop.set()
    assert seen < 10
    assert isinstance(list(engine.render(request(), "me", threading.Event()))[-1], Take)


def test_closing_the_page_frees_the_model(engine: Engine) -> None:
    rendering = engine.render(request(sampling=SLOW), "me", threading.Event())
    next(rendering)
    rendering.close()  # type: ignore[attr-defined]
    assert engine.waiting == 0
    assert isinstance(list(engine.render(request(), "me", threading.Event()))[-1], Take)


def test_limits_are_sentences(engine: Engine) -> None:
    with pytest.raises(RequestError, match="at most 60 s; you asked for 100 s"):
        list(engine.render(request(seconds=100), "me", threading.Event()))
    with pytest.raises(RequestError, match="at most 4 takes"):
        list(engine.render(request(takes=5), "me", threading.Event()))
    rendering = engine.render(request(sampling=SLOW), "me", threading.Event())
    next(rendering)
    with pytest.raises(RequestError, match="1 requests waiting already"):
        next(engine.render(request(), "me", threading.Event()))
    waiting = engine.render(request(), "you", threading.Event())
    assert next(waiting) == Step(0, None)
    waiting.close()  # type: ignore[attr-defined]
    rendering.close()  # type: ignore[attr-defined]


def test_a_missing_checkpoint_is_a_sentence() -> None:
    engine = Engine(DemoConfig())
    engine.load("no-such-checkpoint")
    with pytest.raises(RequestError, match="could not be loaded: no checkpoint"):
        engine.ready_model()
    assert "could not be loaded" in engine.state


def test_bad_flags() -> None:
    with pytest.raises(ConfigError, match="USER:PASSWORD"):
        DemoConfig(auth="me")
    with pytest.raises(ConfigError, match="--port is 0"):
        DemoConfig(port=0)
