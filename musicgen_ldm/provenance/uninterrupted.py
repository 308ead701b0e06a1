"""Let Ctrl-C wait while libsndfile calls back into Python.

An exception raised inside such a callback cannot pass through C: the block is lost, the library
fails in some other way, and closing a half-made file twice has crashed the process.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Keep a Ctrl-C back until the end of the block, then act on it."""
    handler = signal.getsignal(signal.SIGINT)
    # Python runs handlers in the main thread only, and only there may they be exchanged.
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: waiting.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if waiting:
            handler(*waiting[0])
