"""Corpus folders: same bytes whatever the workers, resumable after a kill, honest truth."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

from musicgen_ldm.audio import Waveform, read_audio
from musicgen_ldm.corpus.build import BuildRequest, _make_and_write, build_corpus
from musicgen_ldm.corpus.clip import CROSSFADE_S, encode_flac, make_clip, silent_share
from musicgen_ldm.corpus.compose import compose
from musicgen_ldm.corpus.contrast import ATTRIBUTES, contrast_override
from musicgen_ldm.corpus.genre import load_genre
from musicgen_ldm.corpus.oneshots import OneShots
from musicgen_ldm.corpus.recipe import PRESETS, ClipPlan, plan_clips, single_plan
from musicgen_ldm.corpus.render import SoundBank
from musicgen_ldm.corpus.soundfont import SOUNDFONTS
from musicgen_ldm.data.manifest import read_manifest
from musicgen_ldm.errors import CorpusError

GENRE = """
title: test pop
kind: electronic
tempo: [100, 128]
modes: {minor: 2, major: 1}
moods: [happy, energetic, dark]
treatments: [sidechain]
instruments:
  drums: {909 drum machine: 2, 808 drum machine: 1}
  bass: {synth bass: 2, FM bass: 1}
  comp: {synth stab: 1, synth pluck: 1}
  lead: {synth lead: 1, bell synth: 1}
progressions:
  minor: ["i | VI | III | VII", "i | iv | VI | V", "i | v | VI | VII"]
  major: ["I | V | vi | IV", "vi | IV | I | V", "I | vi | IV | V"]
drums:
  - {kick: "x---x---x---x---", snare: "----x-------x---", hat: "x-x-x-x-x-x-x-x-"}
  - {kick: "x-----x-x---x---", clap: "----x-------x---", open: "--x---x---x---x-"}
  - {kick: "x---x-x-x---x---", clap: "----x-------x--x", hat: "--x---x---x---x-"}
fills:
  - {snare: "x-x-x-x-xxxxxxxx"}
  - {tom1: "x-x-----", tom2: "----x-x-", kick: "x-------"}
  - {snare: "x---x---x-x-xxxx"}
