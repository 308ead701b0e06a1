import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, song
from webdataset.tariterators import group_by_keys, tar_file_expander

from musicgen_ldm.audio import Waveform, read_audio
from musicgen_ldm.beats import Beats, get_tracker
from musicgen_ldm.cli import prepare as verb
from musicgen_ldm.config.prepare import PrepareConfig
from musicgen_ldm.config.training import DataConfig
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.manifest import read_manifest
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.errors import AudioError, ConfigError, OutputError
from musicgen_ldm.prepare import collection, examine, prepare
from musicgen_ldm.prepare.build import assign_splits
from musicgen_ldm.prepare.track import Track, clip_spans, examine_track, track_in_windows

CONFIG = PrepareConfig(tracker="librosa", clip_seconds=3.0, min_seconds=2.0, licence="CC0-1.0")


def problems(findings) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in findings:
        found.setdefault(os.path.basename(finding.path), []).append(finding.problem)
    return found


def test_doctor_names_every_illness(write, music):
    write("fine.wav", 1).with_suffix(".txt").write_text("clicks and tones")
    write("copy.wav", 1)
    write("softer.flac", song(1) * 0.5)
    write("silent.wav", np.zeros(RATE * 4))
    write("half.wav", np.concatenate([song(2), np.zeros(RATE * 3)]))
    write("short.wav", song(3, seconds=1.5))
    write("clipped.wav", np.clip(song(4) * 30, -1, 1))
    write("low.wav", song(5, rate=8_000), 8_000)
    (music / "broken.mp3").write_bytes(b"this is no music" * 100)
    write("sidecar.wav", 6).with_suffix(".json").write_text("{")
    _, findings = examine(music, PrepareConfig(clip_seconds=3.0, min_seconds=2.0))
    found = problems(findings)
    assert found.pop("broken.mp3")[0] == "unreadable"
    assert found.pop("fine.wav") == ["duplicate"]  # copy.wav sorts before it
    assert found.pop("softer.flac")[0] == "near-duplicate"
    for name, problem in {
        "silent.wav": "silent",
        "half.wav": "silent-parts",
        "short.wav": "too-short",
        "clipped.wav": "clipped",
        "low.wav": "low-rate",
        "sidecar.wav": "bad-sidecar",
    }.items():
        assert found[name][0] == problem
    assert found["copy.wav"] == ["uncaptioned", "unlicensed"]
    assert all(finding.remedy and finding.detail for finding in findings)


def test_manifest_of_a_folder(write, music, tmp_path):
    write("a song.wav", 1).with_suffix(".txt").write_text("clicks")
    write("b.flac", song(2, rate=44_100), 44_100)
    write("copy.wav", 1)
    prepared = prepare(music, tmp_path / "out", CONFIG)
    clips = list(read_manifest(prepared.manifest))
    assert clips == list(prepared.clips)
    assert [(clip.start_s, clip.duration_s) for clip in clips] == [(0.0, 3.0), (3.0, 3.0)] * 2
    assert clips[0].captions == ("clicks",)
    assert clips[0].id.startswith("a-song-")
    assert {clip.licence for clip in clips} == {"CC0-1.0"}
    assert all(0 <= beat < clip.duration_s for clip in clips for beat in clip.beats_s)
    assert all(set(clip.downbeats_s) <= set(clip.beats_s) for clip in clips)
    assert clips[2].extra["measured"]["bpm"] == pytest.approx(120, rel=0.02)
    for clip in clips:
        beats = get_tracker("librosa")(read_audio(music / Path(clip.path).name, sample_rate=RATE))
        assert clip.beats_confidence == pytest.approx(beats.confidence, abs=0.01)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["clips"] == 4
    assert report["licences"] == {"CC0-1.0": 4}
    assert [f["problem"] for f in report["findings"]] == ["uncaptioned", "duplicate"]


def test_stated_tempo_and_key_win_over_measured_ones(write, music, tmp_path):
    path = write("a.wav", 1)
    path.with_suffix(".json").write_text(json.dumps({"bpm": 60, "key": "Eb"}))
    clip = prepare(music, tmp_path / "out", CONFIG).clips[0]
    assert (clip.tags.bpm, clip.tags.key, clip.tags.mode) == (60.0, "Eb", "major")
    assert clip.extra["measured"]["bpm"] == pytest.approx(120, rel=0.02)


@pytest.mark.slow  # a spawned process imports everything again
def test_two_workers_find_what_one_finds(write, music):
    for number in range(3):
        write(f"{number}.wav", number)
    one, two = (collection.survey(music, CONFIG, workers=workers) for workers in (1, 2))
    assert one == two
    assert [os.path.basename(track.path) for track in two.tracks] == ["0.wav", "1.wav", "2.wav"]


