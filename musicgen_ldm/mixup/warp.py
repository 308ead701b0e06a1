"""Read a waveform at fractional positions: a band-limited varispeed."""

from functools import lru_cache

import numba
import numpy as np
import numpy.typing as npt

from musicgen_ldm.audio import FloatArray

NUM_TAPS = 16
NUM_PHASES = 1024  # the nearest of so many phases is within -66 dB of the exact one
KAISER_BETA = 8.0


@lru_cache(maxsize=1)
def _kernel() -> FloatArray:
    """Kaiser-windowed sinc, (NUM_PHASES + 1, NUM_TAPS), each row summing to one."""
    phase = np.linspace(0, 1, NUM_PHASES + 1)[:, None]
    offset = np.arange(NUM_TAPS) - NUM_TAPS // 2 + 1 - phase
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1 - (2 * offset / NUM_TAPS) ** 2, 0, None)))
    kernel = np.sinc(offset) * window
    return (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)


@numba.njit(nogil=True, fastmath=True)
def _interpolate(
    padded: FloatArray, positions: npt.NDArray[np.float64], kernel: FloatArray
) -> FloatArray:  # pragma: no cover - compiled
    phases, taps = kernel.shape[0] - 1, kernel.shape[1]
    result = np.empty(len(positions), dtype=np.float32)
    for n in range(len(positions)):
        whole = int(np.floor(positions[n]))
        row = int((positions[n] - whole) * phases + 0.5)
        total = np.float32(0)
        for tap in range(taps):
            total += kernel[row, tap] * padded[whole + tap]
        result[n] = total
    return result


def sample_at(samples: FloatArray, positions: npt.NDArray[np.float64]) -> FloatArray:
    """Values of a waveform between its samples.

    Why varispeed and not a phase vocoder: within a tempo bin the speeds differ by a few per cent,
    so the pitch moves by a fraction of a semitone, while attacks, which carry the beat, stay
    sharp, the positions are exact to a fraction of a sample, and it is some ten times faster.

    Args:
        samples: (T,); silence is assumed beyond both ends.
        positions: (T',) in samples, from 0 to T; whole numbers return the samples themselves.

    Returns:
        (T',) float32.
    """
    before, after = NUM_TAPS // 2 - 1, NUM_TAPS // 2 + 1
    padded = np.pad(samples, (before, after)).astype(np.float32, copy=False)
    return _interpolate(padded, np.clip(positions, 0, len(samples)), _kernel())
