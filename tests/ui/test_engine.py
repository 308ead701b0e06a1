"""One rendering at a time, stoppable, refusing with sentences."""

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from musicgen_ldm import GenerateRequest
from musicgen_ldm.config.demo import DemoConfig
from musicgen_ldm.errors import ConfigError, RequestError
from musicgen_ldm.pipeline import Take
from musicgen_ldm.ui.engine import Engine, Step, Waiting
from musicgen_ldm.ui.limits import check, drawn_s
from musicgen_ldm.ui.line import Line
from musicgen_ldm.ui.speed import Speed

SLOW = {"sampler": "dpm++", "steps": 200, "guidance": 1.0}
FAST = SLOW | {"steps": 2}
# Sounds of random weights may have no pitch.
pytestmark = pytest.mark.filterwarnings("ignore:Trying to estimate tuning")


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


def test_a_request_made_while_the_model_is_loading_is_rendered(tiny_folder: Path) -> None:
    engine = Engine(DemoConfig(device="cpu"))
    assert engine.estimate_s(request()) is None
    engine.load(str(tiny_folder))
    messages = list(engine.render(request(), "me", threading.Event()))
    assert isinstance(messages[-1], Take)
    assert engine.is_ready


def tensor_bytes() -> int:
    # Other libraries' lazy objects would load when asked for their class.
    tensors = [found for found in gc.get_objects() if type(found) is torch.Tensor]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_a_stopped_rendering_frees_its_memory_at_once(engine: Engine) -> None:
    list(engine.render(request(), "me", threading.Event()))  # fills what is kept for the next one
    gc.collect()
    before, stop = tensor_bytes(), threading.Event()
    rendering = engine.render(request(seconds=20, sampling=SLOW), "me", stop)
    step = next(message for message in rendering if isinstance(message, Step))
    assert tensor_bytes() > before
    stop.set()
    assert not any(isinstance(message, Take) for message in rendering)
    del step
    assert tensor_bytes() == before


def test_no_visitor_learns_the_servers_folders(engine: Engine, tiny_folder: Path) -> None:
    assert engine.state == "Ready: tiny"
    broken = Engine(DemoConfig(device="cpu"))
    broken.load(str(tiny_folder / "unet"))
    with pytest.raises(RequestError, match="unet: the folder holds no") as refused:
        broken.ready_model()
    assert str(tiny_folder) not in str(refused.value)
    assert str(tiny_folder) not in broken.state


def test_candidates_take_their_time(engine: Engine) -> None:
    list(engine.render(request(), "me", threading.Event()))
    one = engine.estimate_s(request(sampling=FAST))
    three = request(sampling=FAST | {"candidates": 3})
    assert one is not None
    assert engine.estimate_s(three) == pytest.approx(3 * one)
    steps = [s for s in engine.render(three, "me", threading.Event()) if isinstance(s, Step)]
    left = [engine.left_s(three, step) for step in steps]
    assert len(left) == 3 * FAST["steps"]
    assert left == sorted(left, reverse=True)


def test_who_waits_for_the_model_can_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    loading = threading.Event()
    monkeypatch.setattr(
        "musicgen_ldm.pipeline.MusicLDM.from_pretrained", lambda *_, **__: loading.wait()
    )
    engine, stop = Engine(DemoConfig()), threading.Event()
    engine.load("any")
    rendering = engine.render(request(), "me", stop)
    assert next(rendering) == Waiting(ahead=0)
    stop.set()
    assert list(rendering) == []
    loading.set()


def test_the_end_waits_for_a_loading_that_cannot_be_cut_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began, release, left = threading.Event(), threading.Event(), threading.Event()

    def load(*_: object, **__: object) -> None:
        began.set()
        release.wait()
        left.set()

    monkeypatch.setattr("musicgen_ldm.pipeline.MusicLDM.from_pretrained", load)
    engine = Engine(DemoConfig())
    engine.load("any")
    assert began.wait(60)
    engine.close()
    threading.Timer(0.2, release.set).start()
    engine.wait_for_end(60)
    assert left.is_set()


