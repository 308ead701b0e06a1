"""Agreement with the pure functions of published evaluation packages, in an opt-in test.

    pip install --no-deps --target rivals fadtk kadtk frechet-audio-distance audioldm-eval
    MUSICGEN_LDM_RIVALS=rivals pytest tests/metrics/test_parity_with_rivals.py

`benchmarks/rivals.py` tells how they are run, `benchmarks/metrics_side_by_side.py` how right and
fast they are.
"""

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from rivals import Muted, quietly
from rivals import lift as lift_from
from scipy.special import softmax

from musicgen_ldm.metrics import divergence, frechet, kernel

RIVALS = os.environ.get("MUSICGEN_LDM_RIVALS")
pytestmark = pytest.mark.skipif(RIVALS is None, reason="MUSICGEN_LDM_RIVALS is not set")
lift = partial(lift_from, Path(RIVALS or "."))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("rows", [40, 400])
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("fadtk/fad.py", "calc_frechet_distance"),
        ("frechet_audio_distance/fad.py", "calculate_frechet_distance"),
    ],
)
def test_frechet_distance(rng, file, name, rows):
    gen, ref = rng.standard_normal((rows, 16)), 1.2 * rng.standard_normal((rows, 16)) + 0.1
    statistics = [gen.mean(axis=0), np.cov(gen.T), ref.mean(axis=0), np.cov(ref.T)]

    theirs = lift(file, name, np=np, linalg=scipy.linalg, scisqrt=np.emath.sqrt, log=Muted())
    arguments = [Muted(), *statistics] if "self" in theirs.__code__.co_varnames else statistics
    ours = frechet.frechet_distance(*statistics)
    assert quietly(theirs, *arguments) == pytest.approx(ours, rel=1e-6)


def test_kernel_distance(rng):
    gen, ref = rng.standard_normal((50, 8)), rng.standard_normal((70, 8)) + 0.3
    theirs = lift("kadtk/kad.py", "calc_kernel_audio_distance", torch=torch, np=np, Path=Path,
                  SCALE_FACTOR=100)  # fmt: skip
    both = torch.from_numpy(gen), torch.from_numpy(ref)
    value = quietly(theirs, *both, (None, None), "cpu", 2.0)
    assert float(value) == pytest.approx(kernel.kad(gen, ref, 2.0).value, rel=1e-4)


def test_inception_score(rng):
    logits = 3 * rng.standard_normal((100, 20))
    theirs = lift("audioldm_eval/metrics/isc.py", "calculate_isc", torch=torch, np=np)
    found = quietly(theirs, {"x": torch.from_numpy(logits)}, "x", 2020, True, 10)
    expected = found["inception_score_mean"], found["inception_score_std"]
    assert divergence.split_inception_score(logits) == pytest.approx(expected, rel=1e-12)


def test_divergence(rng):
    gen, ref = 3 * rng.standard_normal((2, 12, 9))
    theirs = lift("audioldm_eval/metrics/kl.py", "calculate_kl", torch=torch, os=os, np=np)
    paths = [f"{i}.wav" for i in range(12)]
    sets = [{"x": torch.from_numpy(s), "file_path_": paths} for s in (gen, ref)]
    found = quietly(theirs, *sets, "x")[0]
    ours = divergence.epsilon_kl(softmax(ref, axis=1), softmax(gen, axis=1), 1e-6).mean()
    assert found["kullback_leibler_divergence_softmax"] == pytest.approx(ours, rel=1e-9)
    sigmoid = divergence.epsilon_kl(1 / (1 + np.exp(-ref)), 1 / (1 + np.exp(-gen)), 1e-6).mean()
    assert found["kullback_leibler_divergence_sigmoid"] == pytest.approx(sigmoid, rel=1e-9)
