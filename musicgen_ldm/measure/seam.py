"""How audible a seam is: spectral flux across it, against the clip's own attacks."""

from collections.abc import Sequence

import numpy as np
import torch

from musicgen_ldm.audio import FloatArray, Waveform, peak
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.errors import AudioError
from musicgen_ldm.mel import log_mel

# Short windows localise the seam. The floor is 75 dB below a normalised clip's loudest bands, so
# that differences between two inaudible noise floors do not count.
ANALYSIS = MelConfig(n_fft=256, hop_length=64, num_bins=30, floor=1e-3)
LAG = ANALYSIS.n_fft // ANALYSIS.hop_length  # frames: neighbouring windows just do not overlap
REACH = 1  # frames either side of a seam, for its rounding
ATTACK_QUANTILE = 0.95  # of the clip's flux: its own strong attacks
STEADY_FLUX = 0.02  # nepers; least reference, so that a drone divides by no zero


def seam_score(waveform: Waveform, seams_s: float | Sequence[float]) -> float:
    """Audibility of splices inside `waveform`.

    Flux is the mean absolute log-mel change between adjacent windows of 16 ms. The flux at a
    seam is divided by the 95th percentile of the flux elsewhere in the clip.

    Args:
        waveform: At least one second; must not be silent.
        seams_s: Where the splices are, in seconds.

    Returns:
        0 upwards, the worst of several seams. At 1 a seam is as abrupt as the clip's own
        strong attacks. On 80 clips of the built-in corpus: 0.4 (95 % below 0.9) at places
        without a seam, 1.1 (2.7) where one piece jumps into another, 2.1 (4.8) at a gap of
        50 ms. Clicks hide in dense music and reach 3 and more in calm music.

    Raises:
        AudioError: If the clip is shorter than a second, silent, or a seam lies outside.
    """
    seams = np.atleast_1d(np.asarray(seams_s, dtype=np.float64))
    if waveform.seconds < 1 or peak(waveform.mono) == 0:
        raise AudioError(
            f"seam score of {waveform.seconds:.2f} s with peak {peak(waveform.mono)}: needs at "
            "least 1 s that is not silent"
        )
    if seams.size == 0 or (seams <= 0).any() or (seams >= waveform.seconds).any():
        raise AudioError(
            f"seams at {seams.tolist()} s: each must lie inside 0 to {waveform.seconds:.2f} s"
        )
    local = local_flux(waveform)
    frames = np.clip(np.rint(seams * ANALYSIS.frame_rate).astype(int), 0, len(local) - 1)
    elsewhere = np.ones(len(local), dtype=bool)
    for frame in frames:
        elsewhere[max(0, frame - 2 * LAG) : frame + 2 * LAG + 1] = False
    reference = np.quantile(local[elsewhere], ATTACK_QUANTILE) if elsewhere.any() else 0.0
    return float(local[frames].max() / max(float(reference), STEADY_FLUX))


def loop_seam_score(waveform: Waveform) -> float:
    """`seam_score` of the jump from the end of `waveform` back to its start."""
    half = waveform.samples.shape[1] // 2
    turned = Waveform(np.roll(waveform.samples, half, axis=1), waveform.sample_rate)
    return seam_score(turned, half / waveform.sample_rate)


def local_flux(waveform: Waveform) -> FloatArray:
    """Largest flux within `REACH` frames of each frame, (N,)."""
    mono = waveform.resampled(ANALYSIS.sample_rate).mono
    mel = log_mel(torch.from_numpy(mono / peak(mono))[None], ANALYSIS)[0, 0].numpy()
    before, after = mel[:-LAG], mel[LAG:]
    change = np.abs(after - before).mean(axis=1)  # change[i] lies between frames i and i + LAG
    flux = np.pad(change, (LAG // 2, LAG - LAG // 2))
    padded = np.pad(flux, REACH)
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * REACH + 1).max(axis=1)
