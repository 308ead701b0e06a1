"""Integrated loudness in LUFS (ITU-R BS.1770-4, mono and stereo)."""

from collections.abc import Iterator

import numpy as np
import soxr
from scipy.signal import sosfilt

from musicgen_ldm.audio import Waveform

SAMPLE_RATE = 48_000  # Hz; the standard tabulates its filters for this rate only
HEAD_SHELF = (1.53512485958697, -2.69169618940638, 1.19839281085285,
              1.0, -1.69065929318241, 0.73248077421585)  # fmt: skip
LOW_CUT = (1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621)
BLOCK, STEP = 19_200, 4_800  # samples: gating blocks of 400 ms, overlapping by 75 %
ABSOLUTE_GATE, RELATIVE_GATE = -70.0, -10.0  # LUFS, LU below the ungated mean
CHUNK_S = 10  # seconds that are filtered at once
OFFSET = -0.691  # dB; makes a full-scale 997 Hz sine in one channel read -3.01 LUFS


def integrated_loudness(waveform: Waveform) -> float:
    """Gated loudness of `waveform` in LUFS; -inf when no block passes the gate.

    Sound shorter than one 400 ms block is measured as a single block.
    """
    energy = np.concatenate([*_step_energies(waveform)])
    steps = min(BLOCK // STEP, len(energy))
    power = np.convolve(energy, np.ones(steps) / steps, mode="valid")
    power = power[power > power_of(ABSOLUTE_GATE)]
    if not power.size:
        return -np.inf
    power = power[power > power_of(loudness_of(float(power.mean())) + RELATIVE_GATE)]
    return loudness_of(float(power.mean()))


def _step_energies(waveform: Waveform) -> Iterator[np.ndarray]:
    """Mean K-weighted square of every step of 100 ms, summed over channels, a chunk at a time.

    Why chunks: at 48 kHz in double precision a long piece would not fit where its samples do.
    """
    channels = waveform.samples.shape[0]
    stream = soxr.ResampleStream(waveform.sample_rate, SAMPLE_RATE, channels, dtype="float64")
    state = np.zeros((2, channels, 2))
    rest = np.zeros((channels, 0))
    size = CHUNK_S * waveform.sample_rate
    for start in range(0, waveform.samples.shape[1], size):
        chunk = waveform.samples[:, start : start + size].astype(np.float64)
        is_last = start + size >= waveform.samples.shape[1]
        resampled = stream.resample_chunk(np.ascontiguousarray(chunk.T), last=is_last).T
        weighted, state = sosfilt([HEAD_SHELF, LOW_CUT], resampled, axis=1, zi=state)
        rest = np.concatenate([rest, np.square(weighted)], axis=1)
        if is_last and rest.shape[1] < STEP:
            yield rest.mean(axis=1).sum(keepdims=True) if rest.shape[1] else np.zeros(0)
            return
        whole = rest.shape[1] // STEP * STEP
        yield rest[:, :whole].reshape(channels, -1, STEP).mean(axis=2).sum(axis=0)
        rest = rest[:, whole:]


def loudness_of(power: float) -> float:
    """LUFS of a K-weighted mean square summed over the channels."""
    return OFFSET + 10 * float(np.log10(power))


def power_of(loudness: float) -> float:
    """Inverse of `loudness_of`."""
    return float(10 ** ((loudness - OFFSET) / 10))
