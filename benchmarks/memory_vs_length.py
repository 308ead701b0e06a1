"""Peak memory of a rendering against its length: it must not grow with it.

Every length is a fresh process on random weights.

    python benchmarks/memory_vs_length.py --preset pocket --lengths 10 60 300
"""

import argparse
import resource
import subprocess
import sys
import time

from musicgen_ldm import GenerateRequest, MusicLDM
from musicgen_ldm.checkpoint import initialise


def main() -> None:
    """Render each length in its own process and print time and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="pocket")
    parser.add_argument("--lengths", type=float, nargs="+", default=[10, 60, 300])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        model = MusicLDM(initialise(args.preset), device="cpu")
        sampling = {"sampler": "dpm++", "steps": args.steps, "guidance": 2.0}
        request = GenerateRequest(prompt="slow piano", seconds=args.child, sampling=sampling)
        loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start = time.perf_counter()
        next(model.iterate(request))
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{args.child:6.0f} s  {seconds:6.1f} s wall  "
            f"loaded {loaded:6.0f} MiB  peak {peak:6.0f} MiB"
        )
        return
    for length in args.lengths:
        command = [sys.executable, __file__, "--child", str(length)]
        command += ["--preset", args.preset, "--steps", str(args.steps)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
