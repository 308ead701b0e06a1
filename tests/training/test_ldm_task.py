"""The ldm stage on eight short clips and a tiny checkpoint."""

import json
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from processes import distributed, in_processes
from safetensors.torch import load_file
from tiny_music import write_tiny_music
from torch.nn import functional as F

from musicgen_ldm.audio import Waveform
from musicgen_ldm.checkpoint import load, save
from musicgen_ldm.config.ldm_training import (
    CacheConfig,
    ComponentsConfig,
    ConditionConfig,
    LdmStageConfig,
    LoraConfig,
    PreviewConfig,
)
from musicgen_ldm.config.mixup import MixupConfig
from musicgen_ldm.config.models import PRESETS
from musicgen_ldm.config.training import DataConfig, OptimConfig, RunConfig
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.errors import CheckpointError, ConfigError
from musicgen_ldm.models.bridge import Bridge
from musicgen_ldm.training import ldm
from musicgen_ldm.training.features import fill_features
from musicgen_ldm.training.ldm import LdmTask
from musicgen_ldm.training.loop import Trainer
from musicgen_ldm.training.run_folder import read_metrics
from musicgen_ldm.training.task import StepContext

SECONDS = 2.56
PREVIEW = PreviewConfig(prompts=("a waltz",), seconds=0.64, steps=2)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_tiny_music(tmp_path_factory.mktemp("music"))


@pytest.fixture
def make_config(manifest, tiny_folder, tmp_path):
    def make(**changes):
        folder = str(tiny_folder)
        defaults = {
            "preset": "tiny",
            "model": PRESETS["tiny"],
            "components": ComponentsConfig(vae=folder, vocoder=folder, clap=folder),
            "data": DataConfig(manifest=str(manifest), seconds=SECONDS),
            "run": RunConfig(
                out=str(tmp_path / "run"), device="cpu", valid_every=2, sample_every=4,
                save_every=2, log_every=1, valid_clips=4, trackers=(),
            ),
            "optim": OptimConfig(lr=1e-3),
            "batch_size": 4,
            "max_steps": 4,
            "crop_seconds": 0.64,
            "valid_timesteps": 2,
            "preview": PREVIEW,
            "cache": CacheConfig(folder=str(tmp_path / "cache")),
        }  # fmt: skip
        return LdmStageConfig(**(defaults | changes))

    return make


def batch_of(task, indices=range(4), epoch=0):
    source = task.dataset("train")
    return task.collate([source[ClipRef(epoch, index)] for index in indices])


def run_step(task, batch, seed=0, optimize=None):
    losses = []
    optimizer = task.optimizers()["unet"].optimizer

    def update(name, loss):
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())

    generator = torch.Generator().manual_seed(seed)
    task.step(batch, StepContext(index=0, generator=generator, optimize=optimize or update))
    return losses


