"""Novelty from folders to report: planted copies, baselines, banks and the command line."""

import argparse
import base64
import io
import json
import re
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import soundfile
from synthetic_music import RATE, melody, write_folder

from musicgen_ldm.audio import read_audio
from musicgen_ldm.bank import Bank, build
from musicgen_ldm.cli import evaluate as evaluate_verb
from musicgen_ldm.cli import novelty as novelty_verb
from musicgen_ldm.config.novelty import Threshold
from musicgen_ldm.data.manifest import Clip, Tags, write_manifest
from musicgen_ldm.errors import MetricError, OutputError, RequestError
from musicgen_ldm.metrics import analysis, banking, neighbours, plots, report
from musicgen_ldm.metrics.analysis import analyse, file_hash
from musicgen_ldm.metrics.clips import open_source
from musicgen_ldm.metrics.compare import compare
from musicgen_ldm.metrics.embedders import load_embedder
from musicgen_ldm.metrics.presets import V1
from musicgen_ldm.metrics.results import read_table
from musicgen_ldm.metrics.scoring import MIN_PAIRS
from musicgen_ldm.parallel import Workers
from musicgen_ldm.provenance.record import complete_record, to_json


def call(verb, *words):
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return verb.run(parser.parse_args([str(word) for word in words]))


def decoded(sound):
    """Samples of a player's MP3."""
    return soundfile.read(io.BytesIO(base64.b64decode(sound)))[0]


@pytest.fixture
def novelty(cache):
    def run(*words):
        return call(novelty_verb, "--cache", cache.root, *words)

    return run


@pytest.fixture
def train(tmp_path):
    """A training folder with a manifest: ten clips cut from five files, and a held-out one."""
    folder = write_folder(tmp_path / "train", {f"track{i}": melody(i, seconds=8) for i in range(5)})
    clips = [
        Clip(
            id=f"clip{i}{half}", path=f"track{i}.wav", sha256=file_hash(folder / f"track{i}.wav"),
            start_s=4.0 * half, duration_s=4.0, sample_rate=RATE, captions=(f"melody {i}",),
            tags=Tags(genre="test"), beats_s=(), downbeats_s=(),
            split="test" if i == 4 else "train", licence="CC-BY-4.0", source="here",
            attribution=f"Composer {i}",
        )
        for i in range(5) for half in (0, 1)
    ]  # fmt: skip
    write_manifest(folder / "manifest.jsonl", clips)
    return folder


def test_clips_of_one_recording_are_one_track_in_shards_too(novelty, train, tmp_path):
    """A shard holds clips as files of their own; the manifest tells what they were cut from."""
    lines = [json.loads(line) for line in (train / "manifest.jsonl").read_text().splitlines()]
    cut = [line | {"recording": f"recording {line['id'][4]}"} for line in lines]
    for line in cut:
        shutil.copy(train / line["path"], train / f"{line['id']}.wav")
        line["path"] = f"{line['id']}.wav"
    (train / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in cut))
    novelty("bank", "build", tmp_path / "bank", "--train", train, "--embedder", "logmel")
    entries = list(Bank.open(tmp_path / "bank").all_entries())
    assert {e["track"] for e in entries} == {f"recording {i}" for i in range(4)}
    trained = banking.trained_files(tmp_path / "bank")
    assert trained >= {e["sha256"] for e in entries} | {e["track"] for e in entries}


