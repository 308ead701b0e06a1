"""How long the demo takes from the command to its page, and to its model.

    python benchmarks/demo_start.py [--checkpoint pocket] [--runs 3]

Target: the page answers within 15 s on two cores. The first run also fills the disk's cache.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from demo_driver import fetched, is_ready, started, wait_until

TARGET_S = 15


def start(checkpoint: str) -> tuple[float, float]:
    """Wall seconds until the page's first answer, and until the model is ready."""
    begin = time.perf_counter()
    with TemporaryDirectory() as outputs, started(checkpoint, Path(outputs)) as (address, server):
        wait_until(server, lambda: fetched(address) is not None)
        page_s = time.perf_counter() - begin
        wait_until(server, lambda: is_ready(address))
        return page_s, time.perf_counter() - begin


def main() -> None:
    """Start and end the demo again and again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="pocket")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    print(f"{'run':>3} {'page s':>7} {'model s':>8}")
    for number in range(1, args.runs + 1):
        page_s, model_s = start(args.checkpoint)
        print(f"{number:3} {page_s:7.1f} {model_s:8.1f}")
    print(f"target for the page: {TARGET_S} s")


if __name__ == "__main__":
    main()
