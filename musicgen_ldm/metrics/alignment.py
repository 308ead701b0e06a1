"""A second opinion on a suspected copy: align the two recordings, without any learned model.

Goal: learned embeddings miss copies and accuse the innocent (Bralios et al. 2023 found mel
similarity the more robust of the two). Here every stretch of one recording is compared with
every stretch of the other.

Conventions: features (N, F) at `FEATURE_RATE` frames a second, each feature centred over the
clip so that a shared timbre is not yet a match. A stretch lasts `STRETCH_S`; its similarity is
the cosine of the two stretches laid out flat, in [-1, 1]. 1 is a copy; what unrelated music of
the same style reaches must be measured on unrelated pairs and shown beside it.

Metrics:
    best_alignment    largest similarity of any two stretches, and where
    mel_alignment     on the log-mel spectrum: copies, excerpts, shifted and mixed copies
    chroma_alignment  on pitch classes over all twelve transpositions: transposed copies
"""

from dataclasses import dataclass

import librosa
import numpy as np
import torch

from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.errors import MetricError
from musicgen_ldm.mel import log_mel
from musicgen_ldm.metrics.checks import Array, matrix, same_width

FEATURE_RATE = 20  # frames a second; finer than any note onset that matters here
STRETCH_S = 3.0  # shortest copy looked for
MEL = MelConfig(floor=1e-3)  # 60 dB below full scale: inaudible floors must not match
CHROMA_FFT = 4096  # samples at the mel's rate: 4 Hz a bin, a semitone at 65 Hz


@dataclass(frozen=True)
class Alignment:
    """Where two recordings are most alike.

    Attributes:
        similarity: Cosine of the best pair of stretches.
        first_s: Where the stretch begins in the first recording, seconds.
        second_s: Where it begins in the second.
        semitones: How far the second was transposed to match, 0 to 11.
    """

    similarity: float
    first_s: float
    second_s: float
    semitones: int = 0


def validate(first: Array, second: Array) -> tuple[Array, Array]:
    """Both feature sequences, centred, at least a stretch long.

    Raises:
        MetricError: If a sequence is shorter than a stretch or the features differ.
    """
    frames = round(STRETCH_S * FEATURE_RATE)
    first = matrix("first", first, min_rows=frames)
    second = matrix("second", second, min_rows=frames)
    same_width("first", first, "second", second)
    return first - first.mean(axis=0), second - second.mean(axis=0)


def best_alignment(first: Array, second: Array) -> Alignment:
    """The two most similar stretches of feature sequences (N, F) and (N', F).

    A stretch without any change (silence, a drone) matches nothing.
    """
    a, b = validate(first, second)
    frames = round(STRETCH_S * FEATURE_RATE)
    products = a @ b.T
    rows, columns = len(a) - frames + 1, len(b) - frames + 1
    total = np.zeros((rows, columns))
    for k in range(frames):  # sums along diagonals: both stretches advance together
        total += products[k : k + rows, k : k + columns]
    energy_a = np.convolve((a * a).sum(axis=1), np.ones(frames), "valid")
    energy_b = np.convolve((b * b).sum(axis=1), np.ones(frames), "valid")
    scale = np.sqrt(np.outer(energy_a, energy_b))
    cosines = np.divide(total, scale, out=np.zeros_like(total), where=scale > 1e-9)
    i, j = np.unravel_index(int(cosines.argmax()), cosines.shape)
    return Alignment(float(cosines[i, j]), int(i) / FEATURE_RATE, int(j) / FEATURE_RATE)


def mel_features(waveform: Waveform) -> Array:
    """Log-mel at `FEATURE_RATE`, (N, M)."""
    samples = torch.from_numpy(waveform.resampled(MEL.sample_rate).mono)
    return _pooled(log_mel(samples[None], MEL)[0, 0].numpy())


def chroma_features(waveform: Waveform) -> Array:
    """Energy of the twelve pitch classes at `FEATURE_RATE`, (N, 12)."""
    samples = waveform.resampled(MEL.sample_rate).mono
    chroma = librosa.feature.chroma_stft(
        y=samples, sr=MEL.sample_rate, n_fft=CHROMA_FFT, hop_length=MEL.hop_length, tuning=0.0
    )
    return _pooled(chroma.T)


def _pooled(frames: Array) -> Array:
    step = round(MEL.frame_rate / FEATURE_RATE)
    whole = len(frames) // step * step
    pooled: Array = frames[:whole].reshape(-1, step, frames.shape[1]).mean(axis=1)
    return pooled


def mel_alignment(first: Waveform, second: Waveform) -> Alignment:
    """Best alignment of the log-mel spectra of two recordings of at least three seconds."""
    return best_alignment(mel_features(first), mel_features(second))


def chroma_alignment(first: Waveform, second: Waveform) -> Alignment:
    """Best alignment of the pitch classes over all transpositions of the second recording."""
    a, b = chroma_features(first), chroma_features(second)
    found = []
    for semitones in range(12):
        best = best_alignment(a, np.roll(b, semitones, axis=1))
        found.append(Alignment(best.similarity, best.first_s, best.second_s, semitones))
    return max(found, key=lambda alignment: alignment.similarity)


def evaluate(first: Waveform, second: Waveform) -> dict[str, Alignment]:
    """All metrics of this module: mel, chroma, in this order.

    Raises:
        MetricError: If a recording is shorter than a stretch.
    """
    if min(first.seconds, second.seconds) < STRETCH_S + 1 / FEATURE_RATE:
        raise MetricError(f"a second opinion needs recordings of at least {STRETCH_S:.0f} s")
    return {"mel": mel_alignment(first, second), "chroma": chroma_alignment(first, second)}
