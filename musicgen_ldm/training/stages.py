"""The stages by name, each imported only when it is asked for.

Stage `x` has its `XStageConfig` in `config/x_training.py` and its `XTask` in `training/x.py`.
"""

from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from pathlib import Path

from musicgen_ldm.config.models import PRESETS
from musicgen_ldm.config.training import StageConfig
from musicgen_ldm.configio import build, parse_overrides, read_settings
from musicgen_ldm.errors import ConfigError
from musicgen_ldm.training.task import Task

STAGES = ("clap", "vae", "vocoder", "ldm", "beats", "tagger", "spectrum")


def load_stage_config(path: str | Path, overrides: Iterable[str] = ()) -> StageConfig:
    """The configuration of the stage that a YAML file names by `stage:`.

    `model` starts from the preset that the file names by `preset:`.

    Raises:
        ConfigError: At an unknown stage, preset, key or value.
    """
    settings = read_settings(path).merged(parse_overrides(overrides))
    stage = settings.values.get("stage")
    if stage not in STAGES:
        raise ConfigError(f"{path}: stage={stage!r} must be one of {', '.join(STAGES)}")
    module = import_module(f"musicgen_ldm.config.{stage}_training")
    config_class: type[StageConfig] = getattr(module, f"{stage.capitalize()}StageConfig")
    preset = settings.values.get("preset", config_class.preset)
    if preset not in PRESETS:
        raise ConfigError(
            f"{settings.where('preset')}: preset={preset!r} must be one of {', '.join(PRESETS)}"
        )
    return build(config_class, settings, defaults={"model": PRESETS[preset]})


def task_factory(config: StageConfig) -> Callable[[], Task]:
    """What the loop calls to build the stage's task."""
    module = import_module(f"musicgen_ldm.training.{config.stage}")
    return partial(getattr(module, f"{config.stage.capitalize()}Task"), config)
