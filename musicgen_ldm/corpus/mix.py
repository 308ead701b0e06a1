"""The mixing desk: levels by role, places in the stereo picture, rooms, and the master chain."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft

from musicgen_ldm.corpus import effects
from musicgen_ldm.corpus.score import Role

FloatArray = npt.NDArray[np.float32]

# Loudness of a role's stem relative to STEM_TARGET_DB.
ROLE_LEVELS_DB: dict[Role, float] = {
    "drums": 0.5, "bass": -1.0, "comp": -4.5, "arpeggio": -5.0, "pad": -7.5, "lead": 1.5,
    "counter": -4.0, "percussion": -6.0, "fx": -13.0,
}  # fmt: skip
LEVEL_SPREAD_DB = 1.8  # standard deviation of a mixer's taste
STEM_TARGET_DB = -20.0  # loudness of a stem before the master
NAMED_WITHIN_DB = 20.0  # a stem may be named in words if it is this close to the loudest
BLOCK_S = 0.4  # loudness is gated in blocks of this length (ITU-R BS.1770)
GATE_DB = -20.0  # blocks this far below the loudest block do not count

# Loudness of the finished clip: RMS in dBFS, drawn from a normal distribution within limits.
LOUDNESS_MEAN_DB, LOUDNESS_SPREAD_DB = -16.5, 1.6
LOUDNESS_LIMITS_DB = (-20.0, -13.5)
CEILING = 0.97


@dataclass(frozen=True)
class Room:
    """A reverberator shared by all stems of a clip."""

    time_s: float
    size: float
    damping_hz: float

    @classmethod
    def draw(cls, space: float, rng: np.random.Generator) -> "Room":
        """A room for a wetness of 0 to 1: from a booth to a cathedral."""
        return cls(
            time_s=float((0.35 + 2.6 * space**1.3) * rng.uniform(0.8, 1.25)),
            size=float(0.45 + 1.4 * space + 0.3 * rng.random()),
            damping_hz=float(rng.uniform(2500, 7500)),
        )


@lru_cache(maxsize=4)
def k_weights(block: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Power weight of each frequency bin of a block: less bass, more presence, as ears have it.

    A high shelf of 4 dB above 1.5 kHz and a second-order high-pass at 38 Hz (ITU-R BS.1770).
    """
    hertz = np.fft.rfftfreq(block, 1 / sample_rate)
    shelf = 1 + (10 ** (4 / 10) - 1) * hertz**2 / (hertz**2 + 1500.0**2)
    return shelf * hertz**4 / (hertz**4 + 38.0**4)


def loudness_db(samples: FloatArray, sample_rate: int) -> float:
    """Gated loudness in dB of a stem while it plays; -inf for silence."""
    block = int(BLOCK_S * sample_rate)
    padded = np.pad(samples, ((0, 0), (0, -samples.shape[1] % block)))
    spectra = rfft(padded.reshape(2, -1, block))
    power = np.square(spectra.real) + np.square(spectra.imag)
    # Parseval: both halves of the spectrum, scaled to the mean square of the samples.
    # A sum rather than a matrix product: BLAS rounds otherwise on another number of threads.
    blocks = (power.mean(axis=0) * k_weights(block, sample_rate)).sum(axis=1) * 2 / block**2
    if blocks.max() <= 0:
        return -math.inf
    active = blocks[blocks > blocks.max() * 10 ** (GATE_DB / 10)]
    return 10 * math.log10(active.mean())


def role_gain(
    samples: FloatArray, sample_rate: int, role: Role, wish_db: float, rng: np.random.Generator
) -> float:
    """Linear gain that puts a stem at its role's level; 0 for a silent stem."""
    level = loudness_db(samples, sample_rate)
    taste = float(rng.normal(0, LEVEL_SPREAD_DB))
    if level == -math.inf:
        return 0.0
    return 10 ** ((STEM_TARGET_DB + ROLE_LEVELS_DB[role] + wish_db + taste - level) / 20)


def named_stems(levels_db: dict[str, float]) -> tuple[str, ...]:
    """Instruments loud enough to be named, loudest first."""
    if not levels_db:
        return ()
    loudest = max(levels_db.values())
    by_level = sorted(levels_db.items(), key=lambda item: -item[1])
    return tuple(name for name, level in by_level if level >= loudest - NAMED_WITHIN_DB)


def place(role: Role, samples: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Pan a stem: bass, drums and lead near the middle, accompaniment at the sides."""
    if role in ("bass", "drums"):
        return effects.widen(samples, 0.4 if role == "bass" else 0.9)
    reach = 0.25 if role in ("lead", "pad") else 0.65
    return effects.pan(samples, float(rng.uniform(-reach, reach)))


def master(samples: FloatArray, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """Glue compression, a gentle tilt and final loudness; peaks may still exceed 1."""
    cleaned = effects.high_pass(samples, sample_rate, 28.0)
    tilt_db = float(rng.normal(0, 1.6))
    tilted = effects.shelf(cleaned, sample_rate, 1200.0, tilt_db, is_high=True)
    rms = math.sqrt(float(np.square(tilted, dtype=np.float64).mean()))
    if rms == 0:
        return tilted
    levelled = tilted * np.float32(10 ** (-16 / 20) / rms)
    threshold_db = float(rng.uniform(-12, -5))
    squeezed = effects.compress(
        levelled, sample_rate, threshold_db=threshold_db, ratio=float(rng.uniform(1.5, 3.5))
    )
    return _to_loudness(squeezed, rng)


def _to_loudness(samples: FloatArray, rng: np.random.Generator) -> FloatArray:
    wanted = np.clip(rng.normal(LOUDNESS_MEAN_DB, LOUDNESS_SPREAD_DB), *LOUDNESS_LIMITS_DB)
    rms = math.sqrt(float(np.square(samples.mean(axis=0), dtype=np.float64).mean()))
    return samples * np.float32(10 ** (wanted / 20) / max(rms, 1e-9))
