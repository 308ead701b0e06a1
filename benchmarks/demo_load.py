"""Many users at once: every request is answered or refused with a sentence, and memory stays flat.

    python benchmarks/demo_load.py [--checkpoint NAME] [--users 20] [--requests 100]

Without a checkpoint it takes random weights of the `tiny` preset with two steps, so that the page
and its queue are measured, not the model. It exits with 1 when a request got neither its music nor
a sentence, or when the memory grew by more than MOST_GROWTH_MB from the first round to the last.
"""

import argparse
import sys
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
from gradio_client.client import Job
from gradio_client.exceptions import AppError

from musicgen_ldm.checkpoint import initialise, save
from musicgen_ldm.config.generation import SamplingConfig

SECONDS = 1.0  # of music in a request
TIMEOUT_S = 120  # of one HTTP exchange; a busy machine needs more than the client's 5
# What the first round leaves is kept for the next one: threads, arenas, compiled kernels. A later
# round may add some fragments; a leak adds more than a megabyte for each of the usual 100 requests.
MOST_GROWTH_MB = 100
ANSWERED, REFUSED, LOST = "answered", "refused", "LOST"
SAYS_NOTHING = "The upstream Gradio app"  # begins what the client says for want of a sentence


def memory_mb(pid: int) -> float:
    """Resident memory of a process (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def outcome(job: Job, user: int) -> str:
    """What became of a request, beginning with ANSWERED, REFUSED or LOST."""
    try:
        path, record = job.result()
    except AppError as error:
        said = str(error)
        return f"{LOST if not said or said.startswith(SAYS_NOTHING) else REFUSED}: {said}"
    except Exception as error:
        return f"{LOST}: {type(error).__name__}: {error}"
    is_its_own = Path(path).is_file() and record["prompt"].startswith(f"user {user},")
    return ANSWERED if is_its_own else f"{LOST}: answered wrongly"


def ask(client: Client, count: int, user: int) -> list[tuple[str, float]]:
    """Queue `count` requests of one user at once; (outcome, seconds) of each."""
    start = time.perf_counter()
    jobs = [
        client.submit(f"user {user}, request {number}", SECONDS, number, api_name="/generate")
        for number in range(count)
    ]
    return [(outcome(job, user), time.perf_counter() - start) for job in jobs]


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


def failures(outcomes: list[str], growth_mb: float) -> list[str]:
    """What was promised and not kept, a sentence each."""
    lost = sum(found.startswith(LOST) for found in outcomes)
    return [f"{lost} of {len(outcomes)} requests got neither music nor a sentence"] * bool(lost) + [
        f"the memory grew by {growth_mb:.0f} MB, more than {MOST_GROWTH_MB}"
    ] * (growth_mb > MOST_GROWTH_MB)


def measure(address: str, pid: int, args: argparse.Namespace) -> list[str]:
    """Round after round, a line each; the promises that were not kept."""
    print(f"{'round':>5} {'requests':>8} {'wall s':>7} {'median s':>8} {'RSS MB':>7}  outcome")
    print(f"{0:5} {0:8} {'':7} {'':8} {memory_mb(pid):7.0f}  model loaded")
    found: list[str] = []
    memory: list[float] = []
    for number in range(1, args.rounds + 1):
        start = time.perf_counter()
        outcomes = load(address, args.users, args.requests)
        wall = time.perf_counter() - start
        memory.append(memory_mb(pid))
        print(
            f"{number:5} {len(outcomes):8} {wall:7.1f} "
            f"{median(seconds for _, seconds in outcomes):8.1f} {memory[-1]:7.0f}"
        )
        for said, count in Counter(name for name, _ in outcomes).most_common():
            print(f"{'':40} {count:4} x {said}")
        found += [name for name, _ in outcomes]
    growth = memory[-1] - memory[0]
    print(f"memory grew by {growth:.0f} MB after the first round; bound {MOST_GROWTH_MB} MB")
    return failures(found, growth)


def main() -> int:
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
            broken = measure(address, pid, args)
    for promise in broken:
        print(f"error: {promise}", file=sys.stderr)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
