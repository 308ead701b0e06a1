"""Timings of the Fréchet distance, its jackknife, kernel distances and manifold metrics.

    python benchmarks/metrics_distances.py [--dim 512] [--clips 2000]

The textbook form with `scipy.linalg.sqrtm` is timed beside ours on the same covariances.
"""

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
import scipy.linalg

from musicgen_ldm.metrics import diversity, frechet, kernel, manifold
from musicgen_ldm.metrics.moments import GroupedMoments


def timed(name: str, call: Callable[[], object]) -> None:
    """Print wall and processor seconds, the best of two runs each."""
    wall, busy = [], []
    for _ in range(2):
        began = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - began[0])
        busy.append(time.process_time() - began[1])
    print(f"{name:42} {min(wall):8.3f} s wall {min(busy):8.3f} s processor")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--clips", type=int, default=2000)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    scales = np.geomspace(1, 1e-4, args.dim)  # the spectrum of real embeddings is steep
    gen = rng.standard_normal((args.clips, args.dim)) * scales
    ref = 1.1 * rng.standard_normal((args.clips, args.dim)) * scales
    gen_stats, ref_stats = GroupedMoments.of(gen), GroupedMoments.of(ref)
    a, b = gen_stats.total, ref_stats.total
    timed("moments in 30 groups", lambda: GroupedMoments.of(gen))
    timed("Fréchet distance (Procrustes)", lambda: frechet.distance(gen_stats, ref_stats))

    def textbook() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scipy.linalg.sqrtm(a.covariance @ b.covariance)

    timed("  matrix square root of other tools", textbook)
    timed("jackknife, 30 groups a side",
          lambda: frechet.left_out_distances(gen_stats, ref_stats))  # fmt: skip
    timed("influence of every clip", lambda: frechet.influence(gen, ref_stats))
    timed("FAD-infinity, 8 sizes x 5",
          lambda: frechet.frechet_infinity(gen, None, ref_stats, rng))  # fmt: skip
    timed("kernel distance with errors", lambda: kernel.kad(gen, ref, 1.0))
    timed("precision, recall, density, coverage", lambda: manifold.evaluate(gen, ref))
    timed("Vendi with error", lambda: diversity.vendi(gen))


if __name__ == "__main__":
    main()