def test_planted_copies_are_found_and_named(novelty, train, tmp_path, audio):
    gen = tmp_path / "gen"
    shutil.copytree(audio / "gen", gen)
    copied, _ = soundfile.read(train / "track2.wav", dtype="float32")
    mixed = copied[4 * RATE :] + 0.3 * melody(50, seconds=4)
    write_folder(gen, {"mixed": np.pad(mixed, (0, 2 * RATE))})  # nothing is near to silence
    shutil.copy(train / "track3.wav", gen / "same.wav")
    novelty("--gen", gen, "--train", train, "--embedder", "chroma", "--out", tmp_path / "run")
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    schema = Path(report.__file__).with_name("results.schema.json")
    jsonschema.validate(record, json.loads(schema.read_text()))
    by_id = {row["id"]: row for row in record["neighbours"]}
    assert by_id["same"]["is_exact_copy"]
    assert not by_id["mixed"]["is_exact_copy"]
    nearest = by_id["mixed"]["neighbours"][0]
    assert nearest["id"] == "clip21"
    assert nearest["licence"] == "CC-BY-4.0"
    assert nearest["attribution"] == "Composer 2"
    assert nearest["captions"] == ["melody 2"]
    for name in ("sim_aa", "train_train", "heldout_train", "excess_heldout_train"):
        assert "needs 100" in record["metrics"][f"{name}@calibrated.chroma.v1"]["reason"]
    for name in ("heldout_train", "excess_heldout_train"):
        assert "give --heldout" in record["metrics"][f"{name}@90.chroma.v1"]["reason"]
    assert record["metrics"]["train_train@90.chroma.v1"]["n_gen"] == 0
    aligned = record["metrics"]["mel_aligned.chroma.v1"]
    assert ("FEW_PAIRS" in aligned["warnings"]) == (aligned["n_ref"] < MIN_PAIRS)
    null = aligned["details"]["null_95"]
    assert by_id["mixed"]["second_opinion"]["mel"]["similarity"] > null
    assert by_id["clip00"]["second_opinion"]["mel"]["similarity"] < 0.7
    assert record["metrics"]["exact_copies.chroma.v1"]["value"] == 1
    assert record["metrics"]["exact_copies.chroma.v1"]["warnings"] == ["TRAINING_OVERLAP"]
    assert record["summary"]["n_train"] == 8 * 2  # held-out clips are not training
    page = (tmp_path / "run" / "report.html").read_text()
    assert "https://" not in page
    for text in ("same file", "Composer 2", "CC-BY-4.0", "polyline", "data:audio/mpeg"):
        assert text in page


def test_baselines_show_what_style_alone_reaches(novelty, tmp_path):
    """Held-out clips of the training style must not count as copies."""
    for name, first in (("train", 0), ("gen", 100), ("held", 200)):
        write_folder(tmp_path / name, {f"c{i:02d}": melody(first + i) for i in range(25)})
    bank = tmp_path / "bank"
    novelty("bank", "build", bank, "--train", tmp_path / "train", "--embedder", "chroma-3s")
    novelty("--gen", tmp_path / "gen", "--train", bank, "--heldout", tmp_path / "held",
            "--out", tmp_path / "run")  # fmt: skip
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    for baseline in ("train_train", "heldout_train"):
        low, high = record["metrics"][f"excess_{baseline}@90.chroma-3s.v1"]["ci95"]
        assert low <= 0 <= high
    curves = record["curves"]["chroma-3s"]
    assert {"threshold", "generated", "train against train", "held-out against train"} == set(
        curves
    )
    assert len(curves["generated"]) == len(curves["threshold"]) == 101


def test_a_threshold_that_style_alone_exceeds_is_marked(novelty, tmp_path):
    """Spectra of one style are all alike: 0.90 tells nothing, what the bank itself sets does."""
    for name, first, count in (("train", 0, 120), ("gen", 200, 12), ("held", 300, 12)):
        folder = tmp_path / name
        write_folder(folder, {f"c{i:03d}": melody(first + i, seconds=2) for i in range(count)})
    novelty("--gen", tmp_path / "gen", "--train", tmp_path / "train", "--embedder", "logmel",
            "--heldout", tmp_path / "held", "--out", tmp_path / "run")  # fmt: skip
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    metrics = record["metrics"]
    assert metrics["heldout_train@90.logmel.v1"]["value"] == 1
    for name in ("sim_aa@90", "excess_heldout_train@90"):
        assert metrics[f"{name}.logmel.v1"]["warnings"] == ["BASELINE_SATURATED"]
    assert "BASELINE_SATURATED" in record["summary"]["warnings"]
    own = metrics["sim_aa@calibrated.logmel.v1"]
    assert own["details"]["threshold"] > 0.95
    assert own["warnings"] == []
    assert metrics["train_train@calibrated.logmel.v1"]["value"] < 0.3


def test_every_clip_above_the_lowest_threshold_is_aligned(cache, workers, tmp_path, monkeypatch):
    """The bank's own threshold may be lower than the published ones."""
    monkeypatch.setattr(neighbours, "SECOND_OPINIONS", 2)
    write_folder(tmp_path / "train", {f"t{i}": melody(i) for i in range(4)})
    write_folder(tmp_path / "gen", {f"g{i}": melody(10 + i) for i in range(6)})
    chroma, sources = [load_embedder("chroma")], {}
    for name in ("gen", "train"):
        source = open_source(tmp_path / name)
        sources[name] = analyse(source.files, chroma, V1, cache, workers)[0]
    rows = banking.rows(sources["train"], open_source(tmp_path / "train"), *chroma)
    bank = build(tmp_path / "bank", rows, embedder="chroma", identity=chroma[0].identity,
                 dim=chroma[0].dim)  # fmt: skip
    limit = Threshold(0.3, is_calibrated=True)
    monkeypatch.setattr(neighbours, "novelty_threshold", lambda *_: limit)
    found = neighbours.measure_novelty(sources["gen"], bank, *chroma)
    neighbours.add_second_opinions(found, tmp_path / "train", np.random.default_rng(0))
    assert sum(clip.nearest > 0.9 for clip in found.clips) < 6
    assert all(clip.opinion for clip in found.clips)