def test_all_is_drawn_in_one_thread(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each new thread would leave memory behind that the C library does not give back."""
    threads, draw = list[threading.Thread](), Engine._draw

    def noting(*args: Any) -> None:
        threads.append(threading.current_thread())
        draw(*args)

    monkeypatch.setattr(Engine, "_draw", noting)
    for _ in range(2):
        list(engine.render(request(), "me", threading.Event()))
    assert len(threads) == 2
    assert len(set(threads)) == 1


def test_the_time_is_known_before_the_first_rendering(engine: Engine) -> None:
    assert engine.estimate_s(request()) is not None


def test_first_come_first_served() -> None:
    line = Line(most=3, most_per_user=2)
    with line.place("a") as first:
        with line.place("b") as second, line.place("a") as third:
            assert [line.ahead(place, 0) for place in (first, second, third)] == [0, 1, 2]
            with pytest.raises(RequestError, match="3 requests are waiting already"):
                line.place("c").__enter__()
        with (
            line.place("a"),
            pytest.raises(RequestError, match="You have 2 requests"),
            line.place("a"),
        ):
            pass
        assert len(line) == 1


def test_speed_tells_steps_from_the_rest() -> None:
    # 2 s of music: 4 steps of 3 s after 1 s of preparation, then 5 s of decoding.
    speed = Speed.of_take(10.0, [[14.0, 17.0, 20.0, 23.0]], 28.0, 2.0)
    assert speed == Speed(step_s=1.5, rest_s=3.0)
    assert speed.draw_s(10, 4.0) == 10 * 1.5 * 4 + 3.0 * 4
    assert Speed.of_take(0.0, [[2.0]], 3.0, 1.0) == Speed(step_s=2.0, rest_s=1.0)


def test_speed_takes_no_decoding_between_candidates_for_a_step() -> None:
    one = Speed.of_take(0.0, [[3.0, 6.0]], 10.0, 1.0)
    three = Speed.of_take(0.0, [[3.0, 6.0], [13.0, 16.0], [23.0, 26.0]], 30.0, 1.0)
    assert three == one == Speed(step_s=3.0, rest_s=4.0)


def test_drafts_do_not_make_the_next_estimate_longer(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each draw takes a second a step and ten to decode, on a clock of the test's own."""
    clock = [0.0]
    monkeypatch.setattr("musicgen_ldm.ui.engine.time.perf_counter", lambda: clock[0])
    model = engine.ready_model()
    draw = model.draw

    def timed(*given: Any, on_progress: Callable[[Any], None], **named: Any) -> Any:
        def told(progress: Any) -> None:
            clock[0] += 1
            on_progress(progress)

        waveform = draw(*given, on_progress=told, **named)
        clock[0] += 10
        return waveform

    monkeypatch.setattr(model, "draw", timed)
    for candidates in (1, 3):
        sampling = FAST | {"candidates": candidates}
        list(engine.render(request(sampling=sampling), "me", threading.Event()))
        assert engine.estimate_s(request(sampling=FAST)) == pytest.approx(12)


def test_lengths_of_files_are_limited_too(engine: Engine, tmp_path: Path) -> None:
    minute, hour = tmp_path / "minute.flac", tmp_path / "hour.flac"
    for path, seconds in ((minute, 61), (hour, 700)):
        soundfile.write(path, np.zeros(seconds * 8_000), 8_000)
    varied = {"seconds": None, "init": str(minute)}
    with pytest.raises(RequestError, match="at most 60 s; you asked for 61 s"):
        next(engine.render(request(**varied), "me", threading.Event()))
    repainted = request(**varied, repaint=((3.0, 6.0),))
    check(repainted, engine.config)
    assert drawn_s(repainted) == 3.0
    for changes in ({"audio_prompt": str(hour)}, {"continue_file": str(hour)}):
        with pytest.raises(RequestError, match=r"hour\.flac lasts 700 s; at most 600 s"):
            check(request(**changes), engine.config)


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
    assert len(engine.line) == 0
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
    assert next(waiting) == Waiting(ahead=1)
    waiting.close()  # type: ignore[attr-defined]
    rendering.close()  # type: ignore[attr-defined]


def test_a_missing_checkpoint_is_a_sentence() -> None:
    engine = Engine(DemoConfig())
    engine.load("no-such-checkpoint")
    with pytest.raises(RequestError, match="could not be loaded: no checkpoint"):
        engine.ready_model()
    assert "could not be loaded" in engine.state


def test_users_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "users.txt"
    file.write_text("one:a b\n\ntwo:c:d\n")
    assert DemoConfig(auth_file=file).credentials == [("one", "a b"), ("two", "c:d")]
    file.write_text("one:a\ntwo\n")
    with pytest.raises(ConfigError, match=r"users\.txt:2 needs USER:PASSWORD"):
        DemoConfig(auth_file=file)
    file.write_text("\n")
    with pytest.raises(ConfigError, match="names no user"):
        DemoConfig(auth_file=file)
    with pytest.raises(ConfigError, match="cannot be read"):
        DemoConfig(auth_file=tmp_path / "missing.txt")


def test_bad_flags() -> None:
    with pytest.raises(ConfigError, match="USER:PASSWORD"):
        DemoConfig(auth="me")
    with pytest.raises(ConfigError, match="--port is 0"):
        DemoConfig(port=0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_takes", 0), ("max_seconds", 0.5), ("max_seconds", float("nan")),
        ("max_seconds", 5000), ("max_queue", 0), ("max_waiting_per_user", 0),
        ("max_upload_mb", 0), ("keep_days", -1), ("port", 0),
    ],
)  # fmt: skip
def test_limits_that_would_leave_no_page_are_refused(field: str, value: float) -> None:
    flag = f"--{field.replace('_', '-')}"
    with pytest.raises(ConfigError, match=f"{flag} is .*; give a number from"):
        DemoConfig(**{field: value})
