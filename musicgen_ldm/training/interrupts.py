"""Reasons to end a run early but cleanly: the time budget, SIGTERM, and the first Ctrl-C."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Remembers that the run shall end after the present step.

    Args:
        max_minutes: Time budget from now on; None has no limit.
    """

    def __init__(self, max_minutes: float | None) -> None:
        self.deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
        self.signalled = False

    @property
    def due(self) -> bool:
        """Whether a signal came or the time is over."""
        return self.signalled or (self.deadline is not None and time.monotonic() > self.deadline)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch SIGTERM, which clusters send before they take a machine away, and one Ctrl-C."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may set handlers
            return
        before = {kind: signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT)}

        def note(number: int, frame: FrameType | None) -> None:
            self.signalled = True
            signal.signal(number, before[signal.Signals(number)])  # a second one acts at once

        for kind in before:
            signal.signal(kind, note)
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)
