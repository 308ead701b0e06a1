"""The audit command exports what training would mix, and says how well it fits."""

import argparse
import json

import numpy as np
import pytest
import soundfile
import torch
from tiny_music import write_tiny_music

from musicgen_ldm.audio import fit_length
from musicgen_ldm.cli import mixup as command
from musicgen_ldm.config.mixup import MixupConfig
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.config.training import DataConfig
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.manifest import read_manifest
from musicgen_ldm.data.mixup_audit import MixupAudit, decoded, distribution, measure_pair
from musicgen_ldm.errors import CheckpointError, ConfigError, ManifestError, OutputError
from musicgen_ldm.mixup.mix import Mixture
from musicgen_ldm.mixup.sync import Alignment, TimeMap, Track


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_tiny_music(tmp_path_factory.mktemp("music"))


def audit(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(["audit", *map(str, words)]))


def test_pairs_are_exported_measured_and_summed_up(manifest, tmp_path, capsys):
    out = tmp_path / "audit"
    assert (
        audit(manifest, "--pairs", 5, "--out", out, "--set", "sync=downbeats", "match_energy=true")
        == 0
    )
    lines = [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]
    assert len(lines) == 5
    for line in lines:
        samples, rate = soundfile.read(out / line["file"])
        assert rate == 16_000
        assert np.abs(samples).max() == pytest.approx(0.5, abs=1e-3)
        assert line["anchor"] != line["partner"]
        assert line["tempo_ratio"] == pytest.approx(1, abs=0.02)
        assert line["downbeat_error_ms"] < 1e-6
        assert line["level_difference_db"] == pytest.approx(0, abs=1e-3)
    printed = capsys.readouterr().out
    assert "downbeat error (ms)" in printed
    assert "0 of 8 clips have no partner; 5 pairs in" in printed


def test_json_summary_and_same_seed_same_pairs(manifest, tmp_path, capsys):
    for name in "ab":
        audit(manifest, "--pairs", 3, "--out", tmp_path / name, "--seed", 4, "--json")
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == second
    assert first["distribution"]["seconds"]["p100"] <= 2.56
    pairs = [(tmp_path / name / "pairs.jsonl").read_text() for name in "ab"]
    assert pairs[0] == pairs[1]


def test_plain_mixup_has_no_downbeats_to_compare(manifest, tmp_path, capsys):
    audit(manifest, "--pairs", 4, "--out", tmp_path / "plain", "--json", "--set", "kind=plain")
    summary = json.loads(capsys.readouterr().out)
    assert "downbeat error (ms)" not in summary["distribution"]
    assert summary["distribution"]["tempo ratio"]["p100"] > 1.2  # 180 meets 240 bpm


def test_latent_mixup_is_audited_at_the_levels_it_mixes(manifest, tmp_path):
    """Its halves are normalised on their own, so raw levels say nothing."""
    audit(manifest, "--pairs", 4, "--out", tmp_path / "blm", "--set", "kind=blm")
    audit(manifest, "--pairs", 4, "--out", tmp_path / "bam")
    levels = [
        [json.loads(line)["level_difference_db"] for line in lines.read_text().splitlines()]
        for lines in (tmp_path / "blm/pairs.jsonl", tmp_path / "bam/pairs.jsonl")
    ]
    assert levels[0] != levels[1]


def test_latent_mixtures_are_exported_as_clap_hears_them(manifest, tiny_folder, tmp_path):
    out = tmp_path / "blm"
    audit(manifest, "--pairs", 3, "--out", out, "--decode", tiny_folder, "--set", "kind=blm")
    lines = [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]
    for line in lines:
        mixture, heard = (soundfile.read(out / line[kind])[0] for kind in ("file", "decoded"))
        assert line["decoded"] == line["file"].replace(".wav", "-decoded.wav")
        assert len(heard) == 163_840  # a training window
        assert np.abs(heard).max() > 0
        assert not np.array_equal(mixture, heard[: len(mixture)])
    assert len(list(out.glob("*.wav"))) == 6


def test_what_is_exported_is_what_training_embeds(manifest, tiny_folder):
    clips = ClipDataset.for_mel(DataConfig(manifest=str(manifest)), "train", MelConfig(), 0)
    ((_, mixture),) = MixupAudit(clips, MixupConfig(kind="blm"), seed=0).pairs(1)
    encoder, embedded = command._encoder(str(tiny_folder)), []
    encoder.embed_audio = lambda sound: embedded.append(sound) or torch.zeros(1, 1)
    halves = (
        torch.from_numpy(fit_length(part, clips.num_samples))[None]
        for part in (mixture.first, mixture.second)
    )
    with torch.no_grad():
        encoder._mix(*halves, torch.tensor([mixture.ratio]), torch.Generator().manual_seed(5))
    np.testing.assert_array_equal(decoded(mixture, encoder, clips.num_samples, 5), embedded[0][0])


def test_no_shared_bar_line_is_no_error_of_zero(manifest):
    anchor, partner = (
        Track(np.ones(16_000, np.float32), 16_000, (0.0, 0.5), bars)
        for bars in ((0.0, 0.9), (0.0, 0.9))
    )
    alignment = Alignment(TimeMap(np.array([0.0, 1.0]), np.array([0.0, 1.0])), 0.1, 0.8)
    mixture = Mixture(anchor.samples, anchor.samples, partner.samples, 0.5, alignment)
    assert measure_pair(("a", "b"), mixture, anchor, partner, "").downbeat_error_ms is None


def test_clips_without_bar_lines_are_an_error_with_a_reason(manifest):
    clips = [c for c in read_manifest(manifest) if c.id in ("clip0", "clip1")]
    source = ClipDataset(
        clips, manifest.parent, sample_rate=16_000, num_samples=16_000, peak=0.5, seed=0
    )
    lonely = MixupAudit(source, MixupConfig(kind="bam"), seed=0)
    assert lonely.group_sizes() == [0, 0]
    with pytest.raises(ManifestError, match="no partner of its tempo"):
        list(lonely.pairs(1))


def test_what_cannot_be_done_is_refused(manifest, tmp_path):
    with pytest.raises(ConfigError, match="kind=none mixes nothing"):
        audit(manifest, "--out", tmp_path / "x", "--set", "kind=none")
    with pytest.raises(ConfigError, match="not a field of MixupConfig"):
        audit(manifest, "--out", tmp_path / "x", "--set", "knid=bam")
    with pytest.raises(ConfigError, match="--pairs 0"):
        audit(manifest, "--out", tmp_path / "x", "--pairs", 0)
    with pytest.raises(ConfigError, match="kind=bam mixes no latents; set kind=blm"):
        audit(manifest, "--out", tmp_path / "x", "--decode", tmp_path)
    with pytest.raises(CheckpointError, match="holds no vae"):
        audit(manifest, "--out", tmp_path / "x", "--decode", tmp_path, "--set", "kind=blm")
    assert not (tmp_path / "x").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(OutputError, match="exists and is not empty"):
        audit(manifest, "--out", tmp_path / "full")
    assert distribution([]) == {}
