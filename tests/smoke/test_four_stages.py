"""From nothing to music: corpus, four stages, a kill, a resume, a checkpoint, a file."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from musicgen_ldm.cli.main import main
from musicgen_ldm.provenance import read_record

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "tiny"


def train(stage: str, manifest: Path, *options: str) -> list[str]:
    return ["train", str(CONFIGS / f"{stage}.yaml"), f"data.manifest={manifest}", *options]


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Genres of our own synthesis need no soundfont."""
    monkeypatch.chdir(tmp_path)
    build = ["corpus", "build", "--genres", "techno", "chiptune", "--seed"]
    assert main([*build, "1", "train", "--clips", "8"]) == 0
    assert main([*build, "2", "valid", "--preset", "valid", "--clips", "4"]) == 0
    assert main(["corpus", "join", "all.jsonl", "train", "valid"]) == 0
    return tmp_path / "all.jsonl"


def test_corpus_to_music(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for stage in ("clap", "vae", "vocoder"):
        assert main(train(stage, manifest)) == 0
    kill_once_saved(train("ldm", manifest))
    assert main(train("ldm", manifest, "--resume")) == 0
    lines = [
        json.loads(line) for line in Path("runs/tiny/ldm/metrics.jsonl").read_text().splitlines()
    ]
    assert lines[-1]["step"] == 12
    for stage in ("clap", "vae", "vocoder", "ldm"):
        assert (Path("runs/tiny") / stage / "report.html").is_file()
    runs = [f for s in ("clap", "vae", "vocoder", "ldm") for f in (f"--{s}", f"runs/tiny/{s}")]
    assert main(["assemble", "made", *runs, "--steps", "3", "--bridge", "ridge"]) == 0
    capsys.readouterr()
    assert main(["info", "made", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verified"] == "yes"
    assert report["defaults"]["steps"] == 3
    assert set(report["bridges"]) == {"none", "shift", "memory", "ridge"}
    request = ["generate", "fast techno", "--checkpoint", "made", "--seconds", "2", "-o", "a.wav"]
    assert main(request) == 0
    assert read_record("a.wav")["checkpoint"]["name"] == "made"
    train_on_from_the_checkpoint(manifest)


def train_on_from_the_checkpoint(manifest: Path) -> None:
    """What becomes of it names the music that both have heard."""
    parts = [f"components.{part}=made" for part in ("clap", "vae", "vocoder", "unet")]
    assert main(train("ldm", manifest, *parts, "max_steps=1", "run.out=runs/tiny/tuned")) == 0
    runs = ["--clap", "made", "--vae", "made", "--vocoder", "made", "--ldm", "runs/tiny/tuned"]
    assert main(["assemble", "tuned", *runs]) == 0
    made, tuned = (
        json.loads(Path(folder, "musicgen_ldm.json").read_text()) for folder in ("made", "tuned")
    )
    assert tuned["base"] == {"name": "made", "data": made["data"]}
    assert tuned["training"]["vae"] == made["training"]["vae"]
    assert tuned["training"]["ldm"]["steps"] == 1
    card = Path("tuned", "README.md").read_text()
    assert "It started from `made`, trained on" in card
    assert "licences: CC0-1.0 (" in card
    assert re.search(r"\| ldm \| \d+\.\d M \| 1 \| 0 \| .*loss_audio", card)


def kill_once_saved(arguments: list[str]) -> None:
    """Start a run in a process of its own and kill it as soon as it has a checkpoint."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "musicgen_ldm", *arguments]
    run = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    checkpoints = Path("runs/tiny/ldm/checkpoints")
    while run.poll() is None and not list(checkpoints.glob("step-*[0-9]")):
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert list(checkpoints.glob("step-*[0-9]"))
