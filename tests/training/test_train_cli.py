"""The command as an engineer types it, on the tiny configurations that are shipped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from synthetic_clips import write_clips
from tiny_music import write_tiny_music

from musicgen_ldm.cli import train as verb
from musicgen_ldm.cli.main import main
from musicgen_ldm.errors import ConfigError
from musicgen_ldm.training.run_folder import read_metrics
from musicgen_ldm.training.stages import STAGES, load_stage_config

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"))


def command(config, manifest, out, *words):
    return ["train", str(CONFIGS / config), f"data.manifest={manifest}", "--out", str(out), *words]


@pytest.mark.parametrize(
    "path",
    sorted(p for p in CONFIGS.rglob("*.yaml") if p.parent.name != "accelerate"),
    ids=lambda p: f"{p.parent.name}/{p.stem}",
)
def test_every_shipped_configuration_is_valid(path):
    assert path.read_text().startswith("# ")  # what run, which data
    assert load_stage_config(path).stage in STAGES


def test_dry_run_shows_configuration_sizes_memory_and_shapes(manifest, tmp_path, capsys):
    assert main(command("tiny/vae.yaml", manifest, tmp_path, "optim.lr=3e-5", "--dry-run")) == 0
    shown = capsys.readouterr().out
    for part in ("lr: 3.0e-05", "vae: 0.05 M parameters, trained", "activations of 4 clips",
                 "waveform: (4, 10240) torch.float32", "clips: 8 to train on"):  # fmt: skip
        assert part in shown
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("weight", [0, 1])
def test_a_dry_run_shows_what_is_nested_in_a_batch(tmp_path, capsys, weight):
    words = command("tiny/clap.yaml", write_tiny_music(tmp_path), tmp_path / "run", "--dry-run")
    assert main([*words, f"facts_weight={weight}"]) == 0
    shown = capsys.readouterr().out.split("first batch")[1]
    assert "mel: (4, 1, " in shown
    facts = "bpm (4, 2) torch.float32, genre (4, 2) torch.float32" if weight else "none"
    assert f"  facts: {facts}" in shown
    assert max(map(len, shown.splitlines())) < 200  # a clip is shown by its beginning


def test_allowed_licences_filter_the_clips(manifest, tmp_path, capsys):
    words = command("tiny/vae.yaml", manifest, tmp_path, "--dry-run")
    allow = ["--allow-licence", "CC0-1.0", "--allow-licence", "CC-BY-4.0"]
    assert main([*words, *allow]) == 0
    config = capsys.readouterr().out.split("networks")[0]
    assert yaml.safe_load(config)["data"]["licences"] == ["CC0-1.0", "CC-BY-4.0"]
    assert main([*words, "--allow-licence", "Apache, 2.0"]) == 2
    refusal = capsys.readouterr().err
    assert "has a licence of data.licences=['Apache, 2.0']; present: CC0-1.0 (8)" in refusal


def test_mistakes_are_one_line_and_exit_code_2(manifest, tmp_path, capsys):
    assert main(command("tiny/vae.yaml", manifest, tmp_path, "kl_wieght=1")) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: command line (kl_wieght=1): kl_wieght is not a field of")
    assert "kl_weight" in message
    assert message.count("\n") == 1
    assert main(command("tiny/vae.yaml", tmp_path / "none.jsonl", tmp_path)) == 2
    assert "none.jsonl does not exist; `musicgen-ldm corpus build`" in capsys.readouterr().err


def test_an_unknown_stage_or_preset_is_named(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("stage: vea")
    with pytest.raises(ConfigError, match="stage='vea' must be one of clap, vae, vocoder, ldm"):
        load_stage_config(path)
    path.write_text("stage: vae\npreset: huge")
    with pytest.raises(ConfigError, match=r"x.yaml:2: preset='huge' must be one of musicldm"):
        load_stage_config(path)


def test_the_preset_gives_the_model_and_the_file_changes_single_numbers(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("stage: vae\npreset: pocket\nmodel: {vae: {latent_channels: 5}}")
    model = load_stage_config(path).model
    assert model.vae.latent_channels == 5
    assert model.vae.block_channels == (32, 64, 128, 128)


def test_help_loads_no_torch():
    code = "import sys, musicgen_ldm.cli.train; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert verb.HELP


def weights(out, step):
    folder = out / "checkpoints" / f"step-{step:08d}"
    return {path.name: load_file(path) for path in folder.glob("*.safetensors")}


def launch(arguments, *, launcher=("-m",)):
    words = [sys.executable, *launcher, "musicgen_ldm", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_kill_9_and_the_same_command_with_resume(manifest, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert launch(command("tiny/vae.yaml", manifest, whole)).wait() == 0
    process = launch(command("tiny/vae.yaml", manifest, cut))
    while not (cut / "checkpoints" / "step-00000008").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert launch(command("tiny/vae.yaml", manifest, cut, "--resume")).wait() == 0
    assert read_metrics(whole / "metrics.jsonl") == read_metrics(cut / "metrics.jsonl")
    for name, tensors in weights(whole, 12).items():
        for key, value in tensors.items():
            assert torch.equal(value, weights(cut, 12)[name][key]), key


@pytest.mark.slow
def test_two_launched_processes_equal_one(manifest, tmp_path):
    """Until the discriminator joins, which moves between the micro-batches of one process."""
    words = ("max_steps=4", "run.micro_batch=1")
    one, two = tmp_path / "one", tmp_path / "two"
    assert launch(command("tiny/vae.yaml", manifest, one, *words)).wait() == 0
    # Not by `accelerate launch --cpu --num_processes=2`, which starts one process.
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m")
    assert launch(command("tiny/vae.yaml", manifest, two, *words), launcher=launcher).wait() == 0
    for key, value in weights(one, 4)["vae.safetensors"].items():
        other = weights(two, 4)["vae.safetensors"][key]
        torch.testing.assert_close(other, value, rtol=0, atol=1e-4)
