"""The batches of one process: which clips, in which order, on which device."""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from musicgen_ldm.config.training import StageConfig
from musicgen_ldm.data.loading import ExampleSource, SkipLog, build_loader
from musicgen_ldm.data.sampler import ClipRef, StreamSampler
from musicgen_ldm.training.task import Batch, Task

logger = logging.getLogger(__name__)


class Batches:
    """Examples of a task, collated and moved to the device; unusable clips are counted.

    Args:
        task: Has the examples.
        config: Seed, batch size, workers and how many clips may be unusable.
        micro_batch: Clips a process holds at once.
        process: Rank of this process.
        num_processes: How many share the work.
        device: Of the training.
        move: Puts the tensors of a batch there.
    """

    def __init__(
        self,
        task: Task,
        config: StageConfig,
        *,
        micro_batch: int,
        process: int,
        num_processes: int,
        device: torch.device,
        move: Callable[[Batch], Batch],
    ) -> None:
        self.task = task
        self.config = config
        self.micro_batch = micro_batch
        self.process = process
        self.num_processes = num_processes
        self.device = device
        self.move = move
        self.source = task.dataset("train")
        self.skips = SkipLog(len(self.source), config.data.max_skipped)
        # Now, so that a manifest without such clips fails before hours of training.
        self.valid_source = task.dataset("valid") if config.run.valid_clips else None

    def train(self, first_step: int) -> Iterator[Batch]:
        """This process's part of the endless stream, from a step on."""
        sampler = StreamSampler(
            len(self.source),
            seed=self.config.seed,
            batch_size=self.config.batch_size,
            micro_batch=self.micro_batch,
            process=self.process,
            num_processes=self.num_processes,
            first_step=first_step,
        )
        return self._load(self.source, sampler, self.skips)

    def valid(self) -> Iterator[Batch]:
        """The fixed validation clips, all of them in every process: few, and then comparable."""
        source = self.valid_source
        if source is None:
            return
        num_clips = min(len(source), self.config.run.valid_clips)
        refs = [ClipRef(0, index) for index in range(num_clips)]
        size = self.micro_batch
        batches = [refs[start : start + size] for start in range(0, num_clips, size)]
        skips = SkipLog(len(source), self.config.data.max_skipped)
        yield from self._load(source, batches, skips)
        skips.check()

    def _load(
        self, source: ExampleSource, refs: Iterable[list[ClipRef]], skips: SkipLog
    ) -> Iterator[Batch]:
        loader = build_loader(
            source,
            refs,
            self.task.collate,
            workers=self.config.run.workers,
            pin_memory=self.device.type == "cuda",
        )
        for batch, skipped in _outside_autocast(loader, self.device.type):
            for reason in skips.add(skipped):
                logger.warning("skipped %s", reason)
            yield self.move(batch)


def _outside_autocast(batches: Iterable[Any], device_type: str) -> Iterator[Any]:
    """Examples are made in their own precision, also while a validation runs in another."""
    iterator = iter(batches)
    while True:
        with torch.autocast(device_type, enabled=False):
            batch = next(iterator, None)
        if batch is None:
            return
        yield batch
