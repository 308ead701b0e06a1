import io
import json
import math
import os
import resource
import shutil
import signal
import sys
import time
from contextlib import nullcontext, redirect_stderr
from types import SimpleNamespace

import pytest
import torch
import yaml
from processes import distributed, in_processes
from torch import nn
from toy_task import Numbers, ToyTask, toy_config

from musicgen_ldm.config.training import DataConfig, EmaConfig, OptimConfig, RunConfig
from musicgen_ldm.config.vae_training import VaeStageConfig
from musicgen_ldm.errors import ConfigError, NumericsError, TrainingError
from musicgen_ldm.training.ema import Averages
from musicgen_ldm.training.loop import Trainer
from musicgen_ldm.training.run_folder import read_metrics
from musicgen_ldm.training.schedule import lr_factor


def train(out, *, resume=False, task_options=None, **changes):
    config = toy_config(out, **changes)
    trainer = Trainer(config, lambda: ToyTask(config, **(task_options or {})), resume=resume)
    trainer.fit()
    return trainer


def weights(trainer):
    return {
        f"{name}.{key}": value.clone()
        for name, model in trainer.bare_models.items()
        for key, value in model.state_dict().items()
    }


def training_lines(trainer):
    return [line for line in read_metrics(trainer.run.metrics) if "lr/generator" in line]


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


def kill_self(*_args, **_kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_run_leaves_config_metrics_samples_checkpoints_export_and_report(tmp_path):
    trainer = train(tmp_path, run={"trackers": ("tensorboard",), "keep": 2})
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines if "train/reconstruction" in line] == list(range(1, 9))
    assert [line["step"] for line in lines if "valid/loss" in line] == [4, 8]
    assert lines[0]["lr/generator"] == pytest.approx(1e-2 / 3)
    assert [p.name for p in trainer.run.checkpoints.all()] == ["step-00000006", "step-00000008"]
    assert (tmp_path / "samples/step-00000006/noise.wav").is_file()
    assert list(tmp_path.glob("tracking/events*"))
    report = (tmp_path / "report.html").read_text()
    for part in ("<polyline", "data:image/png", 'src="samples/step-00000008/noise.wav"', "seed: 0"):
        assert part in report
    exported = torch.load(tmp_path / "export/generator.pt", weights_only=True)
    average = trainer.averages.averages["generator"].shadow_params
    assert torch.equal(exported["0.weight"], average[0])
    assert not torch.equal(exported["0.weight"], weights(trainer)["generator.0.weight"])


def test_equal_seeds_give_equal_losses_and_others_do_not(tmp_path):
    first, again = train(tmp_path / "a"), train(tmp_path / "b")
    assert_equal(weights(first), weights(again))
    assert read_metrics(first.run.metrics) == read_metrics(again.run.metrics)
    other = train(tmp_path / "c", seed=1)
    assert read_metrics(first.run.metrics) != read_metrics(other.run.metrics)


