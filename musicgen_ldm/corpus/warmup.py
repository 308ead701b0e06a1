"""Compiling every kernel in advance, in one process.

Numba stores what it compiles beside the source. Processes that meet a kernel for the first time
at the same moment would each compile it, and two that compile it for different types may write
their code under one name; so whoever starts workers calls `compile_kernels` before.
"""

import numpy as np

from musicgen_ldm.corpus import effects
from musicgen_ldm.corpus.score import Note
from musicgen_ldm.corpus.synth import play_patch

SAMPLE_RATE, NUM_SAMPLES = 32_000, 256  # enough to enter every loop
ONE_PATCH_A_KERNEL = ("saw_bass", "fm_bell", "drawbar_organ")


def compile_kernels() -> None:
    """Run every kernel once on next to nothing, as rendering calls it."""
    for patch in ONE_PATCH_A_KERNEL:
        play_patch(
            patch,
            (Note(0.0, 0.001, 60, 100),),
            num_samples=NUM_SAMPLES,
            sample_rate=SAMPLE_RATE,
            bpm=120.0,
            brightness=0.0,
            articulation=0.0,
            rng=np.random.default_rng(0),
        )
    sound = np.ones((2, NUM_SAMPLES), np.float32)
    effects.high_pass(sound, SAMPLE_RATE, 100.0)
    effects.compress(sound, SAMPLE_RATE, threshold_db=-20.0, ratio=2.0)
    effects.echo(sound, SAMPLE_RATE, 0.001, feedback=0.5, cutoff=1000.0)
    effects.reverb(sound, SAMPLE_RATE, time_s=0.1, size=0.5, damping_hz=5000.0)
    effects.chorus(sound, SAMPLE_RATE, rate_hz=1.0, depth_s=0.001, mix=0.5)
