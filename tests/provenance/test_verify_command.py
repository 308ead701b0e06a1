"""`musicgen-ldm verify`: exit codes, sentences and JSON lines."""

import argparse
import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from musicgen_ldm.audio import Waveform
from musicgen_ldm.cli import verify as command
from musicgen_ldm.provenance import write_audio


def run(*argv: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(value) for value in argv]))


@pytest.fixture
def ours(tmp_path):
    noise = Waveform(0.1 * np.random.default_rng(0).standard_normal(4000), 16_000)
    return write_audio(noise, tmp_path / "ours.flac", record={"prompt": "soft piano"})


@pytest.fixture
def foreign(tmp_path):
    soundfile.write(tmp_path / "foreign.wav", np.zeros(4000), 16_000)
    return tmp_path / "foreign.wav"


def test_ours(ours, capsys):
    assert run(ours) == 0
    assert "made by musicgen_ldm" in (out := capsys.readouterr().out)
    assert "soft piano" in out


def test_foreign(ours, foreign, capsys):
    assert run(ours, foreign) == 1
    assert "not made by musicgen_ldm" in capsys.readouterr().out


def test_unreadable_does_not_stop_the_others(ours, tmp_path, capsys):
    assert run(tmp_path / "missing.wav", ours) == 2
    captured = capsys.readouterr()
    assert "error: " in captured.err
    assert "unchanged" in captured.out


def test_json_prints_one_object_a_line(ours, foreign, tmp_path, capsys):
    assert run("--json", ours, foreign, tmp_path / "missing.wav") == 2
    first, second, third = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["made_by_us"], first["intact"]) == (True, True)
    assert first["record"]["prompt"] == "soft piano"
    assert second["record"] is None
    assert "No such file" in third["error"]


def test_a_reader_that_leaves_early_is_no_error():
    names = " ".join(["missing.wav"] * 2_000)
    script = f"{sys.executable} -m musicgen_ldm verify --json {names} | head -n 1; "
    script += 'echo "${PIPESTATUS[0]}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "141"
    assert done.stderr == ""
