"""What a run tells experiment trackers; wandb is played by a module that writes down its calls."""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest
from accelerate import tracking
from toy_task import ToyTask, toy_config

from musicgen_ldm.errors import MissingExtraError
from musicgen_ldm.training.loop import Trainer


def train(out, *trackers):
    config = toy_config(out, max_steps=4, run={"trackers": trackers, "valid_every": 4})
    Trainer(config, lambda: ToyTask(config)).fit()


@pytest.fixture
def wandb(monkeypatch):
    """A wandb whose `init` takes nothing but what the real one does, as far as we use it."""
    module = ModuleType("wandb")
    module.opened, module.logged, module.finished = [], {}, []
    module.config = SimpleNamespace(values={})
    module.config.update = lambda values, allow_val_change: module.config.values.update(values)

    def init(*, project, mode, dir):
        module.opened.append({"project": project, "mode": mode, "dir": dir})
        return SimpleNamespace(
            log=lambda values, step: module.logged.setdefault(step, {}).update(values),
            finish=lambda: module.finished.append(True),
        )

    module.init = init
    module.__spec__ = importlib.util.spec_from_loader("wandb", loader=None)
    monkeypatch.setitem(sys.modules, "wandb", module)
    # accelerate looks for packages when it is imported.
    monkeypatch.setattr(tracking, "_available_trackers", [tracking.LoggerType.WANDB])
    return module


@pytest.mark.parametrize("mode", [None, "online"])
def test_wandb_gets_configuration_and_every_line_without_an_account(
    wandb, tmp_path, monkeypatch, mode
):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if mode:
        monkeypatch.setenv("WANDB_MODE", mode)
    train(tmp_path, "wandb")
    assert wandb.opened == [
        {"project": "tracking", "mode": mode or "offline", "dir": str(tmp_path)}
    ]
    assert wandb.config.values["batch_size"] == 4
    assert "warmup_steps" in wandb.config.values["optim"]
    assert sorted(wandb.logged) == [1, 2, 3, 4]
    assert {"train/reconstruction", "lr/generator", "data/skipped"} <= wandb.logged[1].keys()
    assert "valid/loss" in wandb.logged[4]
    assert wandb.finished == [True]


def test_a_missing_wandb_is_named_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="names wandb, which is missing: pip install wandb"):
        train(tmp_path / "run", "wandb")
    assert not (tmp_path / "run").exists()


def test_a_missing_tensorboard_is_done_without(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find(name)
    )
    train(tmp_path, "tensorboard")
    assert not (tmp_path / "tracking").exists()
    assert (tmp_path / "metrics.jsonl").is_file()
