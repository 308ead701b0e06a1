"""Our metrics beside published packages: how right they are, and how fast, in one run.

    pip install --no-deps --target rivals fadtk kadtk frechet-audio-distance audioldm-eval prdc \
        vendi-score faiss-cpu
    python benchmarks/metrics_side_by_side.py rivals [--clips 2000] [--dim 512]

Every case is made so that the true value is known: the generated set is the reference, scaled and
moved, so that the Fréchet distance between the two samples is |d|² + (s - 1)² tr(C), with the
difference of the means d; a kernel distance is computed by its definition from differences in
float64. Times are wall time over that of ours in the same run, the best of three; embeddings are
float32, as networks give them.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import scipy.linalg
import torch
from rivals import Muted, lift, quietly
from scipy.spatial.distance import cdist

from musicgen_ldm import bank as banks
from musicgen_ldm.metrics import diversity, frechet, kernel, manifold
from musicgen_ldm.metrics.moments import Moments

REPEATS = 3
NEIGHBOURS = 5
QUERIES, ROWS = 1000, 200_000
Rows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Outcome:
    """What a call gave, or how it failed, and its seconds."""

    value: object
    seconds: float
    failure: str | None = None


def run(call: Callable[[], object]) -> Outcome:
    """The value of the call and the best of its times."""
    seconds = []
    value = None
    for _ in range(REPEATS):
        began = time.perf_counter()
        try:
            value = quietly(call)
        except (ValueError, AssertionError, AttributeError) as error:
            return Outcome(None, time.perf_counter() - began, f"{type(error).__name__}: {error}")
        seconds.append(time.perf_counter() - began)
    return Outcome(value, min(seconds))


def compare(case: str, truth: float | None, calls: dict[str, Callable[[], object]]) -> None:
    """One line a package; ours is the first."""
    print(f"\n{case}" + ("" if truth is None else f": truth {truth:.8g}"))
    base = None
    for name, call in calls.items():
        found = run(call)
        base = base or found.seconds
        value = found.failure or " ".join(f"{x.real:.8g}" for x in np.atleast_1d(found.value))
        print(f"  {name:24} {value:>44}   time x {found.seconds / base:.2f}")


def frechet_cases(folder: Path, rng: np.random.Generator, clips: int, dim: int) -> None:
    """Fréchet distances between float32 embeddings, statistics included."""
    scope = {"np": np, "linalg": scipy.linalg, "scisqrt": np.emath.sqrt, "log": Muted()}
    fadtk_stats = lift(folder, "fadtk/fad.py", "calc_embd_statistics", **scope)
    fadtk_distance = lift(folder, "fadtk/fad.py", "calc_frechet_distance", **scope)
    file = "frechet_audio_distance/fad.py"
    fad_stats = lift(folder, file, "calculate_embd_statistics", **scope)
    fad_distance = lift(folder, file, "calculate_frechet_distance", **scope)
    fid = lift(folder, "audioldm_eval/metrics/fid.py", "calculate_fid", np=np, scipy=scipy,
               torch=torch)  # fmt: skip

    def ours(gen: Moments, ref: Moments) -> float:
        return frechet.frechet_distance(gen.mean, gen.covariance, ref.mean, ref.covariance)

    def case(name: str, gen: Rows, ref: Rows, scale: float) -> None:
        moved = gen.astype(float).mean(axis=0) - ref.astype(float).mean(axis=0)
        spread = ref.astype(float).var(axis=0, ddof=1).sum()
        both = {"a": torch.from_numpy(gen)}, {"a": torch.from_numpy(ref)}
        compare(
            name,
            float(moved @ moved + (scale - 1) ** 2 * spread),
            {
                "musicgen_ldm": lambda: ours(Moments.of(gen), Moments.of(ref)),
                "fadtk": lambda: fadtk_distance(*fadtk_stats(gen), *fadtk_stats(ref)),
                "frechet-audio-distance": lambda: fad_distance(
                    None, *fad_stats(None, gen), *fad_stats(None, ref)
                ),
                "audioldm-eval": lambda: fid(*both, "a")["frechet_distance"],
            },
        )

    steep = np.geomspace(1, 1e-4, dim)  # the spectrum of real embeddings is steep
    ref = (rng.standard_normal((clips, dim)) * steep).astype(np.float32)
    few = ref[: dim * 2 // 5]
    case(f"Fréchet, {clips} x {dim}", 1.1 * ref + np.float32(0.01), ref, 1.1)
    case(f"Fréchet, {len(few)} x {dim}", 1.1 * few + np.float32(0.01), few, 1.1)
    case(f"Fréchet of {clips} x {dim} with itself", ref, ref, 1)
    case(f"Fréchet of {len(few)} x {dim} with itself", few, few, 1)
    case("Fréchet, means of 100", 1.1 * ref + np.float32(100), ref + np.float32(100), 1.1)


def kernel_cases(folder: Path, rng: np.random.Generator, clips: int, dim: int) -> None:
    """Kernel distances, near and far from the origin."""
    theirs = lift(folder, "kadtk/kad.py", "calc_kernel_audio_distance", torch=torch, np=np,
                  Path=Path, SCALE_FACTOR=100)  # fmt: skip
    bandwidth = float(np.sqrt(2 * dim))

    def defined(gen: Rows, ref: Rows) -> float:
        def mean(first: Rows, second: Rows, pairs: int) -> float:
            values = np.exp(-cdist(first, second, "sqeuclidean") / (2 * bandwidth**2))
            return float((values.sum() - (len(first) if first is second else 0)) / pairs)

        m, n = len(gen), len(ref)
        return 100 * (mean(gen, gen, m * (m - 1)) + mean(ref, ref, n * (n - 1))
                      - 2 * mean(gen, ref, m * n))  # fmt: skip

    gen = rng.standard_normal((clips, dim), dtype=np.float32) + np.float32(0.05)
    ref = rng.standard_normal((clips, dim), dtype=np.float32)
    for offset in (0, 1000):
        moved_gen, moved_ref = gen + np.float32(offset), ref + np.float32(offset)
        both = torch.from_numpy(moved_gen), torch.from_numpy(moved_ref)
        calls = {
            "musicgen_ldm (and error)": lambda: kernel.kad(moved_gen, moved_ref, bandwidth).value,  # noqa: B023
            "kadtk": lambda: float(theirs(*both, (None, None), "cpu", bandwidth)),  # noqa: B023
        }
        compare(f"KAD, {clips} x {dim}, means of {offset}", defined(moved_gen, moved_ref), calls)


def shape_cases(folder: Path, rng: np.random.Generator, clips: int, dim: int) -> None:
    """Precision to coverage, and the Vendi score."""
    sys.path.append(str(folder))
    prdc = importlib.import_module("prdc.prdc")
    theirs = importlib.import_module("vendi_score.vendi")
    gen = rng.standard_normal((clips, dim), dtype=np.float32)
    ref = rng.standard_normal((clips, dim), dtype=np.float32)
    names = ("precision", "recall", "density", "coverage")

    def ours() -> list[float]:
        found = manifold.evaluate(gen, ref, k=NEIGHBOURS)
        return [found[name].value for name in names]

    def published() -> list[float]:
        found = prdc.compute_prdc(ref, gen, NEIGHBOURS)
        return [found[name] for name in names]

    compare(f"{', '.join(names)}, {clips} x {dim}", None, {"musicgen_ldm": ours, "prdc": published})
    compare(
        f"Vendi score, {clips} x {dim}",
        None,
        {
            "musicgen_ldm": lambda: diversity.vendi_score(gen),
            "vendi-score, score_X": lambda: theirs.score_X(gen),
            "vendi-score, score_dual": lambda: theirs.score_dual(gen),
        },
    )


def search_case(folder: Path, rng: np.random.Generator, dim: int) -> None:
    """Nearest neighbours: a bank on disk beside an index in memory."""
    sys.path.append(str(folder))
    faiss = importlib.import_module("faiss")
    faiss.omp_set_num_threads(torch.get_num_threads())
    rows = rng.standard_normal((ROWS, dim), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = rng.standard_normal((QUERIES, dim), dtype=np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    index = faiss.IndexFlatIP(dim)
    index.add(rows)
    named = ((row, {"id": f"clip-{i}"}) for i, row in enumerate(rows))
    with TemporaryDirectory() as temporary:
        bank = banks.build(temporary, named, embedder="noise", identity="0", dim=dim)
        ours = run(lambda: bank.search(queries, NEIGHBOURS))
        theirs = run(lambda: index.search(queries, NEIGHBOURS))
    pairs = zip(ours.value[1], theirs.value[1], strict=True)
    same = np.mean([len(np.intersect1d(*pair)) / NEIGHBOURS for pair in pairs])
    print(
        f"\nSearch, {QUERIES} x {ROWS} x {dim}, {NEIGHBOURS} neighbours: faiss IndexFlatIP takes "
        f"x {theirs.seconds / ours.seconds:.2f} our time and holds {rows.nbytes / 1e6:.0f} MB; "
        f"{100 * same:.2f} % of the neighbours are the same (a bank keeps float16)"
    )


def main() -> None:
    """Run all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rivals", type=Path, help="folder that pip installed the packages into")
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--dim", type=int, default=512)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    frechet_cases(args.rivals, rng, args.clips, args.dim)
    kernel_cases(args.rivals, rng, args.clips, args.dim)
    shape_cases(args.rivals, rng, args.clips, args.dim)
    search_case(args.rivals, rng, args.dim)


if __name__ == "__main__":
    main()
