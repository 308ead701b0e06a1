"""Time of one optimizer step of a stage, before and after its discriminator joins.

    python benchmarks/training_step.py configs/pocket/vae.yaml data.manifest=PATH [key=value …]

Prints the best of several steps: wall seconds, and seconds of processor time, which hardly grow
when others use the machine, and clips a second of it. Memory is laid out as training lays it out.
Data loading, and features that the stage stores, are not part of it.
"""

import sys
import time

import torch
from torch import Generator, Tensor

from musicgen_ldm.config.training import StageConfig
from musicgen_ldm.data.loading import build_loader
from musicgen_ldm.data.sampler import StreamSampler
from musicgen_ldm.training.cpu_kernels import lay_out
from musicgen_ldm.training.stages import load_stage_config, task_factory
from musicgen_ldm.training.task import Batch, StepContext, Task

REPEATS = 5


def first_batch(config: StageConfig, task: Task) -> Batch:
    """The batch of step 0."""
    source, size = task.dataset("train"), config.batch_size
    sampler = StreamSampler(len(source), seed=config.seed, batch_size=size, micro_batch=size)
    loader = build_loader(source, sampler, task.collate, workers=0, pin_memory=False)
    return next(iter(loader))[0]


def time_step(config: StageConfig, task: Task, batch: Batch, index: int) -> tuple[float, float]:
    """Smallest wall and processor seconds of a step at one point of the run."""
    optimizers = {name: o.optimizer for name, o in task.optimizers().items()}

    def optimize(name: str, loss: Tensor) -> None:
        with torch.autocast("cpu", enabled=False):
            loss.backward()
        optimizers[name].step()
        optimizers[name].zero_grad()

    times = []
    for _ in range(REPEATS):
        start, start_cpu = time.perf_counter(), time.process_time()
        context = StepContext(index, Generator().manual_seed(0), optimize)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.run.precision == "bf16"):
            task.step(batch, context)
        times.append((time.perf_counter() - start, time.process_time() - start_cpu))
    return min(wall for wall, _ in times), min(cpu for _, cpu in times)


def main(path: str, *overrides: str) -> None:
    """Time the first and the last step."""
    config = load_stage_config(path, overrides)
    torch.manual_seed(config.seed)
    task = task_factory(config)()
    if config.run.channels_last:
        lay_out(task.models.values(), task.frozen.values(), torch.device("cpu"))
    batch = first_batch(config, task)
    threads = torch.get_num_threads()
    for name, index in (("first", 0), ("last", config.max_steps - 1)):
        wall, cpu = time_step(config, task, batch, index)
        print(
            f"{path}, {name} step, {config.batch_size} clips, {threads} thread(s): "
            f"{wall:.2f} s wall, {cpu:.2f} s of processor, "
            f"{config.batch_size / cpu:.1f} clips a second"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
