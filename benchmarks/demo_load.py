"""Many users at once: every request is answered or refused with a sentence, and memory stays flat.

    python benchmarks/demo_load.py [--checkpoint NAME] [--users 20] [--requests 100]

Without a checkpoint it takes random weights of the `tiny` preset with two steps, so that the page
and its queue are measured, not the model.
"""

import argparse
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from demo_driver import serving
from gradio_client import Client

from musicgen_ldm.checkpoint import initialise, save
from musicgen_ldm.config.generation import SamplingConfig

SECONDS = 1.0  # of music in a request
TIMEOUT_S = 120  # of one HTTP exchange; a busy machine needs more than the client's 5


def memory_mb(pid: int) -> float:
    """Resident memory of a process (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def ask(client: Client, count: int, user: int) -> list[tuple[str, float]]:
    """Queue `count` requests of one user at once; (outcome, seconds) of each."""
    start = time.perf_counter()
    jobs = [
        client.submit(f"user {user}, request {number}", SECONDS, number, api_name="/generate")
        for number in range(count)
    ]
    outcomes = []
    for job in jobs:
        try:
            path, record = job.result()
            is_whole = Path(path).is_file() and record["prompt"].startswith(f"user {user},")
            outcome = "answered" if is_whole else "answered wrongly"
        except Exception as error:
            outcome = f"refused: {error}"
        outcomes.append((outcome, time.perf_counter() - start))
    return outcomes


def load(address: str, users: int, requests: int) -> list[tuple[str, float]]:
    """All users at the same time, the requests shared out evenly."""
    with TemporaryDirectory() as downloads, ThreadPoolExecutor(users) as pool:
        patient = {"timeout": TIMEOUT_S}
        clients = [
            Client(address, verbose=False, download_files=downloads, httpx_kwargs=patient)
            for _ in range(users)
        ]
        share = [requests // users] * users
        return list(chain.from_iterable(pool.map(ask, clients, share, range(users))))


def main() -> None:
    """Two identical rounds, so that the second shows whether memory grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", help="default: tiny random weights")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        checkpoint = args.checkpoint or save(
            replace(initialise("tiny"), sampling=SamplingConfig(steps=2)), Path(folder) / "tiny"
        )
        with serving(checkpoint, Path(folder) / "outputs") as (address, pid):
            print(
                f"{'round':>5} {'requests':>8} {'wall s':>7} {'median s':>8} {'RSS MB':>7}  outcome"
            )
            print(f"{0:5} {0:8} {'':7} {'':8} {memory_mb(pid):7.0f}  model loaded")
            for number in range(1, args.rounds + 1):
                start = time.perf_counter()
                outcomes = load(address, args.users, args.requests)
                wall = time.perf_counter() - start
                print(
                    f"{number:5} {len(outcomes):8} {wall:7.1f} "
                    f"{median(seconds for _, seconds in outcomes):8.1f} {memory_mb(pid):7.0f}"
                )
                for outcome, count in Counter(name for name, _ in outcomes).most_common():
                    print(f"{'':40} {count:4} x {outcome}")


if __name__ == "__main__":
    main()
