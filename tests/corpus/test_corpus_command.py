"""The `corpus` verb: what it prints, draws and refuses."""

import argparse
import json
from dataclasses import replace
from importlib import resources

import pytest
import soundfile
import yaml
from PIL import Image

from musicgen_ldm.audio import Waveform
from musicgen_ldm.cli import corpus as verb
from musicgen_ldm.cli.main import main
from musicgen_ldm.corpus import sheet
from musicgen_ldm.corpus.facts import Facts
from musicgen_ldm.corpus.genre import list_genres
from musicgen_ldm.corpus.instruments import INSTRUMENTS
from musicgen_ldm.corpus.prompts import asked_of, write_prompts
from musicgen_ldm.corpus.recipe import PRESETS
from musicgen_ldm.data.manifest import Clip, Tags, write_manifest
from musicgen_ldm.data.merged_genres import merged_genre
from musicgen_ldm.errors import CorpusError, ManifestError, OutputError
from musicgen_ldm.metrics.clips import read_prompts
from musicgen_ldm.prompts import read_prompts as read_requests


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


OWN_GENRE = """
title: hamlet reel
kind: electronic
tempo: [100, 128]
modes: {minor: 1}
moods: [happy, dark]
instruments:
  bass: {synth bass: 1}
  lead: {synth lead: 1}
progressions:
  minor: ["i | VI | III | VII", "i | iv | VI | V"]
bass: ["1-1-1-1-1-1-1-1-", "1---1-8-1---5-8-", "1--1--1-1--1--5-"]
lead: ["x-x-x___x-x-x___", "x___x-x-x_______", "x-x-x-x-x_______"]
"""


def test_a_genre_of_ones_own_is_called_by_its_title(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "genres"
    folder.mkdir()
    (folder / "folk-dance.yaml").write_text(OWN_GENRE)
    monkeypatch.chdir(tmp_path)
    assert main(["corpus", "play", "1", "--genre", "genres/folk-dance.yaml"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("folk-dance-1.flac: folk-dance, ")
    assert (tmp_path / "folk-dance-1.flac").is_file()
    assert "hamlet reel" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["play", "1", "--sample-rate", "100"], "sample rate 100 Hz is outside 8000 to 48000"),
        (["play", "1", "-o", "x.wav"], "x.wav: clips are FLAC; give a name that ends in .flac"),
        (["prompts", "x", "p.jsonl", "--count", "0"], "at least one prompt, got --count 0"),
        (["prompts", "x", "p.jsonl", "--seed", "-1"], "a seed is 0 or above, got -1"),
    ],
)
def test_impossible_numbers_and_names_are_refused(options, message, capsys):
    assert main(["corpus", *options]) == 2
    assert message in capsys.readouterr().err


def test_build_counts_no_genre_where_two_are_heard(tmp_path, capsys, monkeypatch):
    clips = [clip(1, "polka"), replace(clip(2, ""), tags=Tags())]

    def built(out, *_, **__):
        write_manifest(out / "manifest.jsonl", clips)
        return out / "manifest.jsonl"

    monkeypatch.setattr("musicgen_ldm.corpus.build.build_corpus", built)
    assert main(["corpus", "build", str(tmp_path)]) == 0
    assert "2 clips, 0.00 h, 1 genres" in capsys.readouterr().out


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
    sheet.draw_sheet(tmp_path, tmp_path / "one.JPG", count=1)
    assert (tmp_path / "one.JPG").read_bytes().startswith(b"\xff\xd8")
    with pytest.raises(OutputError, match=r"one\.gif: a sheet is a \.png or \.jpg"):
        sheet.draw_sheet(tmp_path, tmp_path / "one.gif")


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


def test_sheet_that_cannot_be_written_is_an_error(tmp_path):
    soundfile.write(tmp_path / "c1.flac", [0.0] * 32_000, 16_000)
    write_manifest(tmp_path / "manifest.jsonl", [clip(1, "polka")])
    with pytest.raises(OutputError, match=r"x.png: cannot be written .* give another -o"):
        sheet.draw_sheet(tmp_path, tmp_path / "none" / "x.png")


def test_prompts_are_read_by_generate_and_evaluate(tmp_path, capsys):
    facts = {"kind": "solo", "lead": "violin", "felt_bpm": 60.0, "tempo_word": "slow"}
    tags = Tags(genre="solo-folk", mood="calm", instruments=("violin",), bpm=120.0, key="D",
                mode="dorian")  # fmt: skip
    test, train = clip(1, "solo-folk"), clip(2, "polka")
    test = replace(test, split="test", tags=tags, extra={"facts": facts})
    write_manifest(tmp_path / "manifest.jsonl", [test, train])
    out = tmp_path / "new" / "prompts.jsonl"
    command = ["corpus", "prompts", str(tmp_path), str(out), "--count", "8", "--seed", "3"]
    assert main(command) == 0
    assert "8 prompts about 1 clips" in capsys.readouterr().out
    once = out.read_text()
    records = [json.loads(line) for line in once.splitlines()]
    requests = [fields for _, fields in read_requests(out)]
    asked = read_prompts(out)
    assert [r["prompt"] for r in requests] == [p.text for p in asked.values()]
    assert [r["id"] for r in requests] == list(asked)
    for record, prompt in zip(records, asked.values(), strict=True):
        assert set(requests[0]) == {"id", "prompt"}
        assert prompt.clip == "c1"  # the training clip is not asked about
        assert prompt.key is None  # a church mode is not measured
        assert prompt.felt == record["asked"]["felt"] == 0.5
    assert any(prompt.lead == "violin" and prompt.solo for prompt in asked.values())
    assert main(command) == 0
    assert out.read_text() == once
    assert not list(out.parent.glob("*.partial"))


def test_prompts_need_clips_with_facts_and_a_place_to_go(tmp_path):
    write_manifest(tmp_path / "manifest.jsonl", [clip(1, "polka")])
    with pytest.raises(CorpusError, match="clip c1 has no facts"):
        write_prompts(tmp_path, tmp_path / "p.jsonl", count=2, seed=0)
    with pytest.raises(ManifestError, match="no such manifest"):
        write_prompts(tmp_path / "none.jsonl", tmp_path / "p.jsonl", count=2, seed=0)
    facts = {"kind": "band", "lead": "violin", "felt_bpm": 60.0, "tempo_word": "slow"}
    told = replace(clip(1, "polka"), extra={"facts": facts})
    write_manifest(tmp_path / "manifest.jsonl", [told])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_prompts(tmp_path, tmp_path / "file" / "p.jsonl", count=1, seed=0)


@pytest.mark.parametrize(
    ("prompt", "genre", "solo"),
    [
        ("some bebop", "bebop", None),
        ("a jazz tune", None, None),  # a word for many genres asks for none
        ("slow blues with a trumpet, an acoustic piano and drums", None, False),
    ],
)
def test_what_words_ask_for(prompt, genre, solo):
    asked = asked_of(prompt, Tags(genre="bebop", bpm=200.0), Facts(kind="band", lead="trumpet"))
    assert (asked["genre"], asked["solo"]) == (genre, solo)


def test_merged_genres_are_genres_of_the_corpus():
    text = resources.files("musicgen_ldm.data").joinpath("merged_genres.yaml").read_text()
    groups = yaml.safe_load(text)
    listed = [name for names in groups.values() for name in names]
    assert len(listed) == len(set(listed))
    assert set(listed) <= set(list_genres())
    assert all(merged_genre(name) == group for group, names in groups.items() for name in names)
    assert len({merged_genre(name) for name in list_genres()}) == 62
    assert merged_genre("a genre of my own") == "a genre of my own"
