"""Workers of a launch on CPUs share the work, and come to the same results."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAUNCH = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
SCRIPT = """
import json, pathlib, sys
from musicgen_ldm.parallel import workers

found = workers()
part = found.share(list(range(5)))
pathlib.Path(sys.argv[1], f"{part[0]}.json").write_text(json.dumps([part, found.is_main]))
found.wait()
"""


def launched(*words):
    # Threads may add in another order; launched processes have one each.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, check=True,
                   capture_output=True, timeout=240)  # fmt: skip


def test_processes_of_one_launch_split_the_files(tmp_path):
    script = tmp_path / "share.py"
    script.write_text(SCRIPT)
    launched(*LAUNCH, script, tmp_path)
    parts = sorted(json.loads(path.read_text()) for path in tmp_path.glob("*.json"))
    assert parts == [[[0, 2, 4], True], [[1, 3], False]]


def test_one_and_two_processes_write_the_same_bytes(audio, tiny_folder, tmp_path):
    verb = ("-m", "musicgen_ldm", "evaluate", "--gen", audio / "gen", "--ref", audio / "ref",
            "--prompts", audio / "prompts.jsonl", "--embedder", f"logmel,clap:{tiny_folder}",
            "--metrics", "fad,kad,clap,health")  # fmt: skip
    for name, launch in (("one", ()), ("two", LAUNCH)):
        launched(*launch, *verb, "--cache", tmp_path / f"cache {name}", "--out", tmp_path / name)
    for file in ("results.json", "per_clip.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
