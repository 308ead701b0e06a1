"""Learning-rate schedules as pure functions of the step, so that nothing has to be saved."""

import math

from musicgen_ldm.config.training import OptimConfig


def lr_factor(config: OptimConfig, step: int, max_steps: int) -> float:
    """What multiplies the learning rate in the step that follows `step` finished ones.

    The warm-up rises linearly and reaches 1 at `warmup_steps`; cosine and linear then fall to
    `final_lr_fraction` at `max_steps`.
    """
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)
    if config.schedule == "constant":
        return 1.0
    progress = min(1.0, (step - config.warmup_steps) / max(1, max_steps - config.warmup_steps))
    fallen = progress if config.schedule == "linear" else (1 - math.cos(math.pi * progress)) / 2
    return 1.0 + (config.final_lr_fraction - 1.0) * fallen
