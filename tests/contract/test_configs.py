"""Every file in configs/ is a valid configuration and says what it is.

Those in configs/accelerate/ are accelerate's: tests/training/test_launch_files.py reads them.
"""

from pathlib import Path

import pytest

from musicgen_ldm.training.stages import load_stage_config

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
STAGES = [path for path in FILES if path.parent.name != "accelerate"]


def test_there_are_files():
    assert len(FILES) > len(STAGES) > 0


@pytest.mark.parametrize("path", STAGES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_parses(path):
    assert load_stage_config(path, []).max_steps >= 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_begins_with_a_comment(path):
    assert path.read_text(encoding="utf-8").startswith("# ")