bass: ["1-1-1-1-1-1-1-1-", "1---1-8-1---5-8-", "1--1--1-1--1--5-"]
comp: ["--x---x---x---x-", "x_____x_____x___", "x--x--x-x--x--x-"]
lead: ["x-x-x___x-x-x___", "x___x-x-x_______", "x-x-x-x-x_______"]
"""


@pytest.fixture(scope="module")
def genre(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("genres") / "test-pop.yaml"
    path.write_text(GENRE)
    return str(path)


@pytest.fixture(scope="module")
def corpus(genre, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("corpus")
    build_corpus(out, BuildRequest(num_clips=6, seed=3, genres=(genre,)))
    return out


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_manifest_tells_the_truth_about_files_and_times(corpus):
    clips = list(read_manifest(corpus / "manifest.jsonl"))
    assert len(clips) == 6
    for clip in clips:
        audio = read_audio(corpus / clip.path)
        assert (audio.sample_rate, audio.seconds) == (16_000, clip.duration_s)
        assert hashlib.sha256((corpus / clip.path).read_bytes()).hexdigest() == clip.sha256
        assert silent_share(audio) < 0.3
        assert np.abs(audio.samples).max() < 1
        assert set(clip.downbeats_s) <= set(clip.beats_s)
        assert all(0 <= time < clip.duration_s for time in clip.beats_s)
        assert clip.licence == "CC0-1.0"
        assert clip.extra["ingredients"]
        assert len(set(clip.captions)) == len(clip.captions) >= 5
        if clip.tags.bpm:
            assert np.allclose(np.diff(clip.beats_s), 60 / clip.tags.bpm, atol=2e-3)
        assert set(clip.tags.instruments) <= set(clip.extra["levels_db"])


def test_train_clips_bring_captions_that_are_false_in_one_attribute(corpus):
    clips = list(read_manifest(corpus / "manifest.jsonl"))
    assert any(clip.extra["hard_negatives"] for clip in clips)
    for clip in clips:
        for pair in clip.extra["hard_negatives"]:
            assert pair["caption"] != pair["positive"]
            assert pair["changed"] in ("instrument", "tempo", "genre", "drums", "mood", "key")


def test_no_temporary_files_remain(corpus):
    assert {path.name for path in corpus.iterdir()} == {"audio", "corpus.json", "manifest.jsonl"}
    assert all(path.suffix == ".flac" for path in (corpus / "audio").iterdir())


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_do_not_change_a_byte(corpus, genre, tmp_path, workers):
    build_corpus(tmp_path, BuildRequest(num_clips=6, seed=3, genres=(genre,)), workers=workers)
    assert digests(tmp_path) == digests(corpus)


@pytest.mark.skipif(not SOUNDFONTS[0].path.is_file(), reason="needs a soundfont")
def test_workers_do_not_change_a_sampled_byte(tmp_path):
    request = BuildRequest(
        num_clips=4, seed=3, genres=("bossa-nova",), soundfonts=(SOUNDFONTS[0].path,)
    )
    for workers in (1, 2):
        build_corpus(tmp_path / str(workers), request, workers=workers)
    clips = list(read_manifest(tmp_path / "1" / "manifest.jsonl"))
    assert all(
        any(source["kind"] == "soundfont" for source in clip.extra["ingredients"]) for clip in clips
    )
    assert digests(tmp_path / "1") == digests(tmp_path / "2")


def test_longer_corpus_keeps_its_first_clips(corpus, genre, tmp_path):
    request = BuildRequest(num_clips=3, seed=3, genres=(genre,))
    build_corpus(tmp_path, request)
    first = digests(tmp_path / "audio")
    build_corpus(tmp_path, replace(request, num_clips=6))
    assert first.items() <= digests(tmp_path / "audio").items()
    assert digests(tmp_path) == digests(corpus)


def test_killed_run_goes_on_where_it_stopped(corpus, genre, tmp_path):
    out = tmp_path / "out"
    script = (
        "import sys\n"
        "from musicgen_ldm.corpus.build import BuildRequest, build_corpus\n"
        "if __name__ == '__main__':\n"
        "    request = BuildRequest(num_clips=6, seed=3, genres=(sys.argv[2],))\n"
        "    build_corpus(sys.argv[1], request)\n"
    )
    path = tmp_path / "run.py"
    path.write_text(script)
    process = subprocess.Popen([sys.executable, str(path), str(out), genre])
    log = out / "clips.log"
    deadline = time.monotonic() + 60
    while not (log.is_file() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "manifest.jsonl").exists()
    # A kill may also leave half a line and half a file.
    with log.open("a") as file:
        file.write('{"id": "train-0000')
    (out / "audio" / "train-000005.flac.partial").write_bytes(b"half")
    build_corpus(out, BuildRequest(num_clips=6, seed=3, genres=(genre,)))
    assert digests(out) == digests(corpus)


def test_ctrl_c_ends_two_workers_at_once(genre, tmp_path):
    """What was rendered is kept, and the clips that had not begun never begin."""
    out = tmp_path / "out"
    build = ["corpus", "build", str(out), "--clips", "60", "--seed", "3", "--genres", genre]
    command = [sys.executable, "-m", "musicgen_ldm", *build, "--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    log = out / "clips.log"
    deadline = time.monotonic() + 120
    while not (log.is_file() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 130
    assert said.strip().endswith("interrupted; finished files are kept")
    assert len(list((out / "audio").glob("*.flac"))) < 30


def test_folder_of_another_corpus_is_refused(corpus, genre, tmp_path):
    with pytest.raises(CorpusError, match=r"holds a corpus made otherwise.*differs in seed"):
        build_corpus(corpus, BuildRequest(num_clips=6, seed=4, genres=(genre,)))
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "mine.wav").write_bytes(b"music")
    with pytest.raises(CorpusError, match="files of something else; give an empty folder"):
        build_corpus(tmp_path, BuildRequest(num_clips=1, genres=(genre,)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("corpus.json", "{", r"corpus.json: not the settings of a corpus"),
        ("manifest.jsonl", "{}\nrubbish\n", r"manifest.jsonl:1: no record of a clip"),
        ("clips.log", "rubbish\n", r"clips.log:1: no record of a clip"),
    ],
)
def test_spoilt_files_of_a_folder_are_named(name, content, message, genre, tmp_path):
    request = BuildRequest(num_clips=1, genres=(genre,))
    settings = json.dumps(request.settings(SoundBank.open()))
    (tmp_path / "corpus.json").write_text(settings)
    (tmp_path / name).write_text(content)
    with pytest.raises(CorpusError, match=message):
        build_corpus(tmp_path, request)


def test_kernels_are_compiled_before_workers_start(genre, tmp_path, monkeypatch):
    class CompiledError(Exception):
        pass

    def compiled():
        raise CompiledError

    monkeypatch.setattr("musicgen_ldm.corpus.build.compile_kernels", compiled)
    request = BuildRequest(num_clips=2, genres=(genre,))
    with pytest.raises(CompiledError):
        build_corpus(tmp_path, request, workers=2)


def test_compiling_in_advance_leaves_workers_nothing_to_compile():
    script = (
        "from musicgen_ldm.corpus import effects, kernels\n"
        "from musicgen_ldm.corpus.clip import make_clip\n"
        "from musicgen_ldm.corpus.recipe import single_plan\n"
        "from musicgen_ldm.corpus.render import SoundBank\n"
        "from musicgen_ldm.corpus.warmup import compile_kernels\n"
        "def compiled():\n"
        "    values = (*vars(effects).values(), *vars(kernels).values())\n"
        "    return [value.signatures for value in values if hasattr(value, 'signatures')]\n"
        "compile_kernels()\n"
        "before = repr(compiled())\n"
        "for genre in ('techno', 'chiptune', 'ambient', 'synthwave', 'dub-techno'):\n"
        "    make_clip(single_plan(1, genre=genre), SoundBank.open(), sample_rate=8000)\n"
        "after = repr(compiled())\n"
        "assert after == before, (before, after)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_corpus_is_not_finished_with_another_genre_file(genre, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_bytes(Path(genre).read_bytes())
    request = BuildRequest(num_clips=1, genres=(str(file),))
    build_corpus(tmp_path / "out", request)
    file.write_bytes(file.read_bytes() + b"# slower\n")
    with pytest.raises(CorpusError, match=r"made otherwise \(differs in genre_files\)"):
        build_corpus(tmp_path / "out", request)


def test_an_order_pair_has_no_stems_and_no_empty_folder(genre, tmp_path):
    request = BuildRequest(num_clips=1, genres=(genre,), with_stems=True)
    plan = ClipPlan(id="x-a", split="train", genre="chiptune", seed=5, recipe="order",
                    other=("techno", 1))  # fmt: skip
    (tmp_path / "audio").mkdir()
    _make_and_write(plan, tmp_path, request)
    assert {path.name for path in tmp_path.iterdir()} == {"audio"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "huge"}, "'huge'; known: train, valid, test, tiny"),
        ({"sample_rate": 100}, "100 Hz is outside"),
        ({"num_clips": 0}, "at least one clip"),
        ({"seed": -1}, "0 or above"),
        ({"genres": ("polkacore",)}, "'polkacore'; `musicgen-ldm corpus list`"),
    ],
)
def test_wrong_requests_say_what_to_do(options, message, tmp_path):
    with pytest.raises(CorpusError, match=message):
        build_corpus(tmp_path, BuildRequest(**options))


def test_stems_stereo_and_midi_are_written(genre, tmp_path):
    request = BuildRequest(
        num_clips=1, seed=1, genres=(genre,), sample_rate=32_000, is_stereo=True,
        with_stems=True, with_midi=True,
    )  # fmt: skip
    build_corpus(tmp_path, request)
    (clip,) = read_manifest(tmp_path / "manifest.jsonl")
    samples, rate = soundfile.read(tmp_path / clip.path)
    assert (samples.shape[1], rate) == (2, 32_000)
    stems = {path.stem for path in (tmp_path / "stems" / clip.id).iterdir()}
    assert {name.replace(" ", "-") for name in clip.tags.instruments} <= stems
    midi = mido.MidiFile(tmp_path / "midi" / f"{clip.id}.mid")
    assert midi.length > clip.duration_s
    (tempo,) = [m.tempo for m in midi.tracks[0] if m.type == "set_tempo"]
    assert mido.tempo2bpm(tempo) == pytest.approx(clip.tags.bpm, abs=0.1)


def test_plan_is_the_same_whatever_its_length_and_splits_share_no_seed(genre):
    short, long = (plan_clips(PRESETS["train"], n, 7, (genre,)) for n in (40, 400))
    assert long[:40] == short
    assert len({plan.id for plan in long}) == 400
    test = plan_clips(PRESETS["test"], 400, 7, (genre,))
    assert not {plan.seed for plan in long} & {plan.seed for plan in test}


def test_pairs_have_two_halves_and_their_share(genre):
    plans = plan_clips(PRESETS["train"], 3000, 0, (genre, "techno"))
    shares = {r: sum(p.recipe == r for p in plans) / 3000 for r in ("contrast", "order")}
    assert shares["contrast"] == pytest.approx(0.06, abs=0.02)
    assert shares["order"] == pytest.approx(0.02, abs=0.012)
    pairs = [plan for plan in plans if plan.pair]
    assert all(plan.other[0] != plan.genre for plan in plans if plan.recipe == "order")
    assert {p.half for p in pairs} == {0, 1}
    assert all(a.seed == b.seed for a, b in zip(pairs[::2], pairs[1::2], strict=False))


BANK = SoundBank((), OneShots(None))


def test_order_pair_plays_the_same_pieces_in_both_orders():
    other = ("chiptune", 9)
    common = {"split": "train", "genre": "techno", "seed": 5, "recipe": "order", "other": other}
    one, two = (
        make_clip(ClipPlan(id=f"x-{'ab'[half]}", half=half, **common), BANK) for half in (0, 1)
    )
    first, second = (soundfile.read(io.BytesIO(made.flac))[0] for made in (one, two))
    assert len(first) == len(second) == one.clip.duration_s * 16_000
    fade = int(CROSSFADE_S * 16_000)
    length = (len(first) + fade) // 2
    # Away from the seam, the piece that opens one clip closes the other.
    np.testing.assert_array_equal(
        first[fade : length - fade], second[len(second) - length + fade : len(second) - fade]
    )
    assert [s.seed for s in one.scores] == [s.seed for s in reversed(two.scores)]
    assert one.clip.extra["pair"]["id"] == two.clip.extra["pair"]["id"]
    assert one.clip.tags.genre is None
    assert "facts" not in one.clip.extra
    told = [made.clip.extra["sequence"] for made in (one, two)]
    assert [piece["facts"] for piece in told[0]] == [piece["facts"] for piece in reversed(told[1])]
    assert [piece["start_s"] for piece in told[0]] == [0.0, pytest.approx(length / 16_000, abs=0.1)]
    assert set(one.clip.captions).isdisjoint(two.clip.captions)


def test_a_march_without_percussion_is_no_march_without_drums():
    march = compose(21, genre="march")
    override = contrast_override(march, load_genre("march"), "drums", np.random.default_rng(0))
    assert set(override) == {"instrument"}


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_contrast_changes_what_it_says_and_keeps_the_rest(attribute, genre):
    loaded = load_genre(genre)
    base = compose(21, genre=genre)
    override = contrast_override(base, loaded, attribute, np.random.default_rng(0))
    changed = compose(21, genre=genre, overrides=override)
    (key,) = override
    differs = {
        "bpm": base.bpm / changed.bpm > 1.3 or changed.bpm / base.bpm > 1.3,
        "mode": base.mode != changed.mode,
        "drums": {p.role for p in base.parts} ^ {p.role for p in changed.parts} >= {"drums"},
        "instrument": {p.instrument for p in base.parts} != {p.instrument for p in changed.parts},
    }
    assert differs[key]
    assert base.mood == changed.mood
    assert key == {"tempo": "bpm"}.get(attribute, attribute)


def test_silent_share_counts_frames():
    samples = np.zeros((1, 16_000), np.float32)
    samples[:, :4000] = 0.1
    assert silent_share(Waveform(samples, 16_000)) == pytest.approx(0.75)


def test_flac_bytes_repeat():
    noise = Waveform(np.random.default_rng(0).uniform(-0.5, 0.5, (2, 8000)), 16_000)
    assert encode_flac(noise, is_stereo=True) == encode_flac(noise, is_stereo=True)


def test_single_plan_draws_a_genre_by_seed():
    assert single_plan(4) == single_plan(4)
    assert len({single_plan(seed).genre for seed in range(40)}) > 10
    with pytest.raises(CorpusError, match="0 or above"):
        single_plan(-1)
    with pytest.raises(CorpusError, match="split is 'dev', must be one of train, valid, test"):
        single_plan(1, split="dev")


def test_settings_of_a_corpus_are_recorded(corpus):
    settings = json.loads((corpus / "corpus.json").read_text())
    assert settings["seed"] == 3
    assert settings["preset"] == "train"
    assert "soundfonts" in settings
