"""Exact novelty search: 1,000 queries against a bank of 1,000,000 rows on disk.

    python benchmarks/metrics_search.py [--rows 1000000] [--device cpu]

Prints seconds and the growth of resident memory, and checks that planted copies are found. The
bank (1 GB at D = 512) is made in a temporary folder and deleted.
"""

import argparse
import resource
import tempfile
import time

import numpy as np

from musicgen_ldm import bank as banks

DIM, QUERIES, NEIGHBOURS, PLANTED = 512, 1000, 10, 100


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((QUERIES, DIM), dtype=np.float32)

    def rows():
        for start in range(0, args.rows, 1000):
            block = rng.standard_normal((min(1000, args.rows - start), DIM), dtype=np.float32)
            if start < PLANTED * 1000:
                block[0] = queries[start // 1000]  # one exact copy in each of the first blocks
            for i, row in enumerate(block):
                yield row, {"id": f"clip-{start + i}"}

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        bank = banks.build(folder, rows(), embedder="noise", identity="0", dim=DIM)
        print(f"build   {len(bank):,} rows: {time.perf_counter() - began:.1f} s")
        before = peak_mb()
        began, busy = time.perf_counter(), time.process_time()
        similarities, found = bank.search(queries, NEIGHBOURS, device=args.device)
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
        copies = min(PLANTED, args.rows // 1000)
        assert (found[:copies, 0] == np.arange(copies) * 1000).all()
        assert np.allclose(similarities[:copies, 0], 1, atol=1e-5)
        print(
            f"search  {QUERIES:,} x {len(bank):,} x {DIM} top {NEIGHBOURS} on {args.device}: "
            f"{seconds:.1f} s wall, {busy:.1f} s processor, "
            f"peak memory {before:.0f} -> {peak_mb():.0f} MB, "
            f"{copies} of {copies} copies found"
        )


if __name__ == "__main__":
    main()