def snapshot(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def test_a_run_trains_resumes_and_exports(make_config, tmp_path):
    config = make_config()
    reference = Trainer(config, lambda: LdmTask(config))
    assert reference.fit()
    lines = read_metrics(tmp_path / "run/metrics.jsonl")
    valid = [line for line in lines if "valid/loss_audio" in line]
    assert [line["step"] for line in valid] == [2, 4]
    for name in ("loss_text", "loss_null", "loss_bridge/ridge", "closure/memory"):
        assert np.isfinite(valid[-1][f"valid/{name}"])
    export = tmp_path / "run/export"
    unet = UNet2DConditionModel.from_pretrained(export / "unet")
    assert unet.config.class_embeddings_concat
    assert Bridge.load(export / "bridge/memory").mode == "memory"
    assert (export / "scheduler/scheduler_config.json").is_file()
    assert list((tmp_path / "run/samples").glob("*/01-a-waltz.wav"))


def test_a_released_checkpoint_in_half_precision_can_be_trained_on(
    make_config, tiny_folder, tmp_path
):
    folder = str(save(load(tiny_folder), tmp_path / "released", half=True))
    config = make_config(
        components=ComponentsConfig(vae=folder, vocoder=folder, clap=folder, unet=folder),
        max_steps=1,
    )
    trainer = Trainer(config, lambda: LdmTask(config))
    trainer.fit()
    networks = [*trainer.bare_models.values(), *trainer.task.frozen.values()]
    assert {p.dtype for network in networks for p in network.parameters()} == {torch.float32}


def test_features_computed_ahead_by_two_processes_are_what_training_reads(make_config, monkeypatch):
    config = make_config()
    for rank in (0, 1):
        launched = SimpleNamespace(
            device="cpu", share=lambda items, rank=rank: items[rank::2], wait=lambda: None
        )
        stored = fill_features(config, LdmTask(config), launched)
        assert stored == (6, 12)[rank]  # of eight clips to train on and four to validate
    task = LdmTask(config)
    monkeypatch.setattr(task.encoder, "encode", None)
    assert batch_of(task, range(8))["moments"].shape[0] == 8
    uncached = make_config(cache=CacheConfig())
    with pytest.raises(ConfigError, match=r"set cache \(clap\) or cache\.folder \(ldm\)"):
        fill_features(uncached, LdmTask(uncached), launched)


def test_mixtures_of_other_licences_are_not_taken_from_the_store(make_config, manifest):
    """A stored mixture may hold a partner that is no longer allowed."""

    def store(*licences):
        data = DataConfig(manifest=str(manifest), seconds=SECONDS, licences=licences)
        mixup = MixupConfig(kind="bam", tempo_bin_bpm=1000)
        config = make_config(data=data, mixup=mixup)
        return LdmTask(config).dataset("train").cache.store.folder

    assert store() != store("CC0-1.0")
    assert store("CC0-1.0") == store("CC0-1.0")


def test_mixtures_stored_before_a_switch_existed_are_still_found(make_config):
    """Unless it is used."""

    def identity(**switches):
        task = LdmTask(make_config(mixup=MixupConfig(kind="bam", **switches)))
        stored = task.dataset("train").cache.store.folder / "identity.json"
        return json.loads(stored.read_text())["mixup"]

    assert "min_beat_confidence" not in identity()
    assert identity(min_beat_confidence=0.4)["min_beat_confidence"] == 0.4


def test_an_interrupted_run_ends_with_the_same_weights(make_config, tmp_path):
    config = make_config(run=RunConfig(
        out=str(tmp_path / "whole"), device="cpu", save_every=2, valid_clips=0,
        sample_every=99, trackers=(),
    ))  # fmt: skip
    whole = Trainer(config, lambda: LdmTask(config))
    whole.fit()
    halves = replace(config, run=replace(config.run, out=str(tmp_path / "halves")), max_steps=2)
    Trainer(halves, lambda: LdmTask(halves)).fit()
    rest = replace(halves, max_steps=4)
    resumed = Trainer(rest, lambda: LdmTask(rest), resume=True)
    resumed.fit()
    first, second = (t.bare_models["unet"].state_dict() for t in (whole, resumed))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_frozen_parts_stay_bitwise_equal(make_config):
    task = LdmTask(make_config())
    before = {name: snapshot(module) for name, module in task.frozen.items()}
    unet = snapshot(task.models["unet"])
    for seed in range(3):
        run_step(task, batch_of(task), seed)
    for name, module in task.frozen.items():
        assert not module.training
        assert all(torch.equal(before[name][k], v) for k, v in module.state_dict().items())
    moved = [k for k, v in task.models["unet"].state_dict().items() if not torch.equal(unet[k], v)]
    assert len(moved) > len(unet) // 2


def test_a_dropped_condition_is_the_text_embedding_of_nothing(make_config):
    task = LdmTask(make_config(condition=ConditionConfig(dropout=1.0)))
    torch.testing.assert_close(task.null, task.clap.text([""]), atol=1e-6, rtol=0)
    seen = []
    task.models["unet"].register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["class_labels"]), with_kwargs=True
    )
    run_step(task, batch_of(task))
    assert torch.equal(seen[0], task.null.expand(4, -1))


def test_equal_seeds_give_equal_losses(make_config):
    losses = []
    for _ in range(2):
        torch.manual_seed(0)
        task = LdmTask(make_config())
        losses.append([run_step(task, batch_of(task), seed) for seed in range(2)])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_one_batch_can_be_learned(make_config, prediction):
    model = PRESETS["tiny"]
    model = replace(model, diffusion=replace(model.diffusion, prediction_type=prediction))
    torch.manual_seed(0)
    task = LdmTask(
        make_config(model=model, condition=ConditionConfig(dropout=0.0), crop_seconds=0.32)
    )
    batch = batch_of(task, indices=range(2))
    optimizer = torch.optim.AdamW(task.models["unet"].parameters(), lr=5e-3)

    def update(name, loss):
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    losses = []
    for _ in range(40):
        context = StepContext(0, torch.Generator().manual_seed(7), update)
        losses.append(float(task.step(batch, context)["loss"]))
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("kind", ["plain", "bam", "blm"])
@pytest.mark.parametrize("cached", [False, True])
def test_every_kind_of_mixup_trains(make_config, tmp_path, kind, cached):
    cache = CacheConfig(folder=str(tmp_path / "cache") if cached else None, variants=2)
    task = LdmTask(make_config(mixup=MixupConfig(kind=kind, probability=1.0), cache=cache))
    (loss,) = run_step(task, batch_of(task, epoch=1))
    assert 0 < loss < 10


