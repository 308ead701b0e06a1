"""Forked processes of a test: killed ones, and two that train together over gloo."""

import os
import signal
import socket
import traceback

from accelerate.state import AcceleratorState, GradientState, PartialState


def in_processes(work, num_processes=1):
    """Run `work(rank)` in forked processes; returns their exit codes, -9 for a killed one.

    The others are killed once one has failed: they would wait for it forever.
    """
    children, codes = [], {}
    for rank in range(num_processes):
        child = os.fork()
        if child == 0:
            try:
                work(rank)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        children.append(child)
    while len(codes) < len(children):
        child, status = os.wait()
        codes[child] = os.waitstatus_to_exitcode(status)
        if codes[child]:
            for other in set(children) - codes.keys():
                os.kill(other, signal.SIGKILL)
    return [codes[child] for child in children]


def distributed():
    """What gives each of two forked processes the environment of `accelerate launch`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def join(rank):
        for state in (PartialState, AcceleratorState, GradientState):
            state._reset_state()
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true",
        }  # fmt: skip

    return join
