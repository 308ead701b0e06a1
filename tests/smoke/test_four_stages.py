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
import torch

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


# Half a minute on one core; the rest is for machines that do other work.
@pytest.mark.timeout(300)
def test_corpus_to_music(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for stage in ("clap", "vae", "vocoder"):
        assert main(train(stage, manifest)) == 0
    kill_once_saved(train("ldm", manifest))
    assert main(train("ldm", manifest, "--resume")) == 0
    assert main(train("ldm", manifest, "run.out=whole", "cache.folder=afresh")) == 0
    assert_same_run(Path("runs/tiny/ldm"), Path("whole"), last_step=12)
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
    parts = ["--clap", "made", "--vae", "made", "--vocoder", "made", "--ldm", "tuned"]
    assert main(["assemble", "mixed", *parts]) == 0
    made, tuned, mixed = (
        json.loads(Path(folder, "musicgen_ldm.json").read_text())
        for folder in ("made", "tuned", "mixed")
    )
    assert mixed["files"] == tuned["files"]
    assert {k: mixed[k] for k in ("base", "data", "training", "mel_ceiling")} == {
        k: tuned[k] for k in ("base", "data", "training", "mel_ceiling")
    }
    assert tuned["base"] == {"name": "made", "data": made["data"]}
    assert tuned["training"]["vae"] == made["training"]["vae"]
    assert tuned["training"]["ldm"]["steps"] == 1
    card = Path("tuned", "README.md").read_text()
    assert "It started from `made`, trained on" in card
    assert "licences: CC0-1.0 (" in card
    assert re.search(r"\| ldm \| \d+\.\d M \| 1 \| 0 \| .*loss_audio", card)


def kill_once_saved(arguments: list[str]) -> None:
    """Start a run in a process of its own and kill it as soon as it has a checkpoint."""
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-m", "musicgen_ldm", *arguments]
    run = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    run_folder = Path("runs/tiny/ldm")
    while run.poll() is None and not list(run_folder.glob("checkpoints/step-*[0-9]")):
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL, "the run ended before it was killed"
    assert not (run_folder / "export").exists()


def assert_same_run(resumed: Path, whole: Path, last_step: int) -> None:
    """Every logged number, the weights and their averages agree to the last bit."""
    metrics = (whole / "metrics.jsonl").read_bytes()
    assert (resumed / "metrics.jsonl").read_bytes() == metrics
    assert json.loads(metrics.splitlines()[-1])["step"] == last_step
    for file in ("unet.safetensors", "ema-unet.safetensors"):
        last = Path("checkpoints", f"step-{last_step:08d}", file)
        assert (resumed / last).read_bytes() == (whole / last).read_bytes(), file
    exported = Path("export/unet/diffusion_pytorch_model.safetensors")
    assert (resumed / exported).read_bytes() == (whole / exported).read_bytes()