def test_stored_features_equal_those_encoded_on_the_fly(make_config):
    stored = LdmTask(make_config())
    fresh = LdmTask(make_config(cache=CacheConfig(folder=None)))
    kept, live = batch_of(stored), batch_of(fresh)
    encoded = fresh.encoder.encode(live, torch.Generator().manual_seed(0))
    torch.testing.assert_close(kept["audio"], encoded.audio, atol=1e-3, rtol=0)
    torch.testing.assert_close(kept["moments"].float(), encoded.moments, atol=2e-3, rtol=2e-3)
    text = torch.stack([fresh.encoder.embed_text(group) for group in live["captions"]])
    distance = (kept["text"][:, None] - text).abs().amax(dim=2)
    assert (distance.amin(dim=1) < 1e-3).all()


def test_bridges_are_fitted_in_full_precision_wherever_they_are_first_needed(make_config):
    """Samples and export run under autocast, where CLAP would embed in bfloat16."""
    config = make_config(cache=CacheConfig())
    wanted = LdmTask(config).bridges()
    with torch.autocast("cpu", torch.bfloat16):
        found = LdmTask(config).bridges()
    for name, bridge in wanted.items():
        for key, tensor in bridge.tensors.items():
            assert torch.equal(found[name].tensors[key], tensor), (name, key)


@pytest.mark.parametrize("call", [LdmTask.bridges, LdmTask._conditions])
def test_embeddings_are_computed_in_full_precision_on_the_networks_device(
    make_config, monkeypatch, call
):
    """Autocast is a device's own: what is switched off for the CPU stays on for a GPU."""
    task = LdmTask(make_config())
    task.encoder.vae = SimpleNamespace(device=torch.device("cuda", 1))
    devices, vectors = [], F.normalize(torch.randn(8, task.clap.dim), dim=-1)

    @contextmanager
    def noted(device):
        devices.append(device)
        yield

    def pairs(*_):
        assert devices == [torch.device("cuda", 1)]
        return vectors, vectors

    monkeypatch.setattr(ldm, "full_precision", noted)
    monkeypatch.setattr(ldm, "training_pairs", pairs)
    monkeypatch.setattr(task, "dataset", lambda split: None)
    call(task)
    assert devices == [torch.device("cuda", 1)]


def test_validation_clips_are_encoded_once(make_config):
    task = LdmTask(make_config())
    source = task.dataset("valid")
    first = source[ClipRef(0, 0)]
    source.encoder = None  # would fail if it were asked again
    again = task.dataset("valid")[ClipRef(0, 0)]
    assert torch.equal(first["moments"], again["moments"])


def test_batched_embeddings_equal_those_of_single_clips(make_config):
    task = LdmTask(make_config(cache=CacheConfig(folder=None)))
    batch = batch_of(task)
    single = task.clap.audio([Waveform(clip.numpy(), 16_000) for clip in batch["waveform"]])
    torch.testing.assert_close(task.encoder.embed_audio(batch["waveform"]), single)
    words = ["a waltz", "", "a much longer sentence about a slow and solemn cello"]
    torch.testing.assert_close(
        task.encoder.embed_text(words), task.clap.text(words), atol=1e-5, rtol=0
    )


def test_whitening_starts_from_the_conditions_that_training_shows(make_config):
    task = LdmTask(make_config(condition=ConditionConfig(source="mixed", whitening=1e-3)))
    assert task._conditions().shape == (8, task.clap.dim)
    task.start_from_data()
    told = task.models["unet"].class_embedding(task._conditions())
    torch.testing.assert_close(told.mean(dim=0), torch.zeros(told.shape[1]), atol=1e-3, rtol=0)
    torch.testing.assert_close(told.std(), torch.tensor(1.0), atol=1e-2, rtol=0)


