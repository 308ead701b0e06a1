"""What the server refuses and offers, over HTTP."""

import asyncio
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import mcp
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from gradio_client import Client
from gradio_client.exceptions import AppError
from mcp.client import streamable_http as http

from musicgen_ldm.checkpoint import Checkpoint, save
from musicgen_ldm.config.demo import DemoConfig
from musicgen_ldm.config.generation import SamplingConfig
from musicgen_ldm.errors import ConfigError, MissingExtraError
from musicgen_ldm.provenance import verify
from musicgen_ldm.ui.serve import QUIET_AT_THE_END, SHUTDOWN_S, Server, build_app

pytestmark = [
    # Of random weights' sounds, which may have no pitch; and gradio's of its own packages.
    pytest.mark.filterwarnings("ignore:Trying to estimate tuning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    # fastapi silences this itself, in vain when the loading thread swaps the filters meanwhile.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.UnsupportedFieldAttributeWarning"),
]


@pytest.fixture(scope="module")
def quick_folder(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of few steps, which a call cannot choose."""
    quick = replace(tiny_checkpoint, sampling=SamplingConfig(steps=4))
    return save(quick, tmp_path_factory.mktemp("checkpoints") / "quick")


@pytest.fixture
def app_with(quick_folder: Path, tmp_path: Path, built: Callable) -> Callable[..., FastAPI]:
    def make(**changes: Any) -> FastAPI:
        config = DemoConfig(checkpoint=str(quick_folder), outputs=tmp_path, device="cpu", **changes)
        return built(lambda: build_app(config))

    return make


def test_uploads_are_limited(app_with: Callable[..., FastAPI]) -> None:
    with TestClient(app_with(max_upload_mb=1)) as client:
        small = client.post("/gradio_api/upload", files={"files": ("a.wav", b"0" * 1_000)})
        large = client.post("/gradio_api/upload", files={"files": ("b.wav", b"0" * 2_000_000)})
    assert small.status_code == 200
    assert large.status_code == 413
    assert "maximum" in large.text


def test_a_password_guards_all_but_the_health(app_with: Callable[..., FastAPI]) -> None:
    app = app_with(auth="musician:secret")
    with TestClient(app) as client:
        upload = {"files": ("a.wav", b"0")}
        assert client.get("/health").json()["status"] in ("loading", "ready")
        assert client.post("/gradio_api/upload", files=upload).status_code == 401
        wrong = client.post("/login", data={"username": "musician", "password": "guess"})
        assert wrong.status_code == 400
        right = client.post("/login", data={"username": "musician", "password": "secret"})
        assert right.status_code == 200
        uploaded = client.post("/gradio_api/upload", files=upload)
        assert uploaded.status_code == 200
        file = f"/gradio_api/file={uploaded.json()[0]}"
        assert client.get(file).status_code == 200
        client.cookies.clear()
        assert client.get(file).status_code == 401


@contextmanager
def served(app: FastAPI) -> Iterator[tuple[str, Server]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said: list[str] = []
    config = uvicorn.Config(
        app, port=port, log_level="warning", timeout_graceful_shutdown=SHUTDOWN_S
    )
    server = Server(config, app, said.append)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not said:
            assert thread.is_alive()
            time.sleep(0.05)
        assert said == [f"Open http://127.0.0.1:{port} in a browser; Ctrl-C here ends it."]
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.should_exit = True
        thread.join(120)
        assert not thread.is_alive()
        for name in QUIET_AT_THE_END:
            logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_program_gets_the_file_itself(app_with: Callable[..., FastAPI], tmp_path: Path) -> None:
    with served(app_with()) as (address, _):
        client = Client(address, verbose=False, download_files=tmp_path / "mine")
        file, record = client.predict("slow piano", 1, bpm=90, api_name="/generate")
        kept = next((tmp_path / "local").glob("*.flac"))
        assert Path(file).is_relative_to(tmp_path / "mine")
        assert verify(file).intact
        assert record["request"]["bpm"] == 90
        # What one visitor made is not to be had by its place on the server.
        assert httpx.get(f"{address}/gradio_api/file={kept}").status_code == 403
        with pytest.raises(AppError, match="the prompt is empty"):
            client.predict(" ", api_name="/generate")


def test_calls_stand_in_the_same_line_as_clicks(app_with: Callable[..., FastAPI]) -> None:
    """A visitor with too many calls is refused with a sentence, and another one is served."""
    app = app_with(max_waiting_per_user=2)
    with served(app) as (address, _):
        app.state.engine.ready_model()
        greedy, modest = (Client(address, verbose=False, download_files=False) for _ in range(2))
        with app.state.engine.line.place("somebody"):  # nobody's turn comes while this one stands
            calls = [greedy.submit("slow piano", 1, api_name="/generate") for _ in range(5)]
            end = time.monotonic() + 240
            while sum(call.done() for call in calls) < 3 and time.monotonic() < end:
                time.sleep(0.05)
            for refused in (call for call in calls if call.done()):
                assert "You have 2 requests waiting already" in str(refused.exception())
        assert modest.predict("slow piano", 1, api_name="/generate")[1]["seconds"] == 1
        assert [call.exception(240) for call in calls].count(None) == 2
        assert httpx.get(f"{address}/health").json()["waiting"] == 0


def test_the_call_over_plain_http(app_with: Callable[..., FastAPI]) -> None:
    with served(app_with()) as (address, _):
        call = f"{address}/gradio_api/call/generate"
        given = ["slow piano", 1, 0, 90, "", "", 0, False]
        posted = httpx.post(call, json={"data": given}, timeout=240).raise_for_status()
        got = httpx.get(f"{call}/{posted.json()['event_id']}", timeout=240).raise_for_status()
        answer = got.text.splitlines()
        said = next(line for line in answer if line.startswith("data: ["))
        url = json.loads(said.removeprefix("data: "))[0]["url"]
        assert httpx.get(url).content[:4] == b"fLaC"


def test_a_path_that_nobody_uploaded_is_refused(
    app_with: Callable[..., FastAPI], stereo_file: Path
) -> None:
    with served(app_with()) as (address, _):
        steps = httpx.get(f"{address}/config").json()["dependencies"]
        number = next(step["id"] for step in steps if step["api_name"] == "check")
        sent = {"path": str(stereo_file), "meta": {"_type": "gradio.FileData"}}
        body = {"fn_index": number, "session_hash": "s", "data": [sent]}
        httpx.post(f"{address}/gradio_api/queue/join", json=body).raise_for_status()
        with httpx.stream(
            "GET", f"{address}/gradio_api/queue/data", params={"session_hash": "s"}
        ) as lines:
            done = next(line for line in lines.iter_lines() if "process_completed" in line)
    assert "was not uploaded by a user" in done


def test_ending_is_quick_and_says_nothing(
    app_with: Callable[..., FastAPI], caplog: pytest.LogCaptureFixture
) -> None:
    with served(app_with()) as (address, server):
        with httpx.stream("GET", f"{address}/gradio_api/heartbeat/s") as open_page:
            lines = open_page.iter_lines()
            next(lines)
            caplog.clear()
            begin = time.monotonic()
            server.should_exit = True
            with suppress(httpx.RemoteProtocolError):  # cut off in the middle
                list(lines)
        assert (
            time.monotonic() - begin < SHUTDOWN_S + 20
        )  # where a forgotten line would wait for ever
    assert caplog.records == []


def test_agents_need_an_extra(
    app_with: Callable[..., FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musicgen_ldm.ui.serve.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'musicgen-ldm\[mcp\]'"):
        app_with(mcp=True)


def test_agents_and_passwords_are_refused_together(app_with: Callable[..., FastAPI]) -> None:
    """Gradio would list the tools to everybody, and fail to call them for anybody."""
    with pytest.raises(ConfigError, match="--mcp has no login"):
        app_with(mcp=True, auth="musician:secret")


def test_agents_find_one_tool(app_with: Callable[..., FastAPI]) -> None:
    with TestClient(app_with(mcp=True)) as client:
        tools = client.get("/gradio_api/mcp/schema").json()
    assert [tool["name"] for tool in tools] == ["generate"]
    assert "sentence" in tools[0]["description"]
    assert {"prompt", "seconds", "seed", "bpm", "key"} <= set(tools[0]["inputSchema"]["properties"])


def test_an_agent_gets_a_file_or_a_sentence(app_with: Callable[..., FastAPI]) -> None:
    async def ask(address: str, prompt: str) -> Any:
        url = f"{address}/gradio_api/mcp/"
        async with (
            http.streamablehttp_client(url) as (receive, send, _),
            mcp.ClientSession(receive, send) as session,
        ):
            await session.initialize()
            return await session.call_tool("generate", {"prompt": prompt, "seconds": 1})

    with served(app_with(mcp=True)) as (address, _):
        music, refusal = (asyncio.run(ask(address, prompt)) for prompt in ("slow piano", " "))
        url = re.search(r"http\S+\.flac", music.content[0].text)
        assert url is not None
        assert httpx.get(url[0]).content[:4] == b"fLaC"
    assert refusal.isError
    assert "the prompt is empty" in refusal.content[0].text
