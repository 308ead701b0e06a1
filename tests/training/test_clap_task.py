"""The clap stage on eight short clips."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_music import write_tiny_music
from transformers import ClapModel

from musicgen_ldm.audio import read_audio
from musicgen_ldm.config.clap_training import ClapStageConfig, TargetConfig
from musicgen_ldm.config.models import PRESETS
from musicgen_ldm.config.training import DataConfig, OptimConfig, RunConfig
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.errors import ConfigError
from musicgen_ldm.models.clap import ClapEmbedder
from musicgen_ldm.training.clap import ClapTask
from musicgen_ldm.training.clap_folder import load_clap
from musicgen_ldm.training.clap_validation import recall_at, zero_shot
from musicgen_ldm.training.loop import Trainer
from musicgen_ldm.training.run_folder import read_metrics
from musicgen_ldm.training.task import StepContext


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_tiny_music(tmp_path_factory.mktemp("music"))


@pytest.fixture
def make_config(manifest, tmp_path):
    def make(**changes):
        defaults = {
            "preset": "tiny",
            "model": PRESETS["tiny"],
            "data": DataConfig(manifest=str(manifest)),
            "run": RunConfig(
                out=str(tmp_path / "run"), device="cpu", valid_every=2, sample_every=99,
                save_every=1, log_every=1, valid_clips=4, trackers=(),
            ),
            "optim": OptimConfig(lr=2e-3),
            "batch_size": 4,
            "max_steps": 2,
            "cache": str(tmp_path / "cache"),
        }  # fmt: skip
        return ClapStageConfig(**(defaults | changes))

    return make


def batch_of(task, indices=range(4), epoch=0):
    source = task.dataset("train")
    return task.collate([source[ClipRef(epoch, index)] for index in indices])


def run_step(task, batch, optimizer):
    def update(name, loss):
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return task.step(batch, StepContext(0, torch.Generator().manual_seed(0), update))


def test_a_run_trains_resumes_and_exports_a_stock_model(make_config, tmp_path):
    config = make_config(hard_negatives=2)
    whole = Trainer(config, lambda: ClapTask(config))
    whole.fit()
    valid = [line for line in read_metrics(tmp_path / "run/metrics.jsonl") if "valid/loss" in line]
    for name in ("zero_shot/genre", "zero_shot/instrument", "zero_shot/tempo", "text_to_audio_r@1",
                 "hard_negative_accuracy"):  # fmt: skip
        assert 0 <= valid[-1][f"valid/{name}"] <= 1
    first = replace(config, max_steps=1, run=replace(config.run, out=str(tmp_path / "halves")))
    Trainer(first, lambda: ClapTask(first)).fit()
    rest = replace(first, max_steps=2)
    resumed = Trainer(rest, lambda: ClapTask(rest), resume=True)
    resumed.fit()
    ours, theirs = (t.bare_models["clap"].state_dict() for t in (whole, resumed))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    exported = load_clap(tmp_path / "run")
    assert isinstance(exported.model, ClapModel)
    assert exported.text(["a waltz"]).shape == (1, exported.dim)


def test_the_training_window_is_what_inference_sees(make_config, manifest):
    task = ClapTask(make_config(cache=None))
    batch = batch_of(task, [0])
    task.models["clap"].eval()
    embedder = ClapEmbedder(task.models["clap"], task.tokenizer, task.extractor)
    waveform = read_audio(manifest.parent / "clip0.wav")
    samples = waveform.samples - waveform.samples.mean()
    peak = type(waveform)(0.5 * samples / np.abs(samples).max(), waveform.sample_rate)
    with torch.no_grad():
        audio, text, _ = task._embed(batch)
    torch.testing.assert_close(audio, embedder.audio([peak]), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        text, embedder.text([task.dataset("train")[ClipRef(0, 0)]["caption"]]), atol=1e-5, rtol=0
    )


def test_one_batch_can_be_learned(make_config):
    torch.manual_seed(0)
    task = ClapTask(make_config(hard_negatives=2))
    batch = batch_of(task)
    optimizer = torch.optim.AdamW(task.models["clap"].parameters(), lr=5e-4)
    first = float(run_step(task, batch, optimizer)["loss"])
    # Releases of transformers begin with different weights, some of which take longer.
    losses = (float(run_step(task, batch, optimizer)["loss"]) for _ in range(200))
    assert any(loss < 0.5 * first for loss in losses)


def test_frozen_text_layers_stay_bitwise_equal(make_config):
    task = ClapTask(make_config(frozen_text_layers=1))
    clap = task.models["clap"]
    before = {name: p.clone() for name, p in clap.named_parameters()}
    optimizer = task.optimizers()["clap"].optimizer
    for _ in range(2):
        run_step(task, batch_of(task), optimizer)
    for name, parameter in clap.named_parameters():
        frozen = name.startswith(("text_model.embeddings", "text_model.encoder.layer.0."))
        assert torch.equal(before[name], parameter) == frozen or parameter.numel() == 0, name


def test_the_text_tower_has_its_own_rate_and_vectors_do_not_decay(make_config):
    task = ClapTask(make_config(text_lr_factor=0.1))
    groups = task.optimizers()["clap"].optimizer.param_groups
    assert {(round(g["lr"], 6), g["weight_decay"]) for g in groups} == {
        (2e-3, 0.01), (2e-3, 0.0), (2e-4, 0.01), (2e-4, 0.0),
    }  # fmt: skip
    trained = sum(p.numel() for g in groups for p in g["params"])
    assert trained == sum(p.numel() for p in task.models["clap"].parameters())


@pytest.mark.parametrize(
    "targets",
    [
        TargetConfig(kind="identity"),
        TargetConfig(kind="cwcl_exp", reference="tags"),
        TargetConfig(kind="cwcl_exp", reference="captions"),
        TargetConfig(kind="cwcl_linear", symmetric=False),
    ],
)
def test_every_kind_of_target_trains(make_config, targets):
    task = ClapTask(make_config(targets=targets))
    metrics = run_step(task, batch_of(task), task.optimizers()["clap"].optimizer)
    assert torch.isfinite(metrics["loss"])
    assert 1 - 1e-5 <= metrics["n_eff"] <= 4 + 1e-5
    torch.testing.assert_close(metrics["log_n_eff"].exp(), metrics["n_eff"])


def test_cached_spectrograms_equal_fresh_ones(make_config):
    cached, fresh = ClapTask(make_config()), ClapTask(make_config(cache=None))
    for epoch in range(2):
        first, second = batch_of(cached, epoch=epoch), batch_of(fresh, epoch=epoch)
        torch.testing.assert_close(first["mel"], second["mel"], atol=0.05, rtol=0)  # dB, fp16
        assert torch.equal(first["input_ids"], second["input_ids"])


def test_captions_change_from_epoch_to_epoch(make_config):
    source = ClapTask(make_config()).dataset("train")
    captions = {source[ClipRef(epoch, 0)]["caption"] for epoch in range(20)}
    assert captions == set(source.clips.clips[0].captions)


def test_gain_moves_the_level_and_nothing_else(make_config):
    source = ClapTask(make_config(gain_db=6.0, cache=None)).dataset("train")
    plain = ClapTask(make_config(cache=None)).dataset("train")
    difference = source[ClipRef(0, 1)]["mel"] - plain[ClipRef(0, 1)]["mel"]
    loud = plain[ClipRef(0, 1)]["mel"] > -80
    assert 0.01 < abs(difference[loud].mean()) <= 6
    assert difference[loud].std() < 1e-4


def test_recall_counts_equal_captions_as_positives():
    audio = torch.eye(4)
    text = torch.eye(4)[[1, 0, 2, 3]]  # the first two are swapped
    assert recall_at(text, audio, torch.arange(4), 1) == 0.5
    assert recall_at(text, audio, torch.tensor([7, 7, 2, 3]), 1) == 1.0


def test_zero_shot_is_perfect_for_a_perfect_embedder(make_config):
    clips = ClapTask(make_config()).dataset("train").clips.clips

    def embed(sentences):
        names = ["techno", "waltz", "piano", "flute", "slow", "fast"]
        return torch.tensor([[float(name in s) for name in names] for s in sentences])

    audio = embed([f"{c.tags.genre} {c.tags.instruments[0]} {c.extra['facts']['tempo_word']}"
                   for c in clips])  # fmt: skip
    assert zero_shot(audio, clips, embed) == {"genre": 1.0, "instrument": 1.0, "tempo": 1.0}
    chance = zero_shot(audio.roll(1, dims=0), clips, embed)
    assert chance["genre"] == 0.0


def test_a_frozen_audio_tower_embeds_as_before(make_config, tmp_path):
    first = make_config(max_steps=1)
    Trainer(first, lambda: ClapTask(first)).fit()
    config = make_config(
        init=str(tmp_path / "run"), frozen_audio=True, facts_weight=1.0, max_steps=2,
        run=replace(first.run, out=str(tmp_path / "second")),
    )  # fmt: skip
    Trainer(config, lambda: ClapTask(config)).fit()
    before, after = (load_clap(tmp_path / run).model.state_dict() for run in ("run", "second"))
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"text_model", "text_projection", "logit_scale_a", "logit_scale_t"}


def test_an_untrained_audio_tower_cannot_be_frozen(make_config):
    with pytest.raises(ConfigError, match="init="):
        make_config(frozen_audio=True)


def test_a_frozen_audio_tower_hears_what_a_trained_one_hears(make_config, tmp_path):
    first = make_config(max_steps=1)
    Trainer(first, lambda: ClapTask(first)).fit()
    whole = ClapTask(make_config(init=str(tmp_path / "run")))
    half = ClapTask(make_config(init=str(tmp_path / "run"), frozen_audio=True))
    clips, vectors = (task.dataset("valid") for task in (whole, half))
    whole._clap.eval()
    with torch.no_grad():
        for index in range(2):
            ref = ClipRef(0, index)
            batch = whole.collate([clips[ref]])
            _, text, _ = whole._embed(batch)
            theirs, words, _ = half._embed(half.collate([vectors[ref]]))
            window = torch.from_numpy(clips.first_window(index))[None, None]
            assert torch.allclose(theirs, whole._embed_audio(window), atol=1e-6)
            assert torch.allclose(text, words, atol=1e-6)
            assert vectors[ref]["caption"] == clips[ref]["caption"]


def test_sentences_and_sounds_learn_to_tell_facts(make_config):
    task = ClapTask(make_config(facts_weight=3.0, optim=OptimConfig(lr=5e-3)))
    batch = batch_of(task)
    optimizer = task.optimizers()["clap"].optimizer
    first = run_step(task, batch, optimizer)
    for _ in range(30):
        last = run_step(task, batch, optimizer)
    assert last["facts"] < first["facts"]
    with torch.no_grad():
        audio, text, _ = task._embed(batch)
        named = task._named(audio, text, batch["clip"])
    assert named["text_names/genre"] == 1


def test_resuming_continues_the_heads_of_facts_too(make_config, tmp_path):
    config = make_config(facts_weight=1.0)
    whole = Trainer(config, lambda: ClapTask(config))
    whole.fit()
    first = replace(config, max_steps=1, run=replace(config.run, out=str(tmp_path / "halves")))
    Trainer(first, lambda: ClapTask(first)).fit()
    rest = replace(first, max_steps=2)
    resumed = Trainer(rest, lambda: ClapTask(rest), resume=True)
    resumed.fit()
    for name in ("clap", "facts"):
        ours, theirs = (t.bare_models[name].state_dict() for t in (whole, resumed))
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
