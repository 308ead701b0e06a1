"""From activations to a metrical grid: the bar-pointer hidden Markov model.

The state space of Krebs, Böck & Widmer (2015) and its Viterbi decoder come from `madmom-infer`
(BSD-2-Clause), which ships no weights.
"""

from functools import lru_cache

import numpy as np
from madmom_infer.features.downbeats import DBNDownBeatTrackingProcessor

from musicgen_ldm.audio import FloatArray
from musicgen_ldm.beats.tracker import NO_BEATS, Beats

BEATS_PER_BAR = (2, 3, 4)  # 6/8 is two felt beats
MIN_BPM, MAX_BPM = 50.0, 215.0
THRESHOLD = 0.05  # frames before the first and after the last activation above it have no beat
LEAST = 1e-6  # keeps a logarithm finite


@lru_cache(maxsize=4)
def _model(frame_rate: float) -> DBNDownBeatTrackingProcessor:
    return DBNDownBeatTrackingProcessor(
        BEATS_PER_BAR, MIN_BPM, MAX_BPM, threshold=THRESHOLD, fps=frame_rate
    )


def decode(activations: FloatArray, frame_rate: float) -> Beats:
    """Most probable beats and downbeats.

    Args:
        activations: Probabilities of beat and of downbeat, (N, 2); a downbeat is a beat too.
        frame_rate: Frames per second.

    Returns:
        Beats with sub-frame times. The confidence is the mean beat activation at the beats.
    """
    beat, downbeat = activations[:, 0], activations[:, 1]
    plain = np.maximum(beat - downbeat, LEAST)
    grid = _model(frame_rate)(np.stack([plain, np.maximum(downbeat, LEAST)], axis=1))
    if len(grid) < 2:
        return NO_BEATS
    frames = np.rint(grid[:, 0] * frame_rate).astype(int)
    frames = nearest_peak(beat, frames)
    times = (frames + peak_offset(beat, frames)) / frame_rate
    return Beats(
        tuple(np.maximum(times, 0).tolist()),
        tuple(np.maximum(times[grid[:, 1] == 1], 0).tolist()),
        float(beat[frames].mean()),
    )


def nearest_peak(activation: FloatArray, frames: np.ndarray, reach: int = 2) -> np.ndarray:
    """Frame of the largest activation within `reach` of each of `frames`.

    The model's own beats are quantised by its tempo states; the activation knows better. A beat
    that the model bridged has no peak, and stays.
    """
    padded = np.pad(activation, reach)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)[frames]
    best = windows.argmax(axis=1)
    return np.where(windows.max(axis=1) > activation[frames], frames + best - reach, frames)


def peak_offset(activation: FloatArray, frames: np.ndarray) -> np.ndarray:
    """Where between its neighbours each peak lies, in frames within +-0.5 (parabola)."""
    padded = np.pad(activation, 1, mode="edge").astype(np.float64)
    left, centre, right = padded[frames], padded[frames + 1], padded[frames + 2]
    curvature = left - 2 * centre + right
    offset = np.zeros(len(frames))
    peaked = (curvature < 0) & (centre >= left) & (centre >= right)
    offset[peaked] = 0.5 * (left - right)[peaked] / curvature[peaked]
    return offset
