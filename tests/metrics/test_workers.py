"""Workers of a launch on CPUs share the work."""

import json
import subprocess
import sys

SCRIPT = """
import json, pathlib, sys
from musicgen_ldm.parallel import workers

found = workers()
part = found.share(list(range(5)))
pathlib.Path(sys.argv[1], f"{part[0]}.json").write_text(json.dumps([part, found.is_main]))
found.wait()
"""


def test_processes_of_one_launch_split_the_files(tmp_path):
    script = tmp_path / "share.py"
    script.write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    subprocess.run([*launch, script, tmp_path], check=True, capture_output=True, timeout=240)
    parts = sorted(json.loads(path.read_text()) for path in tmp_path.glob("*.json"))
    assert parts == [[[0, 2, 4], True], [[1, 3], False]]
