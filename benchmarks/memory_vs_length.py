"""Peak memory of a rendering against its length: it must not grow with it.

Every length is a fresh process.

    python benchmarks/memory_vs_length.py pocket --lengths 10 60 300
"""

import argparse
import resource
import subprocess
import sys
import time

from musicgen_ldm import GenerateRequest, MusicLDM


def peak_mib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def render(checkpoint: str, seconds: float, steps: int) -> None:
    """Render one length and print time and memory."""
    model = MusicLDM.from_pretrained(checkpoint, device="cpu")
    request = GenerateRequest(prompt="slow piano", seconds=seconds, sampling={"steps": steps})
    loaded, start = peak_mib(), time.perf_counter()
    next(model.iterate(request))
    wall_s = time.perf_counter() - start
    print(
        f"{seconds:6.0f} s  {wall_s:6.1f} s wall  "
        f"loaded {loaded:6.0f} MiB  peak {peak_mib():6.0f} MiB"
    )


def main() -> None:
    """Render each length in its own process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="name, folder or hub id")
    parser.add_argument("--lengths", type=float, nargs="+", default=[10, 60, 300])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        render(args.checkpoint, args.child, args.steps)
        return
    for length in args.lengths:
        command = [sys.executable, __file__, args.checkpoint, "--child", str(length)]
        subprocess.run([*command, "--steps", str(args.steps)], check=True)


if __name__ == "__main__":
    main()
