"""Which clip comes when: one endless stream, cut into micro-batches over processes.

The stream is the concatenation of one seeded permutation of the clips per epoch. Step `s` takes
the clips `s * batch_size … (s + 1) * batch_size` of it, however many processes and accumulated
micro-batches share the work; so a run can be resumed at any step on any number of processes,
and no clip of an epoch is met twice or never.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from musicgen_ldm.errors import ConfigError


@dataclass(frozen=True)
class ClipRef:
    """What a dataset is indexed with: the same clip is cropped differently in each epoch."""

    epoch: int
    index: int


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, num_clips: int) -> npt.NDArray[np.int64]:
    """The permutation of `num_clips` clips that one epoch follows."""
    return np.random.default_rng((seed, epoch)).permutation(num_clips)


def clip_at(position: int, *, seed: int, num_clips: int) -> ClipRef:
    """The clip at a position of the endless stream."""
    epoch, offset = divmod(position, num_clips)
    return ClipRef(epoch, int(epoch_order(seed, epoch, num_clips)[offset]))


class StreamSampler(Sampler[list[ClipRef]]):
    """Micro-batches of one process, endless.

    Args:
        num_clips: Size of the dataset.
        seed: Of the permutations.
        batch_size: Clips per optimizer step over all processes.
        micro_batch: Clips per process and micro-batch; divides batch_size / num_processes.
        process: Rank of this process.
        num_processes: How many share the work.
        first_step: Where to begin.
    """

    def __init__(
        self,
        num_clips: int,
        *,
        seed: int,
        batch_size: int,
        micro_batch: int,
        process: int = 0,
        num_processes: int = 1,
        first_step: int = 0,
    ) -> None:
        self.num_clips = num_clips
        self.seed = seed
        self.micro_batch = micro_batch
        self.stride = micro_batch * num_processes
        self.start = first_step * batch_size + process * micro_batch

    def __iter__(self) -> Iterator[list[ClipRef]]:
        """Lists of `micro_batch` clips."""
        position = self.start
        while True:
            yield [
                clip_at(position + i, seed=self.seed, num_clips=self.num_clips)
                for i in range(self.micro_batch)
            ]
            position += self.stride


def split_batch(batch_size: int, micro_batch: int | None, num_processes: int) -> tuple[int, int]:
    """Clips per process and micro-batch, and micro-batches per step.

    Args:
        batch_size: Clips per optimizer step over all processes.
        micro_batch: Clips a process holds at once; None holds its whole share.
        num_processes: How many share the work.

    Raises:
        ConfigError: If the batch does not divide evenly.
    """
    micro = micro_batch or max(1, batch_size // num_processes)
    accumulate, rest = divmod(batch_size, micro * num_processes)
    if rest or not accumulate:
        raise ConfigError(
            f"batch_size={batch_size} is not a multiple of run.micro_batch={micro} x "
            f"{num_processes} process(es); change one of them"
        )
    return micro, accumulate
