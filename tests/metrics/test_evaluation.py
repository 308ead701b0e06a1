"""The whole evaluation on small folders: pairing, honesty, caching, determinism, reports."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import soundfile
from synthetic_music import RATE, melody, write_folder

from musicgen_ldm.bank import build
from musicgen_ldm.beats import Beats
from musicgen_ldm.data.manifest import Clip, Tags, write_manifest
from musicgen_ldm.errors import MetricError, OutputError
from musicgen_ldm.metrics import analysis, evaluation, report
from musicgen_ldm.metrics.analysis import analyse, feature_identity, file_hash
from musicgen_ldm.metrics.cache import Cache
from musicgen_ldm.metrics.card import BEGIN, update_card
from musicgen_ldm.metrics.clips import list_audio, read_prompts, recorded_prompts
from musicgen_ldm.metrics.embedders import load_embedder
from musicgen_ldm.metrics.embedders.weightfree import LogMelStatistics
from musicgen_ldm.metrics.moments import GroupedMoments, save_moments
from musicgen_ldm.metrics.names import METRICS
from musicgen_ldm.metrics.presets import V1, get_preset
from musicgen_ldm.metrics.request import EvaluationRequest
from musicgen_ldm.metrics.results import WARNINGS, read_table, refuse_overwriting, refused, result
from musicgen_ldm.metrics.scoring import (
    Embedded,
    score_divergence,
    score_inception,
    score_kernel,
    score_manifold,
)
from musicgen_ldm.parallel import Workers
from musicgen_ldm.provenance.record import complete_record, to_json

SCHEMA = Path(report.__file__).with_name("results.schema.json")


def validate(folder):
    record = json.loads((folder / "results.json").read_text())
    jsonschema.validate(record, json.loads(SCHEMA.read_text()))
    codes = {c for m in record["metrics"].values() for c in m["warnings"]}
    assert codes | set(record["summary"]["warnings"]) <= WARNINGS.keys()
    return record


@pytest.fixture
def score(audio, cache, workers):
    def call(gen="gen", ref="ref", embedders=("logmel",), preset="v1", **options):
        options.setdefault("metrics", ("fad", "kad", "prdc", "vendi", "health"))
        request = EvaluationRequest(
            gen=audio / gen if isinstance(gen, str) else gen,
            ref=audio / ref if isinstance(ref, str) else ref,
            preset=get_preset(preset),
            **options,
        )
        found = [load_embedder(e) if isinstance(e, str) else e for e in embedders]
        return evaluation.evaluate(request, found, cache, workers)

    return call


def test_noise_moves_every_distance(score):
    clean, noisy = score().metrics, score("noisy").metrics
    for name in ("fad", "fad_inf", "kad", "kid"):
        assert noisy[f"{name}.logmel.v1"].value > clean[f"{name}.logmel.v1"].value
    assert noisy["coverage.logmel.v1"].value < clean["coverage.logmel.v1"].value
    fad = clean["fad.logmel.v1"]
    assert fad.ci95[0] < fad.value < fad.ci95[1]
    for name in ("fad", "kad", "kid", "precision", "coverage"):
        assert {"FEW_CLIPS", "REFERENCE_SMALL"} <= set(clean[f"{name}.logmel.v1"].warnings)
    assert fad.details["effective_rank_gen"] > 1
    assert len(fad.details["jackknife"]["gen"]) == 12


def test_written_twice_is_written_equal(score, tmp_path, audio):
    for name in ("a", "b"):
        found = score(embedders=("logmel", "chroma"), prompts=audio / "prompts.jsonl")
        record = evaluation.write(found, tmp_path / name)
        report.write_report(found, record, tmp_path / name)
    for file in ("results.json", "per_clip.csv", "report.html"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    record = validate(tmp_path / "a")
    assert record["kind"] == "evaluation"
    assert str(audio) not in json.dumps(record)
    rows = read_table(tmp_path / "a" / "per_clip.csv")
    assert [row["id"] for row in rows] == [f"clip{i:02d}" for i in range(12)]
    assert float(rows[0]["fad_influence.logmel"])
    with pytest.raises(OutputError, match="pass --overwrite"):
        evaluation.write(score(), tmp_path / "a")


def test_report_is_one_file_without_a_network(score, tmp_path, audio):
    found = score(embedders=("logmel",), prompts=audio / "prompts.jsonl")
    record = evaluation.write(found, tmp_path)
    page = report.write_report(found, record, tmp_path).read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "<script" not in page
    assert page.count("data:audio/mpeg;base64,") == 8
    for part in ("fad.logmel.v1", "By genre", "polyline", "circle", "FEW_CLIPS", "melody number"):
        assert part in page
    table = report.table(record["metrics"])
    assert len(table.splitlines()) == len(record["metrics"])


def test_text_scores_pair_by_id_whatever_the_listing(score, audio, tiny_folder, tmp_path):
    clap = load_embedder(f"clap:{tiny_folder}")
    lines = (audio / "prompts.jsonl").read_text().splitlines()
    shuffled = tmp_path / "shuffled.jsonl"
    shuffled.write_text("\n".join(lines[::-1]) + "\n")
    first, second = (
        score(embedders=(clap,), metrics=("clap",), prompts=path)
        for path in (audio / "prompts.jsonl", shuffled)
    )
    name = f"{clap.name}.v1"
    assert first.metrics == second.metrics
    assert {f"{m}.{name}" for m in ("clap", "clap_ceiling", "r1", "r10")} <= first.metrics.keys()
    assert first.metrics[f"clap.{name}"].details["shuffled_floor"] is not None
    wrong = tmp_path / "wrong.jsonl"
    records = [json.loads(line) for line in lines]
    turned = [{**r, "prompt": records[i - 1]["prompt"]} for i, r in enumerate(records)]
    wrong.write_text("\n".join(map(json.dumps, turned)))
    third = score(embedders=(clap,), metrics=("clap",), prompts=wrong)
    assert third.metrics[f"clap.{name}"].value != first.metrics[f"clap.{name}"].value


def test_takes_share_their_prompt(score, audio, tmp_path, tiny_folder):
    folder = write_folder(tmp_path / "takes", {
        "clip00-take0": melody(1), "clip00-take1": melody(2), "clip01-take0": melody(3),
    })  # fmt: skip
    clap = load_embedder(f"clap:{tiny_folder}")
    found = score(folder, ref=None, embedders=(clap,), metrics=("clap", "vendi"),
                  prompts=audio / "prompts.jsonl")  # fmt: skip
    assert found.metrics[f"clap.{clap.name}.v1"].n_gen == 3
    assert found.metrics[f"vendi_takes.{clap.name}.v1"].value > 1


def test_obedience_compares_with_what_was_asked(score, audio, tmp_path):
    folder = write_folder(tmp_path / "few", {f"clip{i:02d}": melody(i) for i in range(3)})
    found = score(folder, ref=None, metrics=("obedience",), prompts=audio / "prompts.jsonl")
    tempo = found.metrics["obeys.tempo_octave.v1"]
    assert tempo.n_gen == 3
    assert tempo.value == 1
    assert "no prompt asks" in found.metrics["obeys.key_exact.v1"].reason
    assert "give --ref" in found.metrics["obeys.tempo_octave_ceiling.v1"].reason
    for name in ("obeys.lead.v1", "obeys.lead_ceiling.v1"):
        assert "add tagger" in found.metrics[name].reason
    assert found.rows[0]["bpm"] > 0


def test_what_cannot_be_computed_is_null_with_a_reason(score):
    found = score(ref=None, metrics=("fad", "kl", "is", "clap", "health"))
    for name in ("fad.v1", "kl_ref_gen.v1", "is.v1", "clap.v1"):
        assert found.metrics[name].value is None
        assert found.metrics[name].reason
    assert found.metrics["silent_share.v1"].value == 0
    assert refused("because").value is None
    assert [name for name in found.metrics if name.startswith(("fad", "kl"))] == [
        "kl_ref_gen.v1", "kl_gen_ref.v1", "fad.v1", "fad_inf.v1",
    ]  # fmt: skip
    for name in ("bernoulli_ref_gen", "clap_ceiling", "r1", "median_rank", "music_qa"):
        assert "add " in found.metrics[f"{name}.v1"].reason or "--ref" in (
            found.metrics[f"{name}.v1"].reason
        )
    theirs = score(ref=None, metrics=("kl",), preset="audioldm_eval").metrics
    assert list(theirs) == ["kl_ref_gen.audioldm_eval", "kl_sigmoid_ref_gen.audioldm_eval"]
    assert "--takes" in score(ref=None, metrics=("vendi",)).metrics["vendi_takes.logmel.v1"].reason
    assert result(float("nan")).reason == "came out as nan"


def test_the_default_embedders_serve_every_family(score, tmp_path):
    """What is shipped is enough: no null asks for another embedder."""
    lines = [{"id": f"clip{i:02d}", "prompt": f"jazz {i}", "genre": "techno"} for i in range(12)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = score(embedders=V1.embedders, metrics=METRICS, prompts=tmp_path / "p.jsonl")
    reasons = {name: m.reason for name, m in found.metrics.items() if m.value is None}
    assert not [reason for reason in reasons.values() if "embedder" in reason]
    for name in ("is.tagger.v1", "kl_ref_gen.tagger.v1", "clap.clap-pocket.v1", "fad.logmel.v1",
                 "obeys.genre_top1.v1"):  # fmt: skip
        assert found.metrics[name].value is not None
    assert found.metrics["is.tagger.v1"].warnings == ("FEW_CLIPS",)
    assert found.metrics["kl_ref_gen.tagger.v1"].warnings == ("FEW_PAIRS",)
    assert not [code for code in found.summary["warnings"] if "TRAIN" in code]


def test_enough_clips_are_no_warning():
    rng = np.random.default_rng(0)
    rows, ids = np.arange(220), [str(i) for i in range(220)]
    gen, ref = (Embedded(ids, ids, x, rows, x, x, rows) for x in rng.standard_normal((2, 220, 100)))
    found = score_kernel(gen, ref, V1, 0) | score_manifold(gen, ref) | score_inception(gen, V1)
    found |= score_divergence(gen, ref, [(i, i) for i in range(20)], V1)[0]
    assert {name for name, metric in found.items() if metric.warnings} == set()


def test_silence_refuses_distances(score, audio, tmp_path):
    folder = tmp_path / "half"
    shutil.copytree(audio / "gen", folder)
    write_folder(folder, {"clip00": np.zeros(RATE), "clip01": np.zeros(RATE)})
    found = score(folder)
    assert found.metrics["fad.logmel.v1"].value is None
    assert "17% of the generated clips are silent" in found.metrics["fad.logmel.v1"].reason
    assert found.metrics["silent_share.v1"].value == pytest.approx(1 / 6)
    assert {"SILENT_CLIPS", "DUPLICATE_CLIPS", "MIXED_DURATIONS"} <= set(found.summary["warnings"])


def test_overlap_with_the_reference_is_seen(score):
    assert "REFERENCE_OVERLAP" in score("ref").summary["warnings"]
    assert score("ref").metrics["fad.logmel.v1"].details["plain"] < 1e-12


def test_overlap_with_the_training_data_is_seen_or_said_to_be_unknown(score, audio, tmp_path):
    train = tmp_path / "train"
    train.mkdir()
    shutil.copy(audio / "gen" / "clip03.wav", train / "another name.wav")
    shutil.copy(audio / "ref" / "clip05.wav", train)
    found = score(train=train, metrics=("health",)).summary
    assert {"TRAINING_OVERLAP", "REFERENCE_TRAINED"} <= set(found["warnings"])
    assert found["n_train_files"] == 2
    assert not [c for c in score(train=audio / "noisy").summary["warnings"] if "TRAIN" in c]
    unknown = score(metrics=("health",)).summary
    assert "TRAINING_UNKNOWN" in unknown["warnings"]
    assert unknown["train_sha256"] is None


def test_the_bank_beside_a_clap_tells_its_training_data(score, audio, tmp_path, tiny_folder):
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(tiny_folder, checkpoint)
    entry = {"id": "a", "sha256": file_hash(audio / "gen" / "clip00.wav")}
    build(checkpoint / "novelty", [([1.0], entry)], embedder="x", identity="x", dim=1)
    found = score(embedders=(load_embedder(f"clap:{checkpoint}"),), metrics=("health",)).summary
    assert "TRAINING_OVERLAP" in found["warnings"]
    assert "REFERENCE_TRAINED" not in found["warnings"]


def test_the_reference_may_be_a_split_of_a_manifest(score, audio, tmp_path):
    tags = Tags(genre="test")
    write_manifest(
        tmp_path / "manifest.jsonl",
        [
            Clip(
                id=f"clip{i:02d}", path=str(audio / "ref" / f"clip{i:02d}.wav"), start_s=0.5,
                sha256=file_hash(audio / "ref" / f"clip{i:02d}.wav"), duration_s=2.0,
                sample_rate=RATE, captions=("x",), tags=tags, beats_s=(), downbeats_s=(),
                split="test" if i < 9 else "train", licence="CC0-1.0", source="x", attribution="x",
            )
            for i in range(12)
        ],
    )  # fmt: skip
    found = score(ref=tmp_path / "manifest.jsonl", ref_split="test", train=tmp_path)
    assert found.summary["n_ref"] == 9
    assert [clip.seconds for clip in found.ref] == [2.0] * 9
    assert "REFERENCE_TRAINED" not in found.summary["warnings"]
    everything = score(ref=tmp_path, train=tmp_path).summary
    assert everything["n_ref"] == 12
    assert "REFERENCE_TRAINED" in everything["warnings"]
    with pytest.raises(MetricError, match="holds no clip of split dev"):
        score(ref=tmp_path, ref_split="dev")
    with pytest.raises(MetricError, match="ref: has no split test; give --ref a manifest"):
        score(ref_split="test")


def test_unreadable_files_stop_the_run_unless_allowed(score, audio, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(audio / "gen", folder)
    (folder / "zz.wav").write_bytes(b"not audio at all")
    with pytest.raises(MetricError, match=r"1 file\(s\) could not be read: .*zz.wav"):
        score(folder)
    summary = score(folder, allow_unread=True).summary
    assert (summary["n_gen"], summary["unread"]) == (12, ["zz"])
    assert "UNREAD_FILES" in summary["warnings"]
    (folder / "zz.wav").rename(folder / "zz.m4a")  # not overlooked either
    with pytest.raises(MetricError, match=r"zz\.m4a"):
        score(folder)
    only = tmp_path / "only"
    only.mkdir()
    (only / "zz.wav").write_bytes(b"")
    with pytest.raises(MetricError, match="none of 1 files could be read"):
        score(only, allow_unread=True)


def test_odd_formats_are_read(score, audio, tmp_path):
    folder = tmp_path / "odd"
    shutil.copytree(audio / "gen", folder)
    samples = melody(1)
    soundfile.write(folder / "stereo.flac", np.stack([samples, samples], axis=1), RATE)
    soundfile.write(folder / "low.wav", samples[::2], 8000, subtype="PCM_U8")
    soundfile.write(folder / "float.WAV", samples, RATE, subtype="FLOAT")
    (folder / ".hidden.wav").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    assert score(folder).summary["n_gen"] == 15


def test_missing_partners_stop_the_run_unless_allowed(score, audio, tmp_path, tiny_folder):
    folder = tmp_path / "more"
    shutil.copytree(audio / "gen", folder)
    write_folder(folder, {"stranger": melody(5)})
    clap = load_embedder(f"clap:{tiny_folder}")
    options = {"embedders": (clap,), "metrics": ("clap",), "prompts": audio / "prompts.jsonl"}
    with pytest.raises(MetricError, match=r"1 of 13 generated ids have no prompt \(stranger\)"):
        score(folder, **options)
    found = score(folder, allow_missing=True, **options)
    assert found.metrics[f"clap.{clap.name}.v1"].n_gen == 12
    obedience = {"metrics": ("obedience",), "prompts": audio / "prompts.jsonl"}
    with pytest.raises(MetricError, match=r"1 of 13 generated ids have no prompt \(stranger\)"):
        score(folder, **obedience)
    (folder / "stranger.wav").unlink()
    (folder / "clip11.wav").unlink()
    assert "UNHEARD_PROMPTS" in score(folder, **obedience).summary["warnings"]
    strangers = write_folder(tmp_path / "strangers", {"x": melody(1)})
    with pytest.raises(MetricError, match="names none of the clips"):
        score(strangers, **obedience)


def test_statistics_replace_the_reference_folder(score, audio, tmp_path):
    full = score()
    _, ref = full.embedded["logmel"]
    save_moments(
        tmp_path / "ref.npz", GroupedMoments.of(ref.frames, ref.clips), embedder="logmel",
        identity=feature_identity(load_embedder("logmel"), get_preset("v1")),
    )  # fmt: skip
    found = score(ref=tmp_path / "ref.npz")
    assert found.metrics["fad.logmel.v1"].value == pytest.approx(
        full.metrics["fad.logmel.v1"].value
    )
    assert "Fréchet distance only" in found.metrics["kad.logmel.v1"].reason
    other = score(ref=tmp_path / "ref.npz", preset="stable-audio", metrics=("fad",))
    assert "another preset" in other.metrics["fad.logmel.stable-audio"].reason
    with pytest.raises(MetricError, match="no such statistics file"):
        score(ref=tmp_path / "none.npz")
    (tmp_path / "torn.npz").write_bytes(b"PK torn")
    torn = score(ref=tmp_path / "torn.npz", metrics=("fad",))
    assert "no readable statistics" in torn.metrics["fad.logmel.v1"].reason


def test_cache_follows_bytes_weights_and_preset(
    audio, tmp_path, workers, tiny_folder, other_weights
):
    cache, heard = Cache(tmp_path / "cache"), []

    def entries(folder, preset="v1", name="logmel"):
        request = EvaluationRequest(gen=folder, preset=get_preset(preset), metrics=("vendi",))
        found = evaluation.evaluate(request, [load_embedder(name)], cache, workers)
        heard.append(next(iter(found.embedded.values()))[0].vectors)
        return len(list(cache.root.rglob("*.npz")))

    folder = tmp_path / "gen"
    shutil.copytree(audio / "gen", folder)
    first = entries(folder)
    assert first == 2 * 12  # signal and features
    assert entries(folder) == first
    write_folder(folder, {"clip00": melody(77)})
    assert entries(folder) == first + 2
    assert entries(folder, preset="audioldm_eval") == first + 2 + 12
    assert entries(folder, name="chroma") == first + 2 + 12 + 12
    assert entries(folder, name=f"clap:{tiny_folder}") == first + 2 + 12 + 12 + 12
    assert entries(folder, name=f"clap:{other_weights}") == first + 2 + 12 + 12 + 12 + 12
    assert (heard[-1][:, 0] != heard[-2][:, 0]).all()
    assert not list(folder.rglob("*.npz"))


class Counting(LogMelStatistics):
    """Counts the windows it hears, and may be interrupted."""

    def __init__(self, batches=None):
        super().__init__()
        vars(self).update(batches=batches, heard=[])  # the class is frozen

    def __call__(self, windows):
        if len(self.heard) == self.batches:
            raise KeyboardInterrupt
        self.heard.append(len(windows))
        return super().__call__(windows)


def test_interrupted_runs_go_on_where_they_stopped(audio, tmp_path, workers, monkeypatch):
    monkeypatch.setattr(analysis, "BATCH_WINDOWS", 6)  # two of these clips

    def run(embedder, folder):
        request = EvaluationRequest(gen=audio / "gen", preset=V1, metrics=("vendi",))
        cache = Cache(tmp_path / folder)
        return evaluation.evaluate(request, [embedder], cache, workers).metrics

    with pytest.raises(KeyboardInterrupt):
        run(Counting(batches=2), "interrupted")
    rest, whole = Counting(), Counting()
    assert run(rest, "interrupted") == run(whole, "whole")
    assert sum(whole.heard) == 12 * 3
    assert sum(rest.heard) == 8 * 3  # four clips were done
    assert not list(tmp_path.rglob("*.partial"))


def test_other_weights_of_the_beat_tracker_measure_the_tempo_again(
    audio, tmp_path, workers, monkeypatch
):
    cache, file = Cache(tmp_path), list_audio(audio / "gen")[0]

    def measured(tracker):
        monkeypatch.setattr("musicgen_ldm.metrics.analysis.get_tracker", lambda: tracker)
        monkeypatch.setattr("musicgen_ldm.measure.tempo.get_tracker", lambda _: tracker)
        clips, _ = analyse([file], [], get_preset("v1"), cache, workers, music_ids=[file.id])
        return clips[0].tempo.bpm

    class Metronome:
        name = "metronome"

        def __init__(self, period_s):
            self.identity = str(period_s)
            self.times = tuple(period_s * beat for beat in range(5))

        def __call__(self, waveform):
            return Beats(self.times, (), 1.0)

    assert measured(Metronome(0.5)) == pytest.approx(120)
    assert measured(Metronome(0.6)) == pytest.approx(100)


def test_shares_of_workers_join_in_the_cache(audio, tmp_path, workers):
    """Each of two workers embeds its half, and both end with what one alone would have."""
    files, cache, second = list_audio(audio / "gen"), Cache(tmp_path / "two"), Counting()

    class Second(type(workers.state)):
        process_index, num_processes, is_main_process = 1, 2, False

    class First(type(workers.state)):
        num_processes = 2

        def wait_for_everyone(self):
            analyse(Workers(Second()).share(files), [second], V1, cache, workers)

    first = Counting()
    clips, unread = analyse(files, [first], V1, cache, Workers(First()))
    assert not unread
    assert sum(first.heard) == sum(second.heard) == 6 * 3
    alone, _ = analyse(files, [Counting()], V1, Cache(tmp_path / "one"), workers)
    for clip, other in zip(clips, alone, strict=True):
        np.testing.assert_array_equal(
            clip.features["logmel"].frames, other.features["logmel"].frames
        )


def test_the_order_of_files_and_lines_changes_nothing(score, audio, tmp_path, monkeypatch):
    tags, lines = Tags(genre="test"), (audio / "prompts.jsonl").read_text().splitlines()
    clips = [
        Clip(
            id=path.stem, path=str(path), start_s=0.0, sha256=file_hash(path), duration_s=3.0,
            sample_rate=RATE, captions=("x",), tags=tags, beats_s=(), downbeats_s=(),
            split="test", licence="CC0-1.0", source="x", attribution="x",
        )
        for path in sorted((audio / "ref").iterdir())
    ]  # fmt: skip
    listed = Path.rglob

    def run(order):
        monkeypatch.setattr(Path, "rglob", lambda *args: order(list(listed(*args))))
        write_manifest(tmp_path / "manifest.jsonl", order(clips))
        (tmp_path / "prompts.jsonl").write_text("\n".join(order(lines)))
        options = {"metrics": ("fad", "kad", "prdc", "vendi", "is", "kl", "health")}
        return score(ref=tmp_path, embedders=("logmel", "tagger"),
                     prompts=tmp_path / "prompts.jsonl", **options)  # fmt: skip

    first, second = run(list), run(lambda items: items[7:] + items[:7][::-1])
    assert first.metrics == second.metrics
    assert first.rows == second.rows
    assert first.summary == second.summary


def test_card_block_is_replaced_in_place(score, tmp_path):
    record = evaluation.write(score(), tmp_path / "run")
    card = tmp_path / "README.md"
    card.write_text("# Model\n\ntext\n")
    update_card(card, record)
    once = card.read_text()
    update_card(card, record)
    assert card.read_text() == once
    assert once.startswith("# Model\n\ntext\n")
    assert "| `fad.logmel.v1` |" in once
    assert "FEW_CLIPS" in once
    card.write_text(BEGIN)
    with pytest.raises(OutputError, match="has one of"):
        update_card(card, record)


def test_prompts_files_are_checked(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(
        '{"id": "a", "caption": "x", "tags": {"key": "A", "mode": "minor"}}\n\n'
        '{"id": "b", "prompt": "y", "asked": {"bpm": 90, "genre": "jazz"}}\n'
    )
    prompts = read_prompts(path)
    assert str(prompts["a"].key) == "A minor"
    assert (prompts["b"].bpm, prompts["b"].genre) == (90, "jazz")
    for text, message in (
        ('{"id": "a"}', r"p.jsonl:1: no text"),
        ('{"prompt": "a"}', r"p.jsonl:1: no field 'id'"),
        ('{"id": "a", "prompt": "x", "key": "H dur"}', r"p.jsonl:1: key 'H dur'"),
        ("nonsense", r"p.jsonl:1: "),
        ('{"id": "a", "prompt": "x", "bpm": "fast"}', r"p.jsonl:1: bpm is 'fast'; give a number"),
        ('{"id": "a", "prompt": "x", "bpm": -90}', r"p.jsonl:1: bpm is -90"),
        ('{"id": "a", "prompt": "x", "key": 5}', r"p.jsonl:1: key is 5; give text"),
        ('{"id": "a", "prompt": "x", "genre": ["jazz"]}', r"p.jsonl:1: genre is \['jazz'\]"),
        ('{"id": "a", "prompt": "x", "clip": []}', r"p.jsonl:1: clip is \[\]"),
        ('{"id": "a", "prompt": "x", "instruments": "harp"}', r"p.jsonl:1: instruments is 'harp'"),
        ('{"id": "a", "prompt": "x"}\n{"id": "a", "prompt": "x"}', r"p.jsonl:2: id 'a' appears"),
    ):
        path.write_text(text)
        with pytest.raises(MetricError, match=message):
            read_prompts(path)
    path.write_bytes(b'\xff\xfe{"id": "a"}')
    with pytest.raises(MetricError, match=r"p.jsonl:1: "):
        read_prompts(path)
    with pytest.raises(MetricError, match="no such prompts file"):
        read_prompts(tmp_path / "none.jsonl")


def test_a_cut_off_cache_entry_is_computed_again(tmp_path):
    cache = Cache(tmp_path)
    cache.write("x", "ab" * 32, {"a": np.arange(1_000)})
    path = cache.path("x", "ab" * 32)
    path.write_bytes(path.read_bytes()[:500])
    assert cache.read("x", "ab" * 32) is None
    path.write_bytes(b"")
    assert cache.read("x", "ab" * 32) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ()}, "no metric is asked for"),
        ({"seed": -1}, "seed is -1"),
        ({"preset": replace(V1, is_splits=0)}, "is_splits is 0"),
    ],
)
def test_impossible_requests_are_refused(tmp_path, changes, message):
    with pytest.raises(MetricError, match=message):
        EvaluationRequest(**{"gen": tmp_path, "preset": V1, **changes})


def test_results_go_into_a_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        refuse_overwriting(tmp_path / "file", allowed=True)


def test_prompts_come_from_the_records_of_generate(tmp_path):
    write_folder(tmp_path, {"a-take0": melody(0), "b": melody(1), "c": melody(2)})
    record = complete_record(
        {"request": {"prompt": "slow piano", "bpm": 70, "key": "A minor"}}, {}, mark=False
    )
    (tmp_path / "a-take0.json").write_text(to_json(record))
    (tmp_path / "b.json").write_text("[1, 2]")
    (tmp_path / "c.json").write_text("not JSON")
    prompts = recorded_prompts(list_audio(tmp_path))
    assert list(prompts) == ["a"]
    assert (prompts["a"].text, prompts["a"].bpm) == ("slow piano", 70)


def test_folders_are_checked(tmp_path):
    with pytest.raises(MetricError, match="no such folder"):
        list_audio(tmp_path / "none")
    with pytest.raises(MetricError, match=r"holds no \.wav"):
        list_audio(tmp_path)
    write_folder(tmp_path, {"a": melody(0)})
    shutil.copy(tmp_path / "a.wav", tmp_path / "a.flac")
    with pytest.raises(MetricError, match="share the id 'a'"):
        list_audio(tmp_path)
    with pytest.raises(MetricError, match="no metric nonsense"):
        EvaluationRequest(gen=tmp_path, preset=get_preset("v1"), metrics=("nonsense",))
