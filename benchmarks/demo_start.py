"""How long the demo takes from the command to a page that can be used, and to its model.

    python benchmarks/demo_start.py [--checkpoint pocket] [--runs 3]

Usable means that headless Chromium, open already, has typed into the prompt's field. Target: within
15 s on two cores. The first run also fills the disk's cache. It needs `pip install .[browser]` and
Chromium (`apt install chromium`).
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from demo_driver import PATIENCE_MS, chromium, fetched, is_ready, started, wait_until

TARGET_S = 15
PROMPT = "a relaxed bossa nova"


def start(checkpoint: str, browser: Any) -> tuple[float, float, float]:
    """Wall seconds until the first answer, until the page can be used and the model is ready."""
    page = browser.new_page()
    begin = time.perf_counter()
    with TemporaryDirectory() as outputs, started(checkpoint, Path(outputs)) as (address, server):
        wait_until(server, lambda: fetched(address) is not None)
        answer_s = time.perf_counter() - begin
        page.goto(address)
        page.locator("#prompt textarea").fill(PROMPT, timeout=PATIENCE_MS)  # waits till it may
        page_s = time.perf_counter() - begin
        wait_until(server, lambda: is_ready(address))
        model_s = time.perf_counter() - begin
        page.close()
        return answer_s, page_s, model_s


def main() -> None:
    """Start and end the demo again and again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="pocket")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    print(f"{'run':>3} {'answer s':>8} {'page s':>7} {'model s':>8}")
    with chromium() as browser:
        for number in range(1, args.runs + 1):
            answer_s, page_s, model_s = start(args.checkpoint, browser)
            print(f"{number:3} {answer_s:8.1f} {page_s:7.1f} {model_s:8.1f}")
    print(f"target for the page: {TARGET_S} s")


if __name__ == "__main__":
    main()
