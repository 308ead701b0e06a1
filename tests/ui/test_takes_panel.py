"""The results: what is said of a take; a failing model or a full disk is a sentence too."""

import errno
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile

from musicgen_ldm import GenerateRequest
from musicgen_ldm.config.demo import DemoConfig
from musicgen_ldm.errors import OutputError, RequestError
from musicgen_ldm.ui import texts
from musicgen_ldm.ui.batch import archive_of
from musicgen_ldm.ui.engine import Engine
from musicgen_ldm.ui.history import made_by
from musicgen_ldm.ui.takes import TakesPanel
from musicgen_ldm.ui.visitors import Visitors

REQUEST = GenerateRequest(
    prompt="a", seconds=0.6, sampling={"sampler": "dpm++", "steps": 1, "guidance": 1.0}
)
VISITOR: Any = SimpleNamespace(username=None, session_hash="me")
# Sounds of random weights may have no pitch.
pytestmark = pytest.mark.filterwarnings("ignore:Trying to estimate tuning")


@pytest.fixture(scope="module")
def panel(
    tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory, built: Callable
) -> TakesPanel:
    engine = Engine(DemoConfig(device="cpu", outputs=tmp_path_factory.mktemp("outputs")))
    engine.load(str(tiny_folder))
    engine.ready_model()

    def make() -> TakesPanel:
        with gr.Blocks():
            return TakesPanel(Visitors(engine), "create")

    return built(make)


def last_status(panel: TakesPanel) -> str:
    return [
        update[panel.status] for update in panel.render(REQUEST, VISITOR) if panel.status in update
    ][-1]


def test_the_first_take_is_chosen_and_told_of(panel: TakesPanel) -> None:
    shown = list(panel.render(REQUEST, VISITOR))[-1]
    assert shown[panel.chosen]["value"] == "Take 1"
    assert shown[panel.novelty.verdict] == texts.NOVELTY_UNKNOWN
    assert shown[panel.favourite] is False
    assert shown[panel.sentences[0]].startswith("0.6 seconds")


def test_an_action_shows_its_take_beside_the_one_it_starts_from(
    panel: TakesPanel, tmp_path: Path
) -> None:
    """And what an upload became can be made again when the upload is gone."""
    upload = tmp_path / "my song.wav"
    soundfile.write(upload, np.random.default_rng(0).uniform(-0.5, 0.5, 16_000), 16_000)
    varied = GenerateRequest(prompt="a", init=str(upload), sampling=REQUEST.sampling)
    first = list(panel.render(varied, VISITOR))[-1]
    upload.unlink()
    shown = list(panel._again("Take 1", first[panel.ids], VISITOR))[-1]
    assert shown[panel.ids][0] == first[panel.ids][0]
    assert len(shown[panel.ids]) == 2
    assert shown[panel.chosen]["value"] == "Take 2"
    assert shown[panel.file] == gr.update(value=None, visible=False)
    record = panel.visitors.library(VISITOR).get(shown[panel.ids][1]).record
    assert record["request"]["init"].endswith("-my song.wav")
    assert "/" not in record["request"]["init"]
    assert record["take"] == 1
    repainted = list(panel._repaint("Take 2", shown[panel.ids], 0.2, 0.6, VISITOR))[-1]
    made = panel.visitors.library(VISITOR).get(repainted[panel.ids][1])
    assert made.record["request"]["init"] == f"{shown[panel.ids][1]}.flac"
    assert made_by(made.record["request"]) == "repaint"


def test_a_failing_model(panel: TakesPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Iterator[None]:
        raise RuntimeError("CUDA error: an illegal memory access")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(panel.engine.model, "iterate", fail)
        assert "The model failed (RuntimeError" in last_status(panel)
    assert len(panel.engine.line) == 0
    assert last_status(panel).startswith("Done: 1")


def test_a_full_disk(panel: TakesPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    library = panel.visitors.library(VISITOR)
    before = len(library.search())
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert "No space left on device" in last_status(panel)
    assert len(library.search()) == before
    assert last_status(panel).startswith("Done: 1")


def full_disk(*_: object) -> str:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/srv/secret/copy.flac")


def test_a_disk_that_is_full_when_copies_are_handed_out(
    panel: TakesPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("musicgen_ldm.ui.served.save_file_to_cache", full_disk)
        assert last_status(panel) == f"**{texts.FULL_DISK}**"
    assert last_status(panel).startswith("Done: 1")


def test_a_disk_that_is_full_when_a_batch_is_packed(
    panel: TakesPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = panel.visitors.library(VISITOR).search()[0]
    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "write", full_disk)
        with pytest.raises(OutputError, match="The server's disk is full: delete"):
            archive_of({"a": entry})
    with zipfile.ZipFile(archive_of({"a": entry})) as archive:
        assert archive.namelist() == ["a.flac", "a.json"]


def test_a_wrong_upload_is_named_without_the_servers_folders(
    panel: TakesPanel, tmp_path: Path
) -> None:
    upload = tmp_path / "my shopping.wav"
    upload.write_text("two lemons")
    asked = GenerateRequest(prompt="a", init=str(upload))
    said = list(panel.render(asked, VISITOR))[-1][panel.status]
    assert said.startswith("**my shopping.wav: cannot be read as audio")
    assert str(tmp_path) not in said


def test_a_mistake_is_a_note_on_the_page(panel: TakesPanel) -> None:
    with pytest.raises(RequestError, match="Choose a take first"):
        panel._about("Take 7", [], VISITOR)


def test_stop_ends_all_that_a_visitor_has_running_and_nothing_else(panel: TakesPanel) -> None:
    visitors, other = panel.visitors, SimpleNamespace(username=None, session_hash="you")
    with (
        visitors.running(VISITOR) as one,
        visitors.running(VISITOR) as two,
        visitors.running(other) as third,
    ):
        visitors.stop(VISITOR)
        assert (one.is_set(), two.is_set(), third.is_set()) == (True, True, False)
    with visitors.running(VISITOR) as later:
        assert not later.is_set()


def test_a_model_that_breaks_while_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("half a file")

    monkeypatch.setattr("musicgen_ldm.pipeline.MusicLDM.from_pretrained", broken)
    engine = Engine(DemoConfig())
    engine.load("any")
    with pytest.raises(RequestError, match="could not be loaded: half a file"):
        engine.ready_model()
