"""Augmentation of beat-training examples, all in the log-mel domain.

A log spectrum turns filters and gains into additions and tempo into interpolation along time,
so a minute of clips is augmented in milliseconds. Every function takes a log-mel (N, M) and a
generator; only `stretch` moves the beats.
"""

import numpy as np

from musicgen_ldm.audio import FloatArray
from musicgen_ldm.config.beats_training import BEAT_MEL, BeatAugmentConfig

NEPERS_PER_DB = float(np.log(10) / 20)
LOG_FLOOR = float(np.log(BEAT_MEL.floor))
EQUALISER_BANDS = 6
NOISE_DB = (-30.0, 0.0)  # level of the noise relative to the music
LOW_CUT_BINS = (2, 10)  # about 100 to 400 Hz
HIGH_CUT_BINS = (30, 56)  # about 1.5 to 6 kHz
MASK_FRAMES, MASK_BINS = 20, 12


def stretch(mel: FloatArray, factor: float) -> FloatArray:
    """Play `factor` times faster at the same pitch: (N, M) -> (round(N / factor), M).

    Frame n of the result shows what frame n * factor showed, so beat times divide by `factor`.
    """
    position = np.arange(round(len(mel) / factor)) * factor
    left = np.minimum(position.astype(int), len(mel) - 1)
    right = np.minimum(left + 1, len(mel) - 1)
    weight = (position - left)[:, None].astype(np.float32)
    return mel[left] * (1 - weight) + mel[right] * weight


def transpose(mel: FloatArray, bins: int) -> FloatArray:
    """Shift the spectrum up by `bins` (down if negative); the edge bin is repeated."""
    source = np.clip(np.arange(mel.shape[1]) - bins, 0, mel.shape[1] - 1)
    return mel[:, source]


def equaliser(num_bins: int, std_db: float, rng: np.random.Generator) -> FloatArray:
    """A smooth random filter curve in nepers, (M,)."""
    knots = rng.normal(0, std_db * NEPERS_PER_DB, EQUALISER_BANDS)
    places = np.linspace(0, EQUALISER_BANDS - 1, num_bins)
    return np.interp(places, np.arange(EQUALISER_BANDS), knots).astype(np.float32)


def add_noise(mel: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Add coloured noise whose magnitudes are Rayleigh distributed, as of Gaussian noise."""
    level = np.log(np.exp(mel).mean()) + rng.uniform(*NOISE_DB) * NEPERS_PER_DB
    colour = equaliser(mel.shape[1], 6.0, rng)
    grain = np.log(np.maximum(rng.rayleigh(0.8, mel.shape), 1e-3))
    return np.logaddexp(mel, (level + colour + grain).astype(np.float32))


def bandlimit(mel: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Silence everything below or above a random edge: a small speaker, or an old record."""
    limited = mel.copy()
    if rng.random() < 0.5:
        limited[:, : rng.integers(*LOW_CUT_BINS)] = LOG_FLOOR
    else:
        limited[:, rng.integers(*HIGH_CUT_BINS) :] = LOG_FLOOR
    return limited


def mask(mel: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Silence one short stretch of time and one band (SpecAugment, Park et al. 2019)."""
    masked = mel.copy()
    for axis, largest in ((0, MASK_FRAMES), (1, MASK_BINS)):
        width = int(rng.integers(0, largest + 1))
        start = int(rng.integers(0, max(1, mel.shape[axis] - width)))
        masked[(slice(start, start + width), slice(None))[:: 1 if axis == 0 else -1]] = LOG_FLOOR
    return masked


def augment(mel: FloatArray, config: BeatAugmentConfig, rng: np.random.Generator) -> FloatArray:
    """Everything that leaves the beats where they are, (N, M) -> (N, M)."""
    shift = config.transpose_bins
    mel = transpose(mel, int(rng.integers(-shift, shift + 1)))
    centre = mel.mean()
    mel = centre + (mel - centre) * rng.uniform(1 - config.contrast, 1 + config.contrast)
    mel = mel + equaliser(mel.shape[1], config.equaliser_db, rng)
    mel = mel + rng.uniform(-1, 1) * config.gain_db * NEPERS_PER_DB
    for change, probability in (
        (add_noise, config.noise_probability),
        (bandlimit, config.bandlimit_probability),
        (mask, config.mask_probability),
    ):
        if rng.random() < probability:
            mel = change(mel, rng)
    return np.maximum(mel, LOG_FLOOR).astype(np.float32)