def test_a_killed_run_goes_on_and_measures_nothing_twice(write, music, tmp_path, monkeypatch):
    for number in range(3):
        write(f"{number}.wav", number)
    whole = prepare(music, tmp_path / "whole", CONFIG).manifest.read_bytes()
    measured = []

    def dies_at_third(path, *args, **options):
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(path.name)
        return examine_track(path, *args, **options)

    monkeypatch.setattr(collection, "examine_track", dies_at_third)
    with pytest.raises(KeyboardInterrupt):
        prepare(music, tmp_path / "out", CONFIG)
    assert not (tmp_path / "out" / "manifest.jsonl").exists()
    monkeypatch.setattr(
        collection,
        "examine_track",
        lambda path, *args, **options: (
            measured.append(path.name) or examine_track(path, *args, **options)
        ),
    )
    assert prepare(music, tmp_path / "out", CONFIG).manifest.read_bytes() == whole
    assert measured == ["0.wav", "1.wav", "2.wav"]


def test_new_captions_are_read_without_measuring_again(write, music, tmp_path, monkeypatch):
    path = write("a.wav", 1)
    prepare(music, tmp_path / "out", CONFIG)
    path.with_suffix(".txt").write_text("now with words")
    monkeypatch.setattr(collection, "examine_track", None)
    assert prepare(music, tmp_path / "out", CONFIG).clips[0].captions == ("now with words",)


def test_other_clip_lengths_are_measured_afresh(write, music, tmp_path):
    write("a.wav", 1)
    prepare(music, tmp_path / "out", CONFIG)
    longer = PrepareConfig(tracker="librosa", clip_seconds=6.0, min_seconds=2.0)
    assert [c.duration_s for c in prepare(music, tmp_path / "out", longer).clips] == [6.0]


def test_foreign_manifests_and_empty_results_are_refused(write, music, tmp_path):
    write("a.wav", np.zeros(RATE * 4))
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "manifest.jsonl").write_text("")
    with pytest.raises(OutputError, match="was not written by prepare"):
        prepare(music, tmp_path / "foreign", CONFIG)
    with pytest.raises(AudioError, match=r"none of its 1 audio files can be used; .* --check"):
        prepare(music, tmp_path / "out", CONFIG)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        prepare(music, tmp_path / "file", CONFIG)


def hashes(count: int) -> list[str]:
    return [np.random.default_rng(n).bytes(32).hex() for n in range(count)]


def test_splits_follow_the_hash_alone():
    few, many = assign_splits(hashes(400), CONFIG), assign_splits(hashes(2_000), CONFIG)
    assert few == {digest: many[digest] for digest in few}
    shares = [list(many.values()).count(split) / 2_000 for split in ("valid", "test")]
    assert shares == pytest.approx([0.05, 0.05], abs=0.015)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_few_tracks_still_train_and_validate(count):
    for start in range(40):
        splits = set(assign_splits(hashes(60)[start : start + count], CONFIG).values())
        assert "train" in splits
        assert count == 1 or "valid" in splits


def test_clips_cover_a_track_and_drop_a_short_rest():
    assert clip_spans(10.0, CONFIG) == [(0.0, 3.0), (3.0, 3.0), (6.0, 3.0)]
    assert clip_spans(8.0, CONFIG) == [(0.0, 3.0), (3.0, 3.0), (6.0, 2.0)]
    assert clip_spans(1.9, CONFIG) == []


def test_windows_find_the_beats_of_a_long_track_once():
    class Every:
        """A tracker that reports a beat at each half second of what it hears."""

        name = "every"

        def __call__(self, waveform: Waveform) -> Beats:
            times = tuple(np.arange(0, waveform.seconds, 0.5))
            return Beats(times, times[::4], 0.5)

    long = Waveform(np.zeros(100 * 133, np.float32), 100)
    found = track_in_windows(Every(), long)
    assert found.beats_s == pytest.approx(np.arange(0, 133, 0.5))
    assert found.confidence == 0.5
    assert len(set(found.downbeats_s)) == len(found.downbeats_s)


