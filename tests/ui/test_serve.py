"""What the server refuses and offers, over HTTP."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from musicgen_ldm.config.demo import DemoConfig
from musicgen_ldm.errors import MissingExtraError
from musicgen_ldm.ui.serve import build_app


@pytest.fixture
def app_with(tiny_folder: Path, tmp_path: Path, built: Callable) -> Callable[..., FastAPI]:
    def make(**changes: Any) -> FastAPI:
        config = DemoConfig(checkpoint=str(tiny_folder), outputs=tmp_path, device="cpu", **changes)
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
        assert client.post("/gradio_api/upload", files=upload).status_code == 200


@pytest.mark.skipif(find_spec("mcp") is not None, reason="the extra is installed")
def test_agents_need_an_extra(app_with: Callable[..., FastAPI]) -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'musicgen-ldm\[mcp\]'"):
        app_with(mcp=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_agents_find_one_tool(app_with: Callable[..., FastAPI]) -> None:
    pytest.importorskip("mcp", reason="needs pip install .[mcp]")
    with TestClient(app_with(mcp=True)) as client:
        tools = client.get("/gradio_api/mcp/schema").json()
    assert [tool["name"] for tool in tools] == ["generate"]
    assert "sentence" in tools[0]["description"]
    assert {"prompt", "seconds", "seed", "bpm", "key"} <= set(tools[0]["inputSchema"]["properties"])
