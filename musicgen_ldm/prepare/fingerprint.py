"""Recognising the same recording in another file: format, level and rate may differ.

Fingerprint of Haitsma & Kalker (2002): signs of the energy differences along time and
frequency, 32 bits a frame. Two files of one recording differ in few bits, two recordings in
half of them.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from musicgen_ldm.audio import FloatArray
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.mel import log_mel

SPECTRUM = MelConfig(n_fft=4096, hop_length=1600, num_bins=33, fmin=300.0, fmax=4_000.0)
MAX_SECONDS = 120.0  # of a track that are fingerprinted
MIN_FRAMES = 30  # three seconds: less is too little to tell recordings apart


@dataclass(frozen=True)
class Fingerprint:
    """What identifies a recording.

    Attributes:
        bits: (N,) uint32 at ten frames per second, from the start of the track.
        timbre: Mean log-mel spectrum without its level, (33,); close for equal recordings.
    """

    bits: npt.NDArray[np.uint32]
    timbre: FloatArray


def fingerprint(samples: FloatArray) -> Fingerprint | None:
    """Fingerprint of mono `samples` (T,) at 16 kHz; None if there is too little sound."""
    samples = samples[: round(MAX_SECONDS * SPECTRUM.sample_rate)]
    sounding = np.flatnonzero(np.abs(samples) > 1e-3 * max(np.abs(samples).max(initial=0), 1e-9))
    if sounding.size < MIN_FRAMES * SPECTRUM.hop_length:
        return None
    samples = samples[sounding[0] : sounding[-1] + 1]  # encoders add silence at either end
    mel = log_mel(torch.from_numpy(samples)[None], SPECTRUM)[0, 0].numpy()
    difference = np.diff(np.diff(mel, axis=1), axis=0) > 0  # (N - 1, 32)
    weights = (1 << np.arange(difference.shape[1], dtype=np.uint64)).astype(np.uint32)
    timbre = mel.mean(axis=0)
    return Fingerprint((difference * weights).sum(axis=1, dtype=np.uint32), timbre - timbre.mean())


def bit_error_rate(a: Fingerprint, b: Fingerprint, reach: int = 5) -> float:
    """Share of differing bits at the best of the offsets within `reach` frames, 0 to about 0.5.

    Only the time that both cover is compared.
    """
    rates = []
    for offset in range(-reach, reach + 1):
        left, right = a.bits[max(offset, 0) :], b.bits[max(-offset, 0) :]
        frames = min(len(left), len(right))
        if frames >= MIN_FRAMES - reach:
            differing = np.unpackbits((left[:frames] ^ right[:frames]).view(np.uint8)).sum()
            rates.append(float(differing) / (32 * frames))
    return min(rates, default=1.0)
