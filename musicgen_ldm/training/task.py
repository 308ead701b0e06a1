"""What a training stage must offer the loop, and helpers that several stages share.

The loop (`training/loop.py`) knows steps, devices, precision, averages, checkpoints and cadence.
A `Task` knows what is learned: its networks, its examples, its losses.

    class MyTask:
        name = "my-stage"

        def __init__(self, config: MyConfig) -> None:
            self.models = {"net": Net()}   # seeded by the loop before it builds the task
            self.frozen = {"teacher": freeze(Teacher())}
            self.averaged = ("net",)

        def step(self, batch, context):
            loss = criterion(self.models["net"](batch["x"]), batch["y"])
            context.optimize("net", loss)
            return {"loss": loss}

Rules that make a run resumable to the last bit and independent of the number of processes:

* all randomness of `step` comes from `context.generator` (the loop seeds it, and torch's global
  generator for dropout, from seed, step and micro-batch before each call);
* an example depends on (config, epoch, index) only: `dataset[ClipRef(epoch, index)]`;
* always call a trained network as `self.models[name](…)`: the loop replaces the entries by their
  distributed wrappers, whose `forward` alone is synchronised. A stage that needs more than
  `forward` wraps its networks in one module (see `training/vae.py`);
* losses are means over the batch, so that accumulation equals the large batch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.training import OptimConfig
from musicgen_ldm.data.loading import Example, ExampleSource

Batch = dict[str, Any]
Metrics = Mapping[str, Tensor | float]


class Optimization(NamedTuple):
    """An optimizer with the schedule and clipping that the loop applies to it.

    Parameter groups may have their own "lr"; the schedule multiplies each.
    """

    optimizer: Optimizer
    config: OptimConfig


@dataclass(frozen=True)
class StepContext:
    """What the loop tells a task about the micro-batch at hand.

    Attributes:
        index: Optimizer steps finished before this one; the same for all its micro-batches.
        generator: Seeded from (seed, index, micro-batch), on the training device.
        optimize: `optimize(name, loss)` = backward, and once the micro-batches of a step are
            complete: clip, step the optimizer `name`, zero its gradients. Call it exactly once
            per optimizer that shall learn in this step.
    """

    index: int
    generator: Generator
    optimize: Callable[[str, Tensor], None]


class Task(Protocol):
    """One stage of training."""

    name: str
    models: dict[str, nn.Module]  # trained, checkpointed under these names
    frozen: dict[str, nn.Module]  # moved to the device, never trained nor saved
    averaged: tuple[str, ...]  # names in `models` that get an EMA: those that `export` writes

    def optimizers(self) -> dict[str, Optimization]:
        """Optimizers over the parameters of `models`."""
        ...

    def dataset(self, split: str) -> ExampleSource:
        """Examples of "train" or "valid". An example that raises a `MusicGenError` is skipped."""
        ...

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Stack examples; tensors in the result are moved to the device by the loop."""
        ...

    def step(self, batch: Batch, context: StepContext) -> Metrics:
        """Learn from one micro-batch and return the losses to log."""
        ...

    def validate(self, batches: Iterable[Batch], generator: Generator) -> Metrics:
        """Measure on the fixed validation clips, with averaged weights and the same noise always.

        Gets all batches at once so that a stage may compare every clip with every other.
        """
        ...

    def samples(self, generator: Generator) -> dict[str, Waveform]:
        """Something to listen to, from fixed inputs and fixed noise; keys are file stems."""
        ...

    def export(self, folder: Path) -> None:
        """Write component folders that stock diffusers / transformers classes load.

        Called with the averaged weights in place.
        """
        ...


@runtime_checkable
class StartsFromData(Protocol):
    """A task whose first weights are computed from its data by its frozen networks."""

    def start_from_data(self) -> None:
        """Set them.

        The loop calls it once, with the frozen networks on their device and before it wraps or
        shards the trained ones: a decomposition of data cannot be written into parted weights.
        Every process calls it and must come to the same weights.
        """
        ...


def freeze(module: nn.Module) -> nn.Module:
    """Switch a module to evaluation for good: no gradients, no dropout."""
    return module.eval().requires_grad_(False)


@contextmanager
def frozen(module: nn.Module) -> Iterator[nn.Module]:
    """Lend a network, e.g. a discriminator, to another one's backward pass.

    Gradients flow through the module but not into it. Without this the generator's gradients
    stay in the discriminator's `.grad` and leak into its next update, and nothing fails. Yields
    the module without its distributed wrapper, which would wait for those gradients.
    """
    bare = unwrapped(module)
    trainable = [p for p in bare.parameters() if p.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield bare
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def full_precision(device: torch.device) -> torch.autocast:
    """A context without autocast: spectra and their losses lose too much in bfloat16."""
    return torch.autocast(device.type, enabled=False)


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside distributed and compile wrappers."""
    if isinstance(module, nn.parallel.DistributedDataParallel):
        return unwrapped(module.module)
    compiled = getattr(module, "_orig_mod", None)
    return module if compiled is None else unwrapped(compiled)


def build_optimizer(
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], config: OptimConfig
) -> Optimization:
    """AdamW or Adam over parameters, or over parameter groups with their own "lr"."""
    optimizer_class = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[config.name]
    optimizer = optimizer_class(
        parameters, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay, fused=True
    )
    return Optimization(optimizer, config)


def mean_metrics(metrics: Iterable[Metrics]) -> dict[str, float]:
    """Average of equally named values over batches; empty for no batches."""
    rows = [{k: float(v) for k, v in row.items()} for row in metrics]
    return {k: sum(row[k] for row in rows) / len(rows) for k in rows[0]} if rows else {}
