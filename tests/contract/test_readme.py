"""README: every command parses, every marked block runs, every link leads somewhere."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from musicgen_ldm.checkpoint import save
from musicgen_ldm.cli.main import build_parser, main
from musicgen_ldm.config.generation import SamplingConfig

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

# ```bash or ```python, right after a line `<!-- tested -->`: executed in an empty folder
TESTED = re.compile(r"<!-- tested -->\n```(bash|python)\n(.*?)```", re.S)
BASH = re.compile(r"```bash\n(.*?)```", re.S)


def commands() -> list[str]:
    lines = [
        line
        for block in BASH.findall(README)
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    assert lines
    return lines


def words(command: str) -> list[str]:
    return shlex.split(command, comments=True)


def verb_calls() -> list[list[str]]:
    """Arguments of every `musicgen-ldm ...` and `python -m musicgen_ldm ...` in the README."""
    calls = [re.split(r"(?:^|\s)(?:musicgen-ldm|-m musicgen_ldm)\s", line) for line in commands()]
    return [words(call[1]) for call in calls if len(call) == 2]


@pytest.mark.parametrize("arguments", verb_calls(), ids=" ".join)
def test_commands_parse(arguments):
    assert build_parser().parse_args(arguments).verb == arguments[0]


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):", makefile, re.M)
    named = [words(line)[1] for line in commands() if line.startswith("make ")]
    assert {"music", "test"} <= set(named) <= set(targets)


@pytest.fixture(scope="session")
def shelf(tiny_checkpoint, tmp_path_factory) -> Path:
    """A folder of checkpoints whose `pocket` is tiny and quick: the commands are tested here."""
    folder = tmp_path_factory.mktemp("shelf")
    quick = replace(tiny_checkpoint, sampling=SamplingConfig(steps=2))
    save(quick, folder / "pocket")
    return folder


@pytest.mark.parametrize("checkpoints", ["tiny", pytest.param("real", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("language", "block"), TESTED.findall(README), ids=["bash", "python"])
def test_marked_blocks_run(language, block, checkpoints, shelf, tmp_path, monkeypatch, capsys):
    """In this process: starting Python anew for every line would take minutes."""
    monkeypatch.chdir(tmp_path)
    folder = shelf if checkpoints == "tiny" else ROOT / "checkpoints"
    monkeypatch.setenv("MUSICGEN_LDM_CHECKPOINTS", str(folder))
    if language == "python":
        exec(compile(block, "README.md", "exec"), {})
        return
    for line in block.splitlines():
        program, *arguments = words(line)
        assert program == "musicgen-ldm"
        assert main(arguments) == 0, f"{line}\n{capsys.readouterr().err}"


def test_named_configurations_exist():
    named = set(re.findall(r"configs/[\w/-]+\.yaml", README))
    assert named
    assert not [name for name in named if not (ROOT / name).is_file()]


def test_relative_links_lead_somewhere():
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", README)
    assert not [target for target in targets if not (ROOT / target).exists()]


def test_length():
    assert len(README.splitlines()) <= 250
