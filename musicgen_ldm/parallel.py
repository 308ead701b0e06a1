"""Splitting a list of files over the processes of `accelerate launch`.

    accelerate launch -m musicgen_ldm evaluate …

Started alone, there is one worker with everything. Workers exchange results through files (a
content-addressed cache), so that nothing large travels between processes.
"""

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
    from accelerate import PartialState

    return Workers(PartialState())
