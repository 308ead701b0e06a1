"""Integrated loudness in LUFS (ITU-R BS.1770-4, mono and stereo)."""

import numpy as np
from scipy.signal import sosfilt

from musicgen_ldm.audio import Waveform

SAMPLE_RATE = 48_000  # Hz; the standard tabulates its filters for this rate only
HEAD_SHELF = (1.53512485958697, -2.69169618940638, 1.19839281085285,
              1.0, -1.69065929318241, 0.73248077421585)  # fmt: skip
LOW_CUT = (1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621)
BLOCK, STEP = 19_200, 4_800  # samples: gating blocks of 400 ms, overlapping by 75 %
ABSOLUTE_GATE, RELATIVE_GATE = -70.0, -10.0  # LUFS, LU below the ungated mean
OFFSET = -0.691  # dB; makes a full-scale 997 Hz sine in one channel read -3.01 LUFS


def integrated_loudness(waveform: Waveform) -> float:
    """Gated loudness of `waveform` in LUFS; -inf when no block passes the gate.

    Sound shorter than one 400 ms block is measured as a single block.
    """
    samples = waveform.resampled(SAMPLE_RATE).samples.astype(np.float64)
    weighted = sosfilt([HEAD_SHELF, LOW_CUT], samples, axis=1)
    size = min(BLOCK, weighted.shape[1])
    blocks = np.lib.stride_tricks.sliding_window_view(weighted, size, axis=1)[:, ::STEP]
    power = np.square(blocks).mean(axis=2).sum(axis=0)
    power = power[power > power_of(ABSOLUTE_GATE)]
    if not power.size:
        return -np.inf
    power = power[power > power_of(loudness_of(float(power.mean())) + RELATIVE_GATE)]
    return loudness_of(float(power.mean()))


def loudness_of(power: float) -> float:
    """LUFS of a K-weighted mean square summed over the channels."""
    return OFFSET + 10 * float(np.log10(power))


def power_of(loudness: float) -> float:
    """Inverse of `loudness_of`."""
    return float(10 ** ((loudness - OFFSET) / 10))
