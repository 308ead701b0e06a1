"""Faults of a signal that need no reference: silence, clipping, DC, level."""

from dataclasses import dataclass

import numpy as np

from musicgen_ldm.audio import SILENCE_DBFS, FloatArray, Waveform, peak, rms_dbfs
from musicgen_ldm.measure.loudness import integrated_loudness

FULL_SCALE = 1 - 1.5 / 2**15  # the two outermost 16-bit codes and everything beyond
CLIPPED_RUN = 3  # samples in a row; a clean full-scale tone above 20 Hz stays below
FRAME_S = 0.05  # length of the frames that are called silent or not

MAX_CLIPPED = 1e-4  # share of samples; about one clipped wave top a second
MAX_SILENT = 0.3  # share of frames
MAX_DC = 0.01  # of full scale; -40 dBFS


@dataclass(frozen=True)
class Health:
    """State of a signal.

    Attributes:
        peak: Largest absolute sample.
        rms_dbfs: Root-mean-square level, dB relative to full scale; -inf for digital silence.
        loudness_lufs: Integrated loudness (BS.1770); -inf when gated away.
        clipped_fraction: Share of samples in runs of at least three at full scale, 0 to 1.
        silent_fraction: Share of 50 ms frames below -60 dBFS, 0 to 1.
        dc_offset: Mean sample of the worst channel, signed.
    """

    peak: float
    rms_dbfs: float
    loudness_lufs: float
    clipped_fraction: float
    silent_fraction: float
    dc_offset: float

    @property
    def faults(self) -> tuple[str, ...]:
        """Names of the faults found: "silent", "gaps", "clipped", "dc"; empty when healthy."""
        silent = self.rms_dbfs < SILENCE_DBFS
        found = {
            "silent": silent,
            "gaps": not silent and self.silent_fraction > MAX_SILENT,
            "clipped": self.clipped_fraction > MAX_CLIPPED,
            "dc": abs(self.dc_offset) > MAX_DC,
        }
        return tuple(name for name, present in found.items() if present)

    @property
    def score(self) -> float:
        """1 for a flawless signal, falling to 0 with the worst fault; 0 for silence.

        Each fault costs in proportion to its limit: half at the limit, everything at twice it.
        """
        if self.rms_dbfs < SILENCE_DBFS:
            return 0.0
        worst = max(
            self.clipped_fraction / MAX_CLIPPED,
            self.silent_fraction / MAX_SILENT,
            abs(self.dc_offset) / MAX_DC,
        )
        return max(0.0, 1 - worst / 2)


def signal_health(waveform: Waveform) -> Health:
    """Measure the health of `waveform`, any rate and channel count, at least one sample."""
    samples = waveform.samples
    means = samples.mean(axis=1)
    return Health(
        peak=peak(samples),
        rms_dbfs=rms_dbfs(samples),
        loudness_lufs=integrated_loudness(waveform),
        clipped_fraction=clipped_fraction(samples),
        silent_fraction=silent_fraction(samples, max(1, round(FRAME_S * waveform.sample_rate))),
        dc_offset=float(means[np.abs(means).argmax()]),
    )


def clipped_fraction(samples: FloatArray) -> float:
    """Share of samples (channels, T) in runs of `CLIPPED_RUN` or more at full scale."""
    full = np.pad(np.abs(samples) >= FULL_SCALE, [(0, 0), (1, 1)]).astype(np.int8)
    edges = np.diff(full, axis=1)
    lengths = np.argwhere(edges == -1)[:, 1] - np.argwhere(edges == 1)[:, 1]
    return float(lengths[lengths >= CLIPPED_RUN].sum()) / samples.size


def silent_fraction(samples: FloatArray, frame: int) -> float:
    """Share of frames of `frame` samples whose level is below `SILENCE_DBFS`."""
    starts = np.arange(0, samples.shape[1], frame)
    energy = np.add.reduceat(np.square(samples, dtype=np.float64).mean(axis=0), starts)
    counts = np.diff(np.append(starts, samples.shape[1]))
    return float((energy / counts < 10 ** (SILENCE_DBFS / 10)).mean())