def test_a_whitened_run_resumes_with_the_weights_it_learned(make_config):
    config = make_config(condition=ConditionConfig(source="text", whitening=1e-3))
    half = replace(config, max_steps=2)
    Trainer(half, lambda: LdmTask(half)).fit()
    whole = Trainer(config, lambda: LdmTask(config), resume=True)
    learned = whole.task.models["unet"].class_embedding.weight.detach()
    fresh = LdmTask(config)
    fresh.start_from_data()
    assert not torch.equal(learned, fresh.models["unet"].class_embedding.weight)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_whitened_run_can_be_sharded(make_config, tmp_path):
    """Its first projection is written before the weights are parted."""

    def config(name, **run):
        machine = {"device": "cpu", "log_every": 1, "valid_clips": 0, "trackers": ()}
        return make_config(
            condition=ConditionConfig(whitening=1e-3), batch_size=2, max_steps=2,
            run=RunConfig(out=str(tmp_path / name), micro_batch=1, **machine, **run),
        )  # fmt: skip

    join = distributed()

    def work(rank):
        join(rank)
        Trainer(config("two", shard=True), lambda: LdmTask(config("two"))).fit()

    assert in_processes(work, 2) == [0, 0]
    Trainer(config("one"), lambda: LdmTask(config("one"))).fit()
    one, two = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("one", "two"))
    assert [line["train/loss"] for line in one] == [line["train/loss"] for line in two]
    weights = (load_file(tmp_path / f"{name}/checkpoints/step-00000002/unet.safetensors")
               for name in ("one", "two"))  # fmt: skip
    first, second = (state["class_embedding.weight"] for state in weights)
    torch.testing.assert_close(first, second, rtol=0, atol=1e-6)


def test_a_crop_is_a_stretch_of_the_latent(make_config):
    task = LdmTask(make_config())
    latent = torch.arange(4 * 64, dtype=torch.float).view(4, 1, 64, 1)
    crop = task._crop(latent, torch.Generator().manual_seed(0))
    assert crop.shape == (4, 1, 16, 1)
    assert (crop.diff(dim=2) == 1).all()
    assert len({float(row[0, 0, 0]) % 64 for row in crop}) > 1


def test_lora_trains_few_weights_and_exports_a_stock_denoiser(make_config, tiny_folder, tmp_path):
    parts = ComponentsConfig(
        vae=str(tiny_folder), vocoder=str(tiny_folder), clap=str(tiny_folder),
        unet=str(tiny_folder),
    )  # fmt: skip
    task = LdmTask(make_config(components=parts, lora=LoraConfig(rank=2)))
    base = snapshot(task.models["unet"])
    trained = sum(p.numel() for p in task.models["unet"].parameters() if p.requires_grad)
    assert trained < 0.2 * sum(p.numel() for p in task.models["unet"].parameters())
    for seed in range(3):
        run_step(task, batch_of(task), seed)
    changed = {k for k, v in task.models["unet"].state_dict().items() if not v.equal(base[k])}
    assert changed
    assert all("lora_" in key for key in changed)
    task.export(tmp_path / "export")
    merged = UNet2DConditionModel.from_pretrained(tmp_path / "export/unet").eval()
    x = torch.randn(1, 4, 16, 16)
    condition = task.null
    ours = task.models["unet"].eval()(x, 5, None, class_labels=condition).sample
    theirs = merged(x, 5, None, class_labels=condition).sample
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_gradient_checkpointing_changes_no_gradient(make_config):
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        task = LdmTask(make_config(gradient_checkpointing=checkpointing))
        task.models["unet"].train()
        run_step(task, batch_of(task), optimize=lambda name, loss: loss.backward())
        gradients.append([p.grad for p in task.models["unet"].parameters()])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"components": ComponentsConfig()}, r"components\.vae must be given"),
        ({"crop_seconds": 99.0}, "crop_seconds=99"),
        ({"lora": LoraConfig()}, r"set components\.unet"),
        (
            {
                "lora": LoraConfig(),
                "components": ComponentsConfig(vae="v", vocoder="v", clap="c", unet="u"),
                "condition": ConditionConfig(whitening=0.1),
            },
            "no whitening",
        ),
        ({"min_snr_gamma": 5.0, "preset": "pocket", "model": PRESETS["pocket"]}, "last timestep"),
        ({"preset": "pocket", "model": PRESETS["pocket"]}, "change the preset"),
        ({"run": RunConfig(workers=2)}, "set run.workers=0"),
        ({"crop_seconds": 0.68}, "must be a multiple of 2"),
    ],
)
def test_what_does_not_fit_is_refused(make_config, change, message):
    with pytest.raises(ConfigError, match=message):
        LdmTask(make_config(**change))


def test_a_missing_component_is_named(make_config, tmp_path):
    parts = ComponentsConfig(vae=str(tmp_path), vocoder=str(tmp_path), clap=str(tmp_path))
    with pytest.raises(CheckpointError, match="holds no text_encoder"):
        LdmTask(make_config(components=parts))