def test_novelty_runs_are_paired_and_need_the_same_training_set(novelty, train, tmp_path):
    copies = {f"g{i}": melody(i % 5, seconds=8) for i in range(8)}
    write_folder(tmp_path / "copies", copies)
    write_folder(tmp_path / "new", {f"g{i}": melody(60 + i, seconds=8) for i in range(8)})
    shutil.copytree(train, tmp_path / "less")
    lines = (train / "manifest.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "less" / "manifest.jsonl").write_text("".join(lines[2:]))
    for name, trained in (("copies", train), ("new", train), ("new", tmp_path / "less")):
        novelty("--gen", tmp_path / name, "--train", trained, "--embedder", "chroma",
                "--out", tmp_path / f"{name}-{trained.name}")  # fmt: skip
    run, other, less = (tmp_path / name for name in ("copies-train", "new-train", "new-less"))
    found = {d.metric: d for d in compare([run, other])}
    assert found.keys() >= {"sim_aa@90.chroma.v1", "mel_aligned.chroma.v1"}
    assert not [name for name in found if "train_train" in name]
    ratio = found["sim_aa@95.chroma.v1"]
    assert (ratio.method, ratio.num_pairs) == ("paired", 8)
    assert ratio.difference.value == ratio.value - ratio.base_value < 0
    with pytest.raises(MetricError, match="measure both with the same --train"):
        compare([run, less])


def test_held_out_clips_that_were_trained_on_are_refused(novelty, train, audio, tmp_path):
    words = ("--gen", audio / "gen", "--train", train, "--embedder", "chroma", "--heldout", train)
    with pytest.raises(MetricError, match=r"8 of 10 held-out clips were trained on \(clip00"):
        novelty(*words, "--out", tmp_path / "run")
    novelty(*words, "--heldout-split", "test", "--out", tmp_path / "run")
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert record["metrics"]["heldout_train@90.chroma.v1"]["n_ref"] == 2


def test_a_clap_also_tells_text_fit_as_evaluate_does(novelty, cache, audio, tmp_path, tiny_folder):
    """The paper's table has text-audio similarity beside the ratios: one page holds both."""
    words = ("--gen", audio / "gen", "--embedder", f"clap:{tiny_folder}")
    prompts = ("--prompts", audio / "prompts.jsonl")
    search = (*words, "--train", audio / "ref")
    call(evaluate_verb, *words, *prompts, "--metrics", "clap", "--cache", cache.root,
         "--out", tmp_path / "evaluation")  # fmt: skip
    novelty(*search, *prompts, "--out", tmp_path / "run")
    theirs, record = (
        json.loads((tmp_path / name / "results.json").read_text()) for name in ("evaluation", "run")
    )
    name = f"clap.clap-{tiny_folder.name}"
    assert next(iter(record["metrics"])) == f"{name}.v1"
    fit = record["metrics"][f"{name}.v1"]
    assert fit == theirs["metrics"][f"{name}.v1"]
    assert fit["ci95"][0] < fit["value"] < fit["ci95"][1]
    assert fit["details"]["shuffled_floor"] is not None
    columns = [
        [row[name] for row in read_table(tmp_path / folder / "per_clip.csv")]
        for folder in ("evaluation", "run")
    ]
    assert columns[0] == columns[1]
    assert f"{name}.v1" in (tmp_path / "run" / "report.html").read_text()

    novelty(*search, "--out", tmp_path / "without")
    record = json.loads((tmp_path / "without" / "results.json").read_text())
    assert "give --prompts" in record["metrics"][f"{name}.v1"]["reason"]
    gen = shutil.copytree(audio / "gen", tmp_path / "recorded")
    for i in range(12):
        request = {"request": {"prompt": f"melody number {i}"}}
        text = to_json(complete_record(request, {}, mark=False))
        (gen / f"clip{i:02d}.json").write_text(text)
    search = ("--gen", gen, *search[2:])
    novelty(*search, "--out", tmp_path / "from records")
    record = json.loads((tmp_path / "from records" / "results.json").read_text())
    assert record["metrics"][f"{name}.v1"] == fit
    (gen / "clip00.json").unlink()
    with pytest.raises(MetricError, match=r"1 of 12 generated ids have no prompt \(clip00\)"):
        novelty(*search, "--out", tmp_path / "torn")
    (gen / "clip01.wav").unlink()
    novelty(*search, *prompts, "--out", tmp_path / "unheard")
    record = json.loads((tmp_path / "unheard" / "results.json").read_text())
    assert "UNHEARD_PROMPTS" in record["summary"]["warnings"]
    with pytest.raises(MetricError, match="--prompts needs a CLAP"):
        novelty("--gen", gen, "--train", audio / "ref", "--embedder", "chroma", *prompts,
                "--out", tmp_path / "deaf")  # fmt: skip


def test_what_cannot_be_read_is_named_and_does_not_count(novelty, audio, tmp_path, capsys):
    for name in ("gen", "ref"):
        shutil.copytree(audio / name, tmp_path / name)
        (tmp_path / name / f"broken {name}.wav").write_bytes(b"not audio")
    words = ("--gen", tmp_path / "gen", "--train", audio / "noisy", "--heldout", tmp_path / "ref",
             "--embedder", "chroma", "--out", tmp_path / "run")  # fmt: skip
    with pytest.raises(MetricError, match=r"1 file\(s\) could not be read: .*broken gen.wav"):
        novelty(*words)
    novelty(*words, "--allow-unread")
    summary = json.loads((tmp_path / "run" / "results.json").read_text())["summary"]
    assert (summary["n_gen"], summary["n_heldout"]) == (12, 12)
    assert summary["unread"] == ["broken gen", "broken ref"]
    assert "UNREAD_FILES" in summary["warnings"]
    assert "do not count (UNREAD_FILES)" in capsys.readouterr().err


def test_each_file_is_decoded_once_for_all_embedders(train, audio, tmp_path, monkeypatch):
    decoded = []

    def counting(path, **options):
        decoded.append((path, options["start_s"]))
        return read_audio(path, **options)

    monkeypatch.setattr(analysis, "read_audio", counting)
    call(novelty_verb, "--gen", audio / "gen", "--train", train, "--heldout", audio / "ref",
         "--embedder", "chroma,logmel", "--cache", tmp_path / "cache",
         "--out", tmp_path / "run")  # fmt: skip
    assert len(decoded) == len(set(decoded)) == 12 + 8 + 12


def test_bank_verbs_build_extend_query_prune(novelty, train, tmp_path, capsys):
    folder = tmp_path / "bank"
    novelty("bank", "build", folder, "--train", train, "--embedder", "chroma")
    bank = Bank.open(folder)
    assert len(bank) == 16
    novelty("bank", "extend", folder, "--train", train, "--split", "test")
    assert len(Bank.open(folder)) == 20
    novelty("bank", "extend", folder, "--train", train, "--split", "test")
    assert "20 rows, 0 of them new" in capsys.readouterr().out
    novelty("bank", "query", folder, train / "track4.wav", "-k", "1")
    found = json.loads(capsys.readouterr().out)
    assert found["neighbours"][0]["id"].startswith("clip4")
    assert found["neighbours"][0]["similarity"] > 0.999
    novelty("bank", "prune", folder, file_hash(train / "track4.wav"))
    assert len(Bank.open(folder)) == 16
    novelty("--gen", train, "--train", folder, "--out", tmp_path / "run")
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert "chroma" in record["curves"]
    assert all(not row["second_opinion"] for row in record["neighbours"])
    assert "give --train-audio" in record["metrics"]["mel_aligned.chroma.v1"]["reason"]
    novelty("--gen", train, "--train", folder, "--out", tmp_path / "lost",
            "--train-audio", tmp_path / "nowhere")  # fmt: skip
    record = json.loads((tmp_path / "lost" / "results.json").read_text())
    assert "no pair could be aligned" in record["metrics"]["mel_aligned.chroma.v1"]["reason"]
    with pytest.raises(OutputError, match="pass --overwrite"):  # before anything is read
        novelty("--gen", tmp_path / "nowhere", "--train", folder, "--out", tmp_path / "lost")
    assert "give --train-audio" in (tmp_path / "run" / "report.html").read_text()


def test_players_hold_the_stretches_that_are_alike(novelty, tmp_path):
    """Both players begin where the match begins, and last as long."""
    tune = melody(1, seconds=6)
    write_folder(tmp_path / "train", {"a": tune, "b": melody(2, seconds=6)})
    copied = np.concatenate([melody(3, seconds=6), tune[RATE * 3 :]])
    write_folder(tmp_path / "gen", {"c": copied})
    novelty("--gen", tmp_path / "gen", "--train", tmp_path / "train", "--embedder", "chroma-3s",
            "--out", tmp_path / "run")  # fmt: skip
    page = (tmp_path / "run" / "report.html").read_text()
    found = re.findall(r"base64,([^\"]+)\"></audio><br>from ([\d.]+) s", page)
    assert [start for _, start in found] == ["6.0", "3.0"]
    heard = [decoded(sound) for sound, _ in found]
    for samples in heard:
        assert len(samples) / plots.PLAYER_RATE == pytest.approx(3, abs=0.1)
    length = min(map(len, heard))
    assert np.corrcoef(heard[0][:length], heard[1][:length])[0, 1] > 0.99


def test_banks_of_another_embedder_are_refused(novelty, train, tmp_path):
    novelty("bank", "build", tmp_path / "bank", "--train", train, "--embedder", "chroma")
    with pytest.raises(MetricError, match=r"made with chroma .* asked for logmel"):
        novelty("--gen", train, "--train", tmp_path / "bank", "--embedder", "logmel",
                "--out", tmp_path / "run")  # fmt: skip
    with pytest.raises(MetricError, match="one embedder; build one bank for each"):
        novelty("bank", "build", tmp_path / "two", "--train", train, "--embedder", "chroma,logmel")
    with pytest.raises(MetricError, match="novelty needs --train"):
        novelty("--gen", train)


def test_evaluate_verb_writes_and_compares(audio, cache, tmp_path, capsys):
    for name in ("gen", "noisy"):
        code = call(
            evaluate_verb, "--gen", audio / name, "--ref", audio / "ref", "--embedder", "logmel",
            "--metrics", "fad,health", "--out", tmp_path / name, "--cache", cache.root,
            "--card", tmp_path / "README.md", "--save-stats", tmp_path / "stats",
        )  # fmt: skip
        assert code == 0
    assert "fad.logmel.v1" in capsys.readouterr().out
    assert "fad.logmel.v1" in (tmp_path / "README.md").read_text()
    assert (tmp_path / "stats" / "logmel.npz").is_file()
    runs = (tmp_path / "gen", tmp_path / "noisy")
    assert call(evaluate_verb, "compare", *runs) == 0
    assert call(evaluate_verb, "compare", *runs, "--json", "--fail-if",
                "fad.logmel.v1 > base+2se") == 1  # fmt: skip
    out, err = capsys.readouterr()
    assert "joint jackknife" in out
    assert "failed: fad.logmel.v1 > base+2se (noisy" in err
    with pytest.raises(OutputError, match="pass --overwrite"):  # before anything is read
        call(evaluate_verb, "--gen", tmp_path / "nowhere", "--out", tmp_path / "gen")
    with pytest.raises(MetricError, match="--save-stats needs --ref"):
        call(evaluate_verb, "--gen", audio / "gen", "--out", tmp_path / "new",
             "--save-stats", tmp_path / "stats")  # fmt: skip


def test_an_all_silent_folder_fails(tmp_path, cache, capsys):
    gen = write_folder(tmp_path / "gen", {f"c{i}": np.zeros(2 * RATE) for i in range(3)})
    code = call(evaluate_verb, "--gen", gen, "--embedder", "logmel", "--out", tmp_path / "run",
                "--cache", cache.root)  # fmt: skip
    assert code == 1
    assert "100% of the generated clips are silent" in capsys.readouterr().err
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert record["metrics"]["silent_share.v1"]["value"] == 1
    assert record["metrics"]["loudness_lufs.v1"]["reason"] == "all clips are silent"


def test_the_search_runs_on_the_device_of_the_options(novelty, train, audio, tmp_path, monkeypatch):
    devices = []
    search = Bank.search

    def recorded(*args, device, **options):
        devices.append(device)
        return search(*args, device=device, **options)

    monkeypatch.setattr(Bank, "search", recorded)
    monkeypatch.setattr(Workers, "device", "a worker's")
    novelty("--gen", audio / "gen", "--train", train, "--embedder", "chroma",
            "--device", "cpu", "--out", tmp_path / "run")  # fmt: skip
    assert set(devices) == {"cpu"}
    with pytest.raises(RequestError, match="device 'nowhere' cannot be used here"):
        novelty("--gen", audio / "gen", "--train", train, "--embedder", "chroma",
                "--device", "nowhere", "--out", tmp_path / "other")  # fmt: skip
