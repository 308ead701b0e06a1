"""Which experiment trackers a run reports to, and how they are opened."""

import importlib.util
import os
from typing import Any

from musicgen_ldm.config.training import RunConfig, StageConfig
from musicgen_ldm.configio import to_plain
from musicgen_ldm.errors import MissingExtraError


def installed_trackers(run: RunConfig) -> list[str]:
    """The chosen trackers; TensorBoard, the default, is left out where it is not installed.

    Raises:
        MissingExtraError: If wandb is chosen and not installed.
    """
    if "wandb" in run.trackers and importlib.util.find_spec("wandb") is None:
        raise MissingExtraError("run.trackers names wandb, which is missing: pip install wandb")
    has_tensorboard = importlib.util.find_spec("tensorboard") is not None
    return [name for name in run.trackers if name != "tensorboard" or has_tensorboard]


def tracker_options(run: RunConfig, step: int) -> dict[str, dict[str, Any]]:
    """How each tracker is opened, by its name.

    Args:
        run: Whose folder holds what is tracked.
        step: Finished steps of a run that goes on; 0 for a new one.
    """
    return {
        # Offline unless the user chose otherwise: no account is ever needed.
        "wandb": {"mode": os.environ.get("WANDB_MODE", "offline"), "dir": run.out},
        # A killed run may have logged steps that are taken again.
        "tensorboard": {"purge_step": step + 1} if step else {},
    }


def flat_config(config: StageConfig) -> dict[str, int | float | str]:
    """The configuration as trackers take it: one level, groups as text."""
    plain = to_plain(config).items()
    return {k: v if isinstance(v, int | float | str) else str(v) for k, v in plain}
