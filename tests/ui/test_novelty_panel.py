"""Does a take copy: the threshold, the verdict, and the sound of the nearest training clips."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile

from musicgen_ldm import GenerateRequest
from musicgen_ldm.bank import build
from musicgen_ldm.config.demo import DemoConfig
from musicgen_ldm.errors import RequestError
from musicgen_ldm.ui.engine import Engine
from musicgen_ldm.ui.novelty import NoveltyPanel, training_clip, verdict

RATE = 16_000
CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
FAST = {"sampler": "dpm++", "steps": 1, "guidance": 1.0}
# Sounds of random weights may have no pitch.
pytestmark = pytest.mark.filterwarnings("ignore:Trying to estimate tuning")


def entry(name: str, **more: Any) -> dict[str, Any]:
    known = {"captions": ["a | b"], "licence": "CC0-1.0", "source": "x", "attribution": None}
    return {"id": name} | known | more


@pytest.fixture
def clip(tmp_path: Path) -> dict[str, Any]:
    """Second two to four of a file whose samples tell the second they belong to."""
    path = tmp_path / "audio" / "steps.wav"
    path.parent.mkdir()
    soundfile.write(path, np.repeat([0.0, 0.1, 0.2, 0.3, 0.4], RATE), RATE)
    digest = sha256(path.read_bytes()).hexdigest()
    return entry("steps", path="audio/steps.wav", sha256=digest, start_s=2.0, duration_s=2.0)


def test_the_verdict_is_a_sentence() -> None:
    assert "nothing can be compared" in verdict({"nearest": []})
    record = {"nearest": [entry("c", similarity=0.93)]}
    limit = {"similarity": 0.90, "is_calibrated": False}
    published = verdict(record | {"novelty_threshold": limit})
    assert published.startswith("**Listen and judge.**")
    assert "the published 0.90" in published
    assert "| 0.93 | a / b | CC0-1.0 | unknown |" in published
    assert verdict(record) == published  # a record from before there were thresholds
    limit = {"similarity": 0.95, "is_calibrated": True}
    calibrated = verdict(record | {"novelty_threshold": limit})
    assert calibrated.startswith("**No sign of it.** The nearest training clip has a similarity")
    assert "0.95: one training clip in ten" in calibrated


def test_the_part_of_the_file_that_was_trained_on_is_played(
    clip: dict[str, Any], tmp_path: Path
) -> None:
    sound = training_clip(clip, tmp_path)
    assert sound.seconds == 2
    np.testing.assert_allclose(sound.mono[[0, -1]], [0.2, 0.3], atol=1e-3)


def test_no_other_file_of_the_machine_is_played(clip: dict[str, Any], tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    stranger = clip | {"path": "../audio/steps.wav", "sha256": "0" * 64}
    with pytest.raises(RequestError, match="steps is not on this machine"):
        training_clip(stranger, inside)
    with pytest.raises(RequestError, match="not on this machine"):
        training_clip(clip, inside)
    with pytest.raises(RequestError, match="not on this machine"):
        training_clip(entry("bare", seed=1, genre="../genre.yaml", split="train"), inside)


def test_a_piece_that_cannot_be_composed_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no-such piece cannot be composed again here: no genre"):
        training_clip(entry("c", seed=1, genre="no-such", split="train"), tmp_path)


def test_what_is_missing_for_a_piece_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an environment without the sampler."""
    (tmp_path / "tinysoundfont.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RequestError) as refused:
        training_clip(entry("c", seed=1, genre="bossa-nova", split="train"), tmp_path)
    assert str(refused.value) == (
        "The bossa-nova piece is composed again here as soon as who runs this page has run "
        "`pip install --no-deps tinysoundfont`."
    )


def test_half_of_a_pair_says_why_it_is_not_composed(tmp_path: Path) -> None:
    """Of 5,250 clips that the embedded checkpoint knows 421 are of pairs and have no seed."""
    rows = (CHECKPOINTS / "pocket" / "novelty" / "shard-000000.jsonl").read_text().splitlines()
    bare = [clip for clip in map(json.loads, rows) if "seed" not in clip]
    assert {clip["id"][-2:] for clip in bare} == {"-a", "-b"}
    with pytest.raises(RequestError, match=r"-[ab] is half of a pair that was composed together"):
        training_clip(bare[0], tmp_path)


@pytest.mark.slow
def test_a_piece_of_the_corpus_is_composed_again(tmp_path: Path) -> None:
    from musicgen_ldm.corpus.clip import make_clip
    from musicgen_ldm.corpus.recipe import single_plan
    from musicgen_ldm.corpus.render import SoundBank

    made = make_clip(
        single_plan(7, genre="techno"), SoundBank.open(), sample_rate=44_100, is_stereo=True
    )
    (tmp_path / "made.flac").write_bytes(made.flac)
    expected, _ = soundfile.read(tmp_path / "made.flac", dtype="float32")
    sound = training_clip(entry("c", seed=7, genre="techno", split="train"), tmp_path)
    np.testing.assert_array_equal(sound.samples.T, expected)


def test_clips_near_a_take_are_played_beside_it(
    clip: dict[str, Any], tiny_folder: Path, tmp_path: Path, built: Callable
) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "with-bank"))
    rows = [(np.ones(32), clip), (-np.ones(32), entry("elsewhere"))]
    build(folder / "novelty", rows, embedder="clap-tiny", identity="x", dim=32)
    engine = Engine(DemoConfig(train_audio=tmp_path, device="cpu"))
    engine.load(str(folder))
    request = GenerateRequest(prompt="slow piano", seconds=0.6, sampling=FAST)
    record = engine.ready_model().generate(request)[0].record

    def make() -> NoveltyPanel:
        with gr.Blocks():
            return NoveltyPanel(engine)

    panel = built(make)
    shown = panel.show(record)
    assert "| CC0-1.0 |" in shown[panel.verdict]
    assert shown[panel.listen]["visible"]
    updates: dict[Any, Any] = {}
    for update in panel.play(record):
        updates |= update
    assert "elsewhere is not on this machine" in updates[panel.note]
    players = [updates[player] for player in panel.players if player in updates]
    (rate, samples), label = players[0]["value"], players[0]["label"]
    assert len(players) == 1
    assert (rate, samples.shape) == (RATE, (2 * RATE, 1))
    assert label.endswith(": a / b")
