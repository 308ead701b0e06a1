"""The `corpus` verb: what it prints, draws and refuses."""

import argparse

import pytest
import soundfile
from PIL import Image

from musicgen_ldm.audio import Waveform
from musicgen_ldm.cli import corpus as verb
from musicgen_ldm.cli.main import main
from musicgen_ldm.corpus import sheet
from musicgen_ldm.corpus.genre import list_genres
from musicgen_ldm.corpus.instruments import INSTRUMENTS
from musicgen_ldm.corpus.recipe import PRESETS
from musicgen_ldm.data.manifest import Clip, Tags, write_manifest
from musicgen_ldm.errors import CorpusError, ManifestError


def clip(number: int, genre: str) -> Clip:
    return Clip(
        id=f"c{number}", path=f"c{number}.flac", sha256="", start_s=0.0, duration_s=2.0,
        sample_rate=16_000, captions=(f"some {genre}",), tags=Tags(genre=genre, bpm=120.0),
        beats_s=(0.5, 1.0), downbeats_s=(0.5,), split="train", licence="CC0-1.0", source="test",
        attribution="test",
    )  # fmt: skip


def test_presets_of_the_command_are_those_of_the_library():
    assert tuple(PRESETS) == verb.PRESETS


def test_list_names_every_genre_and_instrument(capsys):
    assert main(["corpus", "list"]) == 0
    printed = capsys.readouterr().out
    assert f"{len(list_genres())} genres" in printed
    for name in (*list_genres(), *INSTRUMENTS, "MuseScore_General", "CC0-1.0"):
        assert name in printed


def test_play_writes_a_clip_and_says_what_it_is(tmp_path, capsys):
    path = tmp_path / "x.flac"
    assert main(["corpus", "play", "7", "--genre", "chiptune", "-o", str(path)]) == 0
    samples, rate = soundfile.read(path)
    assert samples.shape == (451_584, 2)  # 10.24 s
    assert rate == 44_100
    printed = capsys.readouterr().out
    assert printed.startswith(f"{path}: chiptune, ")
    assert len(printed.splitlines()) == 6


def test_wrong_genre_and_missing_folder_are_told_in_one_line(tmp_path, capsys):
    assert main(["corpus", "play", "7", "--genre", "polkacore"]) == 2
    assert "'polkacore'" in capsys.readouterr().err
    assert main(["corpus", "sheet", str(tmp_path)]) == 2
    assert "no such manifest" in capsys.readouterr().err


def test_build_needs_an_action_and_a_known_preset(capsys):
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    for words in ([], ["build", "x", "--preset", "huge"]):
        with pytest.raises(SystemExit):
            parser.parse_args(words)
    assert "huge" in capsys.readouterr().err


def test_sheet_draws_one_cell_a_clip(tmp_path, rng):
    clips = [clip(i, "ab"[i % 2]) for i in range(5)]
    for one in clips:
        noise = Waveform(rng.uniform(-0.1, 0.1, (1, 32_000)), 16_000)
        soundfile.write(tmp_path / one.path, noise.samples.T, 16_000)
    write_manifest(tmp_path / "manifest.jsonl", clips)
    sheet.draw_sheet(tmp_path, tmp_path / "one.png", count=1)
    sheet.draw_sheet(tmp_path, tmp_path / "five.png")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "five.png") as five:
        assert one.size[0] == five.size[0]
        assert five.size[1] > 1.8 * one.size[1]  # a second row


def test_sheet_lets_genres_take_turns():
    clips = [clip(i, genre) for i, genre in enumerate("aaab")]
    assert [c.id for c in sheet.choose_clips(clips, 3)] == ["c0", "c3", "c1"]
    assert len(sheet.choose_clips(clips, 9)) == 4


def test_sheet_of_nothing_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="no such manifest"):
        sheet.draw_sheet(tmp_path, tmp_path / "x.png")
    write_manifest(tmp_path / "manifest.jsonl", [])
    with pytest.raises(CorpusError, match="nothing to draw"):
        sheet.draw_sheet(tmp_path, tmp_path / "x.png")
