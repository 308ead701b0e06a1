"""The tagger: shapes, targets, losses, saving, learning, and its part in the evaluation."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_music import RATE, melody, write_folder

from musicgen_ldm.config.tagger_training import (
    TAGGER_MEL,
    TaggerNetworkConfig,
    TaggerStageConfig,
    TempoBins,
)
from musicgen_ldm.config.training import DataConfig
from musicgen_ldm.data.manifest import Clip, Tags, write_manifest
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.errors import CheckpointError, ConfigError, TrainingError
from musicgen_ldm.metrics import evaluation
from musicgen_ldm.metrics.embedders import load_embedder
from musicgen_ldm.metrics.presets import get_preset
from musicgen_ldm.metrics.request import EvaluationRequest
from musicgen_ldm.models.tagger import (
    Tagger,
    Vocabulary,
    load_tagger,
    save_tagger,
    tagger_mel,
    tempo_bin,
)
from musicgen_ldm.training import tagger as stage
from musicgen_ldm.training.stages import load_stage_config
from musicgen_ldm.training.tagger_examples import DB_PER_NEPER, traits_of
from musicgen_ldm.training.task import StepContext

SMALL = TaggerNetworkConfig(channels=(4, 8, 8), embedding_dim=12, dropout=0.0)
WORDS = Vocabulary(
    instruments=("bass", "harp"), genres=("bright", "dark"), traits=("drums",), tempo=TempoBins()
)
HEADS = {"instruments": 2, "genre": 2, "tempo": 24, "traits": 1}


def clip(name, path, tags, split="train", **extra):
    return Clip(id=name, path=path, sha256="0" * 64, start_s=0.0, duration_s=2.0,
                sample_rate=RATE, captions=("x",), tags=tags, beats_s=(), downbeats_s=(),
                split=split, licence="CC0-1.0", source="test", attribution="test",
                extra=extra)  # fmt: skip


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    """Sixteen dark and bright melodies; the last knows neither genre, tempo nor instruments."""
    folder = tmp_path_factory.mktemp("tagged")
    clips, sounds = [], {}
    for i in range(16):
        is_bright = i % 2 == 1
        sounds[f"c{i}"] = melody(i, seconds=2, harmonics=8 if is_bright else 1)
        tags = Tags(genre="bright" if is_bright else "dark", bpm=120.0,
                    instruments=("harp",) if is_bright else ("bass",))  # fmt: skip
        facts = {"kind": "band", "has_drums": is_bright}
        split = "valid" if i >= 12 else "train"
        clips.append(clip(f"c{i}", f"c{i}.wav", tags, split, facts=facts))
    sounds["odd"] = melody(99, seconds=2)
    clips.append(clip("odd", "odd.wav", Tags()))
    write_folder(folder, sounds)
    write_manifest(folder / "manifest.jsonl", clips)
    return folder / "manifest.jsonl"


@pytest.fixture
def config(manifest):
    return TaggerStageConfig(
        preset="tiny",
        network=SMALL,
        min_clips=3,
        data=DataConfig(manifest=str(manifest), seconds=2),
    )


def test_any_length_gives_every_head_its_classes():
    network = Tagger(SMALL, WORDS).eval()
    for frames in (8, 100, 333):
        output = network(torch.randn(3, 1, frames, TAGGER_MEL.num_bins))
        assert output.embedding.shape == (3, 12)
        assert (output.embedding >= 0).all()
        assert {name: getattr(output, name).shape for name in HEADS} == {
            name: (3, size) for name, size in HEADS.items()
        }
    with pytest.raises(ConfigError, match="at most 6 blocks"):
        TaggerNetworkConfig(channels=(1,) * 7)


def test_tempo_bins_have_equal_ratios_and_fold_octaves():
    bins = TempoBins()
    found = [tempo_bin(50.0 * 2 ** (i / 12) * 1.01, bins) for i in range(24)]
    assert found == list(range(24))
    assert tempo_bin(240.0, bins) == tempo_bin(60.0, bins)
    assert tempo_bin(30.0, bins) == tempo_bin(120.0, bins)


def test_vocabulary_keeps_what_is_frequent(config):
    task = stage.TaggerTask(config)
    assert task.vocabulary == WORDS
    with pytest.raises(TrainingError, match="min_clips=100"):
        stage.TaggerTask(replace(config, min_clips=100))


def test_traits_are_learned_where_facts_tell_them_apart():
    facts = {"kind": "solo", "has_drums": False}
    assert traits_of(clip("a", "a", Tags())) == {}
    assert traits_of(clip("a", "a", Tags(), facts=facts, sequence=[0])) == {}
    assert traits_of(clip("a", "a", Tags(), facts=facts)) == {
        "drums": False, "solo": True, "electronic": False,
    }  # fmt: skip


def test_loudness_is_no_tag():
    sound = torch.from_numpy(melody(3, seconds=1)).float()[None]
    torch.testing.assert_close(tagger_mel(sound), tagger_mel(0.1 * sound), atol=1e-3, rtol=0)


def test_training_draws_window_and_colour_and_validation_does_not(config, tmp_path):
    task = stage.TaggerTask(replace(config, cache=str(tmp_path)))
    train, valid = task.dataset("train"), task.dataset("valid")
    first, again, later = (train[ClipRef(epoch, 0)]["mel"] for epoch in (0, 0, 1))
    assert first.shape == (1, 100, TAGGER_MEL.num_bins)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - later).max() > 0.01
    reach = config.tilt_db / 2 / DB_PER_NEPER
    plain = train.cache[0]["mel"].float().numpy()
    assert np.abs(first[0] - plain).max() <= reach + 1e-3
    np.testing.assert_array_equal(valid[ClipRef(0, 0)]["mel"], valid[ClipRef(1, 0)]["mel"])


def test_the_threshold_is_where_the_f_measure_peaks():
    logits = torch.tensor([[3.0, -1.0], [1.0, 0.5], [9.0, 9.0]])
    wanted = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])  # the last is unknown
    threshold, f1 = stage.best_threshold(logits, wanted)
    assert (threshold, f1) == (pytest.approx(-0.25), 1)
    assert stage.best_threshold(logits, torch.zeros(3, 2)) == (0, 0)


def test_unknown_tags_add_nothing_to_the_loss(config):
    task = stage.TaggerTask(config)
    data = task.dataset("train")
    known, odd = (task.collate([data[ClipRef(0, i)]]) for i in (0, 12))
    assert odd["id"] == ["odd"]
    network = task.models["network"].eval()
    wanted = {name: torch.cat([known[name], odd[name]]) for name in stage.HEADS}
    mel = torch.randn(2, 1, 64, 64)
    both = stage.head_losses(network(mel), wanted)
    alone = stage.head_losses(network(mel[:1]), {n: known[n] for n in stage.HEADS})
    for name, value in both.items():
        assert value.item() == pytest.approx(alone[name].item(), abs=1e-6)
    nothing = stage.head_losses(network(mel[1:]), {n: odd[n] for n in stage.HEADS})
    assert nothing["loss"].item() == 0


def test_mixup_blends_inputs_and_targets_alike():
    mel = torch.arange(4.0)[:, None, None, None].expand(4, 1, 2, 3)
    wanted = {"genre": torch.arange(4.0)[:, None]}
    mixed, blended = stage.mixup(mel, wanted, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(mixed[:, 0, 0, 0], blended["genre"][:, 0], atol=1e-6)
    again, _ = stage.mixup(mel, wanted, torch.Generator().manual_seed(0))
    assert torch.equal(mixed, again)
    assert not torch.equal(mixed, mel)


def test_it_learns_and_its_export_hears_the_same(config, tmp_path):
    torch.manual_seed(0)
    task = stage.TaggerTask(config)
    data = task.dataset("train")
    optimizer = torch.optim.AdamW(task.models["network"].parameters(), lr=1e-2)

    def optimize(name, loss):
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    generator = torch.Generator().manual_seed(0)
    batch = task.collate([data[ClipRef(0, i)] for i in range(12)])
    losses = [task.step(batch, StepContext(i, generator, optimize)) for i in range(40)]
    assert losses[-1]["loss"] < 0.6 * losses[0]["loss"]
    task.models["network"].eval()
    valid = task.dataset("valid")
    held = task.collate([valid[ClipRef(0, i)] for i in range(len(valid))])
    with torch.no_grad():
        scores = task.validate([held, held], generator)
    sure = ("genre_top1", "merged_top1", "instrument_top1", "instrument_f1", "tempo_near", "drums")
    assert {name: scores[name] for name in sure} == dict.fromkeys(sure, 1)
    task.export(tmp_path)
    found = load_embedder(f"tagger:{tmp_path}")
    sounds = np.stack([valid.clips.whole(clip) for clip in valid.clips.clips])
    features = found(sounds)
    genres = [found.genres[i] for i in features.logits.argmax(axis=1)]
    assert genres == ["dark", "bright", "dark", "bright"]
    assert ((features.tags > 0) == [[True, False], [False, True]] * 2).all()
    assert (features.traits[:, 0] > 0).tolist() == [False, True] * 2
    assert found.identity == load_embedder(f"tagger:{tmp_path / 'tagger.safetensors'}").identity


def test_saving_keeps_sizes_and_words_and_refuses_other_files(tmp_path):
    torch.manual_seed(0)
    network = Tagger(SMALL, WORDS).eval()
    network.threshold = -0.5
    save_tagger(network, tmp_path / "tagger.safetensors")
    again = load_tagger(tmp_path / "tagger.safetensors")
    assert (again.config, again.vocabulary, again.threshold) == (SMALL, WORDS, -0.5)
    assert not any(p.requires_grad for p in again.parameters())
    mel = torch.randn(1, 1, 40, 64)
    torch.testing.assert_close(again(mel).genre, network(mel).genre, atol=5e-3, rtol=0)
    with pytest.raises(CheckpointError, match=r"musicgen-ldm train configs/tagger\.yaml"):
        load_tagger(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="no tagger at"):
        load_embedder(f"tagger:{tmp_path / 'elsewhere'}")


def test_the_shipped_configuration_is_readable(manifest):
    config = load_stage_config("configs/tagger.yaml", [f"data.manifest={manifest}"])
    assert isinstance(config, TaggerStageConfig)
    assert config.data.seconds == 10


def test_evaluation_gains_classes_and_attributes(audio, cache, workers, tmp_path):
    torch.manual_seed(0)
    save_tagger(Tagger(SMALL, WORDS), tmp_path / "tagger.safetensors")
    lines = [
        {
            "id": f"clip{i:02d}",
            "prompt": "x",
            "genre": "dark",
            "instruments": ["harp", "kazoo"],
            "lead": ("harp", "kazoo")[i % 2],
            "drums": True,
            "solo": True,
        }
        for i in range(12)
    ]
    prompts = tmp_path / "p.jsonl"
    prompts.write_text("\n".join(map(json.dumps, lines)))
    request = EvaluationRequest(
        gen=audio / "gen", ref=audio / "ref", prompts=prompts, preset=get_preset("v1"),
        metrics=("is", "kl", "obedience"),
    )  # fmt: skip
    found = evaluation.evaluate(
        request, [load_embedder(f"tagger:{tmp_path}")], cache, workers
    ).metrics
    assert 1 - 1e-6 <= found["is.tagger.v1"].value <= 2.1
    for name in ("kl_ref_gen", "kl_gen_ref", "bernoulli_ref_gen"):
        assert found[f"{name}.tagger.v1"].value >= 0
        assert found[f"{name}.tagger.v1"].n_gen == 12
    counts = {"genre_top1": 12, "instruments": 12, "instruments_f1": 12, "lead": 6, "drums": 12}
    for name, count in counts.items():  # what the tagger has no word for does not count
        assert found[f"obeys.{name}.v1"].n_gen == found[f"obeys.{name}_ceiling.v1"].n_ref == count
        assert 0 <= found[f"obeys.{name}.v1"].value <= 1
    assert found["obeys.genre_top5.v1"].value == 1
    assert found["obeys.genre_top5.v1"].warnings == ("FLOOR_NOT_BEATEN",)
    assert "no prompt asks" in found["obeys.solo.v1"].reason
