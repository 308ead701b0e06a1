"""Every file in configs/ is a valid configuration and says what it is."""

from pathlib import Path

import pytest

from musicgen_ldm.training.stages import load_stage_config

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))


def test_there_are_files():
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_parses(path):
    assert load_stage_config(path, []).max_steps >= 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_begins_with_a_comment(path):
    assert path.read_text(encoding="utf-8").startswith("# ")
