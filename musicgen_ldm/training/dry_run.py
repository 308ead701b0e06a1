"""What a run would be, before it starts: configuration, sizes, memory, first batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

from torch import Generator, Tensor
from torch.autograd.graph import saved_tensors_hooks

from musicgen_ldm.config.training import StageConfig
from musicgen_ldm.configio import dump_yaml
from musicgen_ldm.data.loading import build_loader
from musicgen_ldm.data.sampler import clip_at
from musicgen_ldm.training.task import Batch, StepContext, Task

FLOAT_BYTES = 4
GIB = 2**30
EXAMPLE_CHARS = 60


def describe(config: StageConfig, task: Task, micro_batch: int) -> str:
    """Resolved configuration, parameter counts, memory estimate and the first batch's shapes.

    One clip is taken through the step, without any update, to measure what its graph keeps.

    Args:
        config: Of the stage.
        task: Freshly built.
        micro_batch: Clips a process will hold at once.
    """
    graph = _graph_bytes(config, task, _first_batch(config, task, num_clips=1))
    batch = _first_batch(config, task, micro_batch)
    lines = [dump_yaml(config), "networks"]
    for kind, models in (("trained", task.models), ("frozen", task.frozen)):
        for name, model in models.items():
            count = sum(p.numel() for p in model.parameters())
            lines.append(f"  {name}: {count / 1e6:.2f} M parameters, {kind}")
    lines += ["", "memory per process, float32 (activations measured on one clip)"]
    parts = _state_bytes(config, task) | {
        f"activations of {micro_batch} clips": graph * micro_batch
    }
    lines += [f"  {name}: {size / GIB:.2f} GiB" for name, size in parts.items()]
    lines += [f"  total: {sum(parts.values()) / GIB:.2f} GiB", ""]
    lines.append(f"first batch of a process ({micro_batch} clips)")
    lines += [f"  {name}: {_shape(value)}" for name, value in batch.items()]
    lines.append(f"clips: {len(task.dataset('train'))} to train on")
    return "\n".join(lines)


def _first_batch(config: StageConfig, task: Task, num_clips: int) -> Batch:
    source = task.dataset("train")
    refs = [[clip_at(i, seed=config.seed, num_clips=len(source)) for i in range(num_clips)]]
    batch, _ = next(iter(build_loader(source, refs, task.collate, workers=0, pin_memory=False)))
    return batch


def _state_bytes(config: StageConfig, task: Task) -> dict[str, int]:
    trained = [p.numel() for m in task.models.values() for p in m.parameters() if p.requires_grad]
    fixed = [p.numel() for m in task.frozen.values() for p in m.parameters()]
    averaged = [p.numel() for name in task.averaged for p in task.models[name].parameters()]
    return {
        "weights": FLOAT_BYTES * (sum(trained) + sum(fixed)),
        "gradients": FLOAT_BYTES * sum(trained),
        "optimizers": 2 * FLOAT_BYTES * sum(trained),  # Adam's two moments
        "averages": FLOAT_BYTES * sum(averaged) if config.ema else 0,
    }


def _graph_bytes(config: StageConfig, task: Task, batch: Batch) -> int:
    """Bytes that one clip's graph keeps for backward, with every loss that the run ends with."""
    context = StepContext(
        index=config.max_steps - 1,
        generator=Generator().manual_seed(0),
        optimize=lambda name, loss: None,
    )
    weights = {p.data_ptr() for m in task.models.values() for p in m.parameters()}
    with _saved_sizes(weights) as sizes:
        task.step(batch, context)
    return sum(sizes.values())


@contextmanager
def _saved_sizes(excluded: set[int]) -> Iterator[dict[int, int]]:
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in excluded:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        yield sizes


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {value.dtype}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shape(item)}" for name, item in value.items()) or "none"
    example = shorten(repr(value[0]), EXAMPLE_CHARS, placeholder=" …")
    return f"{len(value)} x {type(value[0]).__name__}, e.g. {example}"