def test_measurements_survive_their_json(write):
    path = write("a.wav", 1)
    track = examine_track(path, "00", CONFIG, music=True)
    again = Track.from_json(json.loads(json.dumps(track.to_json())))
    assert again == track
    assert np.array_equal(again.fingerprint.bits, track.fingerprint.bits)
    assert track.clips[0].key is not None
    assert get_tracker("librosa").name == "librosa"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_seconds": 20}, "min_seconds=20, clip_seconds=10.24"),
        ({"valid_fraction": 0.6, "test_fraction": 0.5}, "must leave something to train on"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        PrepareConfig(**settings)


def test_command_prepares_and_writes_shards(write, music, tmp_path, capsys):
    write("a.wav", 1).with_suffix(".txt").write_text("clicks")
    write("b.wav", song(2, rate=44_100), 44_100)
    out = tmp_path / "out"
    options = ["--tracker", "librosa", "--clip-seconds", "3", "--min-seconds", "2"]
    code = run_verb([str(music), "--out", str(out), "--shards", "--json", *options])
    assert code == 0
    record = json.loads(capsys.readouterr().out)
    assert record["clips"] == 4
    assert record["licences"] == {"unknown": 4}
    assert len(record["shards"]) == 2  # one of train, one of valid
    samples = [sample for shard in record["shards"] for sample in read_shard(shard)]
    lines = {clip.id: clip for clip in read_manifest(out / "manifest.jsonl")}
    assert {sample["__key__"] for sample in samples} == set(lines)
    for sample in samples:
        assert json.loads(sample["json"])["captions"] == list(lines[sample["__key__"]].captions)
        assert sample["flac"][:4] == b"fLaC"
    assert not (out / "shards.partial").exists()
    whole, members = (examples(folder / "manifest.jsonl") for folder in (out, out / "shards"))
    assert whole.keys() == members.keys()
    for name, waveform in whole.items():
        np.testing.assert_allclose(members[name], waveform, atol=1e-4)  # 16 bits


def test_launched_processes_write_what_one_writes(write, music, tmp_path):
    for number in range(3):
        write(f"{number}.wav", number)
    alone = prepare(music, tmp_path / "alone", replace(CONFIG, licence="unknown"))
    out = tmp_path / "together"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = ["-m", "musicgen_ldm", "prepare", music, "--out", out, "--tracker", "librosa"]
    options = ["--clip-seconds", "3", "--min-seconds", "2"]
    subprocess.run([*launch, *command, *options], check=True, capture_output=True, timeout=240)
    assert (out / "manifest.jsonl").read_bytes() == alone.manifest.read_bytes()
    assert len(list((out / ".tracks").glob("*.json"))) == 3


def examples(manifest: Path) -> dict[str, np.ndarray]:
    """What a stage of training gets of the training clips."""
    data = DataConfig(manifest=str(manifest), seconds=2.0)
    clips = ClipDataset.from_config(data, "train", sample_rate=RATE, num_samples=RATE, seed=0)
    crops = [clips[ClipRef(0, index)] for index in range(len(clips))]
    return {crop["id"]: crop["waveform"] for crop in crops}


@pytest.mark.parametrize("damage", ["member", "archive", "cut"])
def test_a_clip_that_an_archive_does_not_hold_is_an_error(tmp_path, damage):
    shard = tmp_path / "train-000000.tar"
    with tarfile.open(shard, "w") as tar:
        soundfile.write(tmp_path / "a.flac", np.zeros(RATE), RATE)
        tar.add(tmp_path / "a.flac", "a.flac")
    assert read_audio(shard / "a.flac").seconds == 1
    if damage == "archive":
        shard.write_bytes(b"no archive")
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:600])
    with pytest.raises(AudioError, match=r"train-000000\.tar/[ab]\.flac: "):
        read_audio(shard / ("b.flac" if damage == "member" else "a.flac"))


def read_shard(path: str) -> list[dict]:
    """Samples of a shard, as the webdataset library sees them."""
    with open(path, "rb") as stream:
        files = tar_file_expander([{"url": path, "stream": stream}])
        return list(group_by_keys(files))


def run_verb(argv: list[str]) -> int:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return verb.run(parser.parse_args(argv))


def test_command_checks_without_writing(write, music, capsys):
    write("a.wav", 1)
    write("b.wav", np.zeros(RATE * 6))
    before = sorted(music.rglob("*"))
    assert run_verb([str(music), "--check"]) == 1
    shown = capsys.readouterr().out
    assert "silent (1): remove it" in shown
    assert "unlicensed (1): state it with --licence" in shown
    assert run_verb([str(music), "--check", "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["tracks"] == 2
    assert {"path", "problem", "detail", "remedy"} == set(record["findings"][0])
    assert sorted(music.rglob("*")) == before


def test_unreadable_folder_entries_do_not_stop_the_rest(write, music, tmp_path):
    write("a.wav", 1)
    (music / "gone.wav").symlink_to(music / "nowhere.wav")
    truncated = write("b.flac", 2)
    truncated.write_bytes(truncated.read_bytes()[:300])
    prepared = prepare(music, tmp_path / "out", CONFIG)
    assert {clip.path for clip in prepared.clips} == {str((music / "a.wav").absolute())}
    assert problems(prepared.findings)["gone.wav"][0] == "unreadable"
    assert problems(prepared.findings)["b.flac"][0] == "unreadable"
    shutil.rmtree(tmp_path / "out")
    assert soundfile.info(music / "a.wav").frames == 6 * RATE


def test_a_folder_without_music_leaves_nothing_behind(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioError, match="holds no audio file"):
        prepare(tmp_path / "empty", tmp_path / "out", PrepareConfig())
    assert not (tmp_path / "out").exists()