def test_accumulation_equals_the_large_batch(tmp_path):
    """Exactly so for one optimizer; noise is drawn per micro-batch, so it is left out."""
    options = {"adversarial": False, "noise": False}
    large = train(tmp_path / "large", task_options=options)
    small = train(tmp_path / "small", task_options=options, run={"micro_batch": 1})
    for key, value in weights(large).items():
        torch.testing.assert_close(weights(small)[key], value, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("moment", ["step 1", "step 4", "step 7", "saving", "renaming"])
def test_a_killed_run_resumes_to_the_last_bit(tmp_path, monkeypatch, moment):
    whole = train(tmp_path / "whole", run={"log_every": 2})

    def doomed(_rank):
        last_step = int(moment.removeprefix("step ")) if moment.startswith("step") else None
        if moment == "saving":
            monkeypatch.setattr(torch, "save", kill_self)
        if moment == "renaming":
            monkeypatch.setattr(os, "rename", kill_self)
        options = {"on_step": lambda index: kill_self() if index == last_step else None}
        train(tmp_path / "cut", task_options=options, run={"log_every": 2})

    assert in_processes(doomed) == [-signal.SIGKILL]
    resumed = train(tmp_path / "cut", resume=True, run={"log_every": 2})
    assert_equal(weights(whole), weights(resumed))
    average = [t.averages.averages["generator"].shadow_params for t in (whole, resumed)]
    assert all(torch.equal(a, b) for a, b in zip(*average, strict=True))
    assert read_metrics(whole.run.metrics) == read_metrics(resumed.run.metrics)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(("adversarial", "tolerance"), [(False, 1e-6), (True, 2e-3)])
def test_two_processes_equal_one_with_twice_the_accumulation(tmp_path, adversarial, tolerance):
    """And a run of two goes on as one.

    A GAN is not quite invariant: the discriminator moves before the generator's last micro-batch,
    which is one micro-batch in one process and two in two.
    """
    options = {"task_options": {"adversarial": adversarial}, "run": {"micro_batch": 1}}

    def rank_of_two(name, max_steps):
        join = distributed()

        def work(rank):
            join(rank)
            train(tmp_path / name, max_steps=max_steps, **options)

        return work

    assert in_processes(rank_of_two("two", 8), 2) == [0, 0]
    assert in_processes(rank_of_two("half", 5), 2) == [0, 0]
    one = train(tmp_path / "one", **options)
    resumed = train(tmp_path / "half", resume=True, **options)
    two = train(tmp_path / "two", resume=True, **options)
    for other in (two, resumed):
        assert other.step == 8
        for key, value in weights(one).items():
            torch.testing.assert_close(weights(other)[key], value, rtol=0, atol=tolerance)
        lines = [training_lines(trainer) for trainer in (one, other)]
        for first, second in zip(*lines, strict=True):
            assert first == pytest.approx(second, rel=10 * tolerance, abs=10 * tolerance)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_sharded_processes_equal_a_single_one(tmp_path):
    """Weights, averages and losses; and either goes on from the other's checkpoint."""

    def options(**run):
        return {"task_options": {"adversarial": False}, "run": {"micro_batch": 1} | run}

    def sharded(name, max_steps, *, resume=False):
        join = distributed()

        def work(rank):
            join(rank)
            trainer = train(
                tmp_path / name, max_steps=max_steps, resume=resume, **options(shard=True)
            )
            held = sum(p.to_local().numel() for p in trainer.bare_models["generator"].parameters())
            assert held == 10  # half of the 20 weights

        return work

    one = train(tmp_path / "one", **options())
    assert in_processes(sharded("two", 8), 2) == [0, 0]
    assert in_processes(sharded("first", 5), 2) == [0, 0]
    train(tmp_path / "last", max_steps=5, **options())
    assert in_processes(sharded("last", 8, resume=True), 2) == [0, 0]
    for name in ("two", "first", "last"):
        other = train(tmp_path / name, resume=True, **options())
        assert other.step == 8
        for key, value in weights(one).items():
            torch.testing.assert_close(weights(other)[key], value, rtol=0, atol=1e-6)
        lines = [[*training_lines(run), read_metrics(run.run.metrics)[-1]] for run in (one, other)]
        for first, second in zip(*lines, strict=True):
            assert first == pytest.approx(second, rel=1e-5, abs=1e-5)
        exports = [
            torch.load(trainer.run.export / "generator.pt", weights_only=True)
            for trainer in (one, other)
        ]
        for key, value in exports[0].items():
            torch.testing.assert_close(exports[1][key], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("adversarial", "message"),
    [(True, "trains generator and discriminator"), (False, "there is one process")],
)
def test_sharding_that_cannot_be_is_refused(tmp_path, adversarial, message):
    with pytest.raises(ConfigError, match=message):
        train(tmp_path, task_options={"adversarial": adversarial}, run={"shard": True})


def test_slices_of_a_run_equal_the_whole(tmp_path):
    """A budget that is over at once still saves, and takes one step a slice here."""
    whole = train(tmp_path / "whole")
    config = toy_config(tmp_path / "cut")
    steps = []
    while not steps or steps[-1] < config.max_steps:
        trainer = Trainer(config, lambda: ToyTask(config), resume=True)
        trainer.task.on_step = lambda _, stop=trainer.stop: setattr(stop, "signalled", True)
        assert trainer.fit() is (trainer.step == config.max_steps)
        steps.append(trainer.step)
    assert steps == list(range(1, 9))
    assert_equal(weights(whole), weights(trainer))


def test_the_time_budget_ends_a_run_before_its_next_step(tmp_path):
    trainer = train(tmp_path, run={"max_minutes": 0.0})
    assert trainer.step == 0
    assert trainer.run.checkpoints.latest().name == "step-00000000"


def test_an_existing_run_is_neither_replaced_nor_continued_as_another(tmp_path):
    train(tmp_path, max_steps=3)
    with pytest.raises(TrainingError, match="already holds a run up to step-00000003; go on with"):
        train(tmp_path)
    with pytest.raises(TrainingError, match=r"--resume: optim.lr, seed differ\(s\) from .*config"):
        train(tmp_path, resume=True, seed=4, optim=OptimConfig(lr=1.0, warmup_steps=2))
    assert train(tmp_path, resume=True, max_steps=5).step == 5


def test_a_run_goes_on_under_a_schema_that_has_gained_a_key(tmp_path):
    train(tmp_path, max_steps=3)
    file = tmp_path / "config.yaml"
    config = yaml.safe_load(file.read_text())
    del config["data"]["peak"], config["optim"]["betas"]
    file.write_text(yaml.safe_dump(config))
    assert train(tmp_path, resume=True, max_steps=4).step == 4
    del config["data"]["seconds"]
    file.write_text(yaml.safe_dump(config))
    shorter = DataConfig(manifest="", max_skipped=0.2, seconds=1.0)
    with pytest.raises(TrainingError, match=r"--resume: data.seconds differ"):
        train(tmp_path, resume=True, max_steps=5, data=shorter)


def test_generator_gradients_do_not_reach_the_discriminator(tmp_path):
    trainer = train(tmp_path)
    gradients = trainer.task.discriminator_gradients
    assert len(gradients) == 16
    assert all(g is None or not g.any() for g in gradients)
    assert all(p.requires_grad for p in trainer.bare_models["discriminator"].parameters())


def test_frozen_parts_stay_bitwise_equal(tmp_path):
    config = toy_config(tmp_path)
    trainer = Trainer(config, lambda: ToyTask(config))
    before = {k: v.clone() for k, v in trainer.task.frozen["teacher"].state_dict().items()}
    trainer.fit()
    assert_equal(before, trainer.task.frozen["teacher"].state_dict())


def test_a_non_finite_loss_stops_before_the_update(tmp_path):
    config = toy_config(tmp_path, ema=None)
    trainer = Trainer(config, lambda: ToyTask(config, adversarial=False))
    step, seen = trainer.task.step, {}

    def poisoned(batch, context):
        if context.index == 5:
            seen.update(weights(trainer))
            batch["x"] = batch["x"] * math.inf
        return step(batch, context)

    trainer.task.step = poisoned
    with pytest.raises(
        NumericsError, match=r"step 5: the loss of 'generator' is (nan|inf) \(clips"
    ):
        trainer.fit()
    assert_equal(seen, weights(trainer))
    assert trainer.run.checkpoints.latest().name == "step-00000003"


def test_unusable_clips_are_counted_until_they_are_too_many(tmp_path):
    trainer = train(tmp_path / "few", task_options={"broken": (3, 4)})
    assert read_metrics(trainer.run.metrics)[-2]["data/skipped"] == 2
    assert sorted(trainer.batches.skips.reasons) == [3, 4]
    with pytest.raises(TrainingError, match=r"3 of 12 clips cannot be used, more than .*0.2"):
        train(tmp_path / "many", task_options={"broken": (3, 4, 5)})


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_unusable_clips_are_counted_over_all_processes(tmp_path):
    """Each of two meets a part of them only, and yet the limit is that of the whole."""

    def rank_of_two(broken, outcome):
        join = distributed()

        def work(rank):
            join(rank)
            with outcome:
                trainer = train(
                    tmp_path / str(len(broken)),
                    run={"micro_batch": 1},
                    task_options={"broken": broken},
                )
                assert sorted(trainer.batches.skips.reasons) == list(broken)

        return work

    too_many = pytest.raises(TrainingError, match="3 of 12 clips cannot be used")
    assert in_processes(rank_of_two((3, 4), nullcontext()), 2) == [0, 0]
    assert in_processes(rank_of_two((3, 4, 5), too_many), 2) == [0, 0]


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED"])
def test_other_ways_to_share_are_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setenv(f"ACCELERATE_USE_{kind}", "true")
    with pytest.raises(ConfigError, match=rf"configured for {kind}; .* run\.shard=true"):
        train(tmp_path)


def test_tensorboard_forgets_the_steps_that_a_kill_lost(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = {"trackers": ("tensorboard",), "log_every": 1}

    def doomed(_):
        config = toy_config(tmp_path, run=run)
        Trainer(config, lambda: ToyTask(config, on_step=lambda i: i == 5 and kill_self())).fit()

    assert in_processes(doomed) == [-signal.SIGKILL]
    time.sleep(1)  # event files are put in order by the second in their names
    train(tmp_path, resume=True, run=run)
    events = accumulator.EventAccumulator(str(tmp_path / "tracking")).Reload()
    steps = [event.step for event in events.Scalars("train/reconstruction")]
    assert steps == list(range(1, 9))


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler
def test_compiled_networks_learn_the_same_and_go_on_uncompiled(tmp_path):
    options = {"task_options": {"noise": False}}
    plain = train(tmp_path / "plain", **options)
    train(tmp_path / "compiled", max_steps=4, run={"compile": True}, **options)
    resumed = train(tmp_path / "compiled", resume=True, **options)
    for key, value in weights(plain).items():
        torch.testing.assert_close(weights(resumed)[key], value, rtol=0, atol=1e-4)


@pytest.fixture
def full_disk(monkeypatch):
    """From its call on, files cannot grow beyond 600 bytes, which fails a checkpoint half-way.

    The limit holds for the whole process, so the import system is kept from writing: it would leave
    truncated bytecode behind for every later run.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))

    def empty():
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    yield SimpleNamespace(fill=fill, empty=empty)
    empty()


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_is_drawn_on_a_terminal_only(tmp_path, terminal):
    with redirect_stderr(io.StringIO()) as stderr:
        stderr.isatty = lambda: terminal
        train(tmp_path, max_steps=2)
    assert ("toy: 100%" in stderr.getvalue()) == terminal


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path, full_disk):
    config = toy_config(tmp_path, run={"log_every": 100, "valid_every": 100, "sample_every": 100})
    whole = train(tmp_path / "whole", run={"log_every": 100})
    trainer = Trainer(config, lambda: ToyTask(config))
    trainer.task.on_step = lambda index: full_disk.fill() if index == 5 else None
    message = r"step 6 cannot be written .*step-00000003 is intact"
    with pytest.raises(TrainingError, match=message):
        trainer.fit()
    full_disk.empty()
    assert [p.name for p in trainer.run.checkpoints.folder.iterdir()] == ["step-00000003"]
    resumed = Trainer(config, lambda: ToyTask(config), resume=True)
    resumed.fit()
    assert_equal(weights(whole), weights(resumed))


def test_a_disk_that_fills_between_checkpoints_says_how_to_go_on(tmp_path, full_disk):
    config = toy_config(tmp_path, run={"log_every": 100, "valid_every": 100, "sample_every": 5})
    trainer = Trainer(config, lambda: ToyTask(config))
    trainer.task.on_step = lambda index: full_disk.fill() if index == 4 else None
    with pytest.raises(TrainingError, match=r"the disk is full; .*step-00000003.*--resume"):
        trainer.fit()


def test_a_file_cannot_be_the_run_folder(tmp_path):
    (tmp_path / "run").write_text("mine")
    config = toy_config(tmp_path / "run")
    with pytest.raises(TrainingError, match=r"run: cannot be the run folder .*--out"):
        Trainer(config, lambda: ToyTask(config))
    assert (tmp_path / "run").read_text() == "mine"


def test_an_unfinished_checkpoint_is_not_mistaken_for_a_whole_one(tmp_path):
    trainer = train(tmp_path, max_steps=3)
    (tmp_path / "checkpoints/step-00000004.partial").mkdir()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 4, "train/x": 1.0}) + '\n{"step": 5, "tr')
    assert trainer.run.checkpoints.latest().name == "step-00000003"
    resumed = train(tmp_path, resume=True, max_steps=4)
    assert [line["step"] for line in read_metrics(resumed.run.metrics)][-2:] == [4, 4]


def test_an_export_goes_on_where_a_kill_left_the_outdated_one(tmp_path):
    train(tmp_path, max_steps=3)
    (tmp_path / "export.old").mkdir()
    (tmp_path / "export.old/generator.pt").touch()
    train(tmp_path, resume=True, max_steps=4)
    assert not (tmp_path / "export.old").exists()
    assert (tmp_path / "export/generator.pt").is_file()


def test_a_kill_while_the_configuration_is_written_leaves_the_former(tmp_path):
    run = train(tmp_path, max_steps=3).run

    def killed_before_the_name_changes(_):
        os.replace = kill_self
        run.write_config(toy_config(tmp_path, max_steps=4))

    assert in_processes(killed_before_the_name_changes) == [-signal.SIGKILL]
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["max_steps"] == 3
    assert train(tmp_path, resume=True, max_steps=4).step == 4


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RunConfig(micro_batch=0), r"run\.micro_batch=0: must be at least 1"),
        (lambda: RunConfig(workers=-1), r"run\.workers=-1: must be at least 0"),
        (lambda: RunConfig(valid_clips=-1), r"run\.valid_clips=-1: must be at least 0"),
        (lambda: DataConfig(seconds=0), r"data\.seconds=0: must be above 0"),
        (lambda: DataConfig(peak=1.5), r"data\.peak=1\.5: must be above 0 and at most 1"),
        (lambda: DataConfig(max_skipped=2), r"data\.max_skipped=2: must lie in \[0, 1\]"),
        (lambda: OptimConfig(warmup_steps=-1), r"optim\.warmup_steps=-1: must be at least 0"),
        (lambda: OptimConfig(betas=(0.9, 1.0)), r"optim\.betas=\[0\.9, 1\.0\]: must lie in"),
        (lambda: VaeStageConfig(scale_clips=0), r"scale_clips=0: must be at least 1"),
        (lambda: VaeStageConfig(seed=-1), r"seed=-1: must be at least 0"),
        (lambda: VaeStageConfig(seed=2**32), r"seed=4294967296: must be below 4294967296"),
        (
            lambda: VaeStageConfig(data=DataConfig(seconds=0.001)),
            r"data\.seconds=0\.001: must be at least 0\.064",
        ),
        (lambda: OptimConfig(clip_norm=0), r"optim\.clip_norm=0: must be above 0"),
    ],
)
def test_impossible_values_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_evaluation_leaves_parts_as_the_task_set_them(tmp_path):
    config = toy_config(tmp_path)
    trainer = Trainer(config, lambda: ToyTask(config))
    generator = trainer.bare_models["generator"]
    generator[0].eval()
    with trainer._evaluation():
        assert not any(module.training for module in generator.modules())
    assert [module.training for module in generator] == [False, True]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_examples_are_made_in_their_own_precision(tmp_path, monkeypatch, precision):
    """Validation runs under autocast, which must not reach what a dataset computes and stores."""
    read, seen = Numbers.__getitem__, []

    def watched(self, ref):
        seen.append(torch.is_autocast_enabled("cpu"))
        return read(self, ref)

    monkeypatch.setattr(Numbers, "__getitem__", watched)
    train(tmp_path / "run", max_steps=2, run={"precision": precision, "valid_every": 1})
    assert len(seen) > 8
    assert not any(seen)


def test_schedules_start_rise_and_end_where_they_should():
    cosine = OptimConfig(schedule="cosine", warmup_steps=9, final_lr_fraction=0.1)
    assert lr_factor(cosine, 0, 100) == pytest.approx(0.1)
    assert lr_factor(cosine, 9, 100) == 1.0
    assert lr_factor(cosine, 100, 100) == pytest.approx(0.1)
    linear = OptimConfig(schedule="linear")
    assert [lr_factor(linear, s, 4) for s in range(6)] == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    assert {lr_factor(OptimConfig(), s, 4) for s in range(9)} == {1.0}


def test_the_average_warms_up_as_its_formula_says():
    """After n updates the decay is min((1 + n) / (10 + n), decay), and the first one copies."""
    model = nn.Linear(1, 1, bias=False)
    averages = Averages({"m": model}, EmaConfig(decay=0.3))
    expected = 0.0
    for n in range(12):
        nn.init.constant_(model.weight, float(n))
        averages.update()
        decay = min((1 + n) / (10 + n), 0.3) if n else 0.0
        expected = decay * expected + (1 - decay) * n
        assert averages.averages["m"].shadow_params[0].item() == pytest.approx(expected, rel=1e-5)
    with averages.swapped_in():
        assert model.weight.item() == pytest.approx(expected, rel=1e-5)
    assert model.weight.item() == 11.0
