"""What importers and shells may rely on: public names, a light import, a light `--help`."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import musicgen_ldm

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "diffusers", "accelerate", "librosa", "scipy", "gradio")

PUBLIC = ["GenerateRequest", "MusicGenError", "MusicLDM", "Take", "Waveform", "read_audio"]


def test_public_names_are_pinned():
    assert musicgen_ldm.__all__ == PUBLIC


def test_public_names_are_what_is_visible():
    visible = [name for name in dir(musicgen_ldm) if not name.startswith("_")]
    assert visible == sorted(musicgen_ldm.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_exist_and_are_documented(name):
    assert inspect.getdoc(getattr(musicgen_ldm, name))


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = musicgen_ldm.nothing


def loaded_heavy_modules(statement: str) -> str:
    report = f"import sys; print([name for name in {HEAVY} if name in sys.modules])"
    code = f"try:\n    {statement}\nexcept SystemExit:\n    pass\nfinally:\n    {report}"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return result.stdout.splitlines()[-1]


def test_import_is_light():
    assert loaded_heavy_modules("import musicgen_ldm") == "[]"


def test_help_is_light():
    help_call = "from musicgen_ldm.cli.main import main; main(['--help'])"
    assert loaded_heavy_modules(help_call) == "[]"


def test_the_page_needs_no_torch():
    """It opens while the model's libraries are still being imported."""
    build = (
        "from musicgen_ldm.ui.serve import DemoConfig, Engine, build_page;"
        " build_page(Engine(DemoConfig()))"
    )
    assert loaded_heavy_modules(build) == "['gradio']"


def test_changelog_has_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(.+?)\]", changelog, re.M)
    assert versions[0] == musicgen_ldm.__version__
    assert "### Changes results" in changelog
