"""Splitting a list of files over the processes of `accelerate launch` or `torchrun`.

    accelerate launch -m musicgen_ldm evaluate …                  # GPUs
    torchrun --nproc_per_node 2 -m musicgen_ldm evaluate …        # CPU cores
    torchrun --nproc_per_node 2 -m musicgen_ldm prepare …

Started alone, there is one worker with everything. Workers exchange results through files (a
content-addressed cache), so that nothing large travels between processes.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from accelerate import PartialState

Item = TypeVar("Item")


@dataclass(frozen=True)
class Workers:
    """This process among its equals.

    Attributes:
        state: accelerate's view of the launch.
    """

    state: "PartialState"

    @property
    def device(self) -> str:
        """The device of this worker, e.g. "cuda:1"."""
        return str(self.state.device)

    @property
    def count(self) -> int:
        """How many workers there are."""
        return int(self.state.num_processes)

    @property
    def is_main(self) -> bool:
        """Whether this worker reports."""
        return bool(self.state.is_main_process)

    def share(self, items: Sequence[Item]) -> list[Item]:
        """This worker's part of `items`; every item belongs to exactly one worker."""
        return list(items[self.state.process_index :: self.state.num_processes])

    def wait(self) -> None:
        """Return when every worker has come here."""
        self.state.wait_for_everyone()


def workers() -> Workers:
    """The workers of this launch."""
    import torch
    from accelerate import PartialState

    # Without a GPU accelerate takes each process for the only one, unless told of the CPU.
    is_launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return Workers(PartialState(cpu=is_launched and not torch.cuda.is_available()))
