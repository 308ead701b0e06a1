"""accelerate reads the launch files, starts what they say, and nothing in them is ignored."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType
from synthetic_clips import write_clips

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted((CONFIGS / "accelerate").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_accelerate_starts_what_a_file_says(path):
    written, read = yaml.safe_load(path.read_text()), load_config_from_file(str(path))
    for key, value in written.items():
        assert getattr(read, key) == value, key
    assert read.distributed_type == DistributedType.MULTI_GPU  # others are refused, or start one
    words = ["--config_file", str(path), "-m", "musicgen_ldm", "train"]
    args, *_ = _validate_launch_command(launch_command_parser().parse_args(words))
    assert args.multi_gpu
    assert not args.use_fsdp
    assert (args.num_processes, args.num_machines) == (
        written["num_processes"],
        written["num_machines"],
    )
    assert args.num_processes % args.num_machines == 0


@pytest.mark.slow
def test_two_launched_processes_train_as_one(tmp_path):
    manifest = write_clips(tmp_path)
    options = ["run.device=cpu", "run.trackers=[]", "max_steps=1", "run.sample_every=99"]
    train = ["-m", "musicgen_ldm", "train", str(CONFIGS / "tiny/vae.yaml"), *options]
    launch = [sys.executable, "-m", "accelerate.commands.launch"]
    launch += ["--config_file", str(CONFIGS / "accelerate/cpu.yaml"), "--main_process_port", "0"]
    for name, command in (("two", launch), ("one", [sys.executable])):
        places = [f"data.manifest={manifest}", f"run.out={tmp_path / name}", "run.micro_batch=2"]
        subprocess.run([*command, *train, *places], check=True, capture_output=True, timeout=240)
    lines = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("one", "two")]
    one, two = (json.loads(text.splitlines()[-1]) for text in lines)
    assert one == pytest.approx(two, rel=1e-5)
