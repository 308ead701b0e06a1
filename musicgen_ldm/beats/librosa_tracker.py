"""The fallback tracker: librosa's dynamic programming (Ellis 2007), downbeats by accent."""

from importlib.metadata import version

import librosa
import numpy as np

from musicgen_ldm.audio import FloatArray, Waveform
from musicgen_ldm.beats.tracker import NO_BEATS, Beats, has_sound

SAMPLE_RATE = 22_050  # Hz; librosa's onset and tempo defaults are tuned for it
HOP_LENGTH = 256  # samples; 86 frames per second
BASS_BANDS = 12  # mel bands below about 200 Hz of 128 up to 11 kHz
METERS = (4, 3)  # beats in a bar, the more frequent first
WALTZ_MARGIN = 0.1  # of explained variance


class LibrosaTracker:
    """Beats by `librosa.beat.beat_track`, downbeats by the bar phase with the strongest accents.

    `confidence` is the share by which the onset strength at the beats exceeds the mean onset
    strength of the clip: 0 when beats lie no better than chance, towards 1 for clicks.
    """

    name = "librosa"
    identity = f"librosa-{version('librosa')}"

    def __call__(self, waveform: Waveform) -> Beats:
        """The beats of `waveform`; `NO_BEATS` for silence and for pulseless sound."""
        if not has_sound(waveform):
            return NO_BEATS
        samples = waveform.resampled(SAMPLE_RATE).mono
        mel = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE, hop_length=HOP_LENGTH)
        decibels = librosa.power_to_db(mel, ref=np.max)
        onsets = librosa.onset.onset_strength(S=decibels, sr=SAMPLE_RATE, hop_length=HOP_LENGTH)
        if not onsets.any():
            return NO_BEATS
        _, frames = librosa.beat.beat_track(
            onset_envelope=onsets, sr=SAMPLE_RATE, hop_length=HOP_LENGTH, trim=False
        )
        if len(frames) < 2:
            return NO_BEATS
        times = librosa.frames_to_time(frames, sr=SAMPLE_RATE, hop_length=HOP_LENGTH)
        bass = librosa.onset.onset_strength(
            S=decibels[:BASS_BANDS], sr=SAMPLE_RATE, hop_length=HOP_LENGTH
        )
        meter, phase = bar_phase(accents(onsets, frames) + accents(bass, frames))
        return Beats(
            tuple(times.tolist()), tuple(times[phase::meter].tolist()), contrast(onsets, frames)
        )


def accents(strength: FloatArray, frames: np.ndarray, reach: int = 3) -> FloatArray:
    """Largest `strength` within `reach` frames of each beat, scaled to mean 1, (n_beats,)."""
    padded = np.pad(strength, reach)
    peaks = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=-1)[frames]
    return peaks / max(float(peaks.mean()), np.finfo(np.float32).tiny)


def bar_phase(accent: FloatArray) -> tuple[int, int]:
    """Bar length in beats and index of the first downbeat.

    A metre is the better, the more of the accents' variance its positions explain (adjusted
    for their number, since more positions explain more of any noise). Three must beat four
    clearly, because four is far more frequent. The downbeat is the strongest position.

    Args:
        accent: Accent of each beat, (n_beats,).
    """
    explained = {meter: variance_explained(accent, meter) for meter in METERS}
    four, three = METERS
    meter = three if explained[three] > explained[four] + WALTZ_MARGIN else four
    positions = [accent[phase::meter].mean() for phase in range(min(meter, len(accent)))]
    return meter, int(np.argmax(positions))


def variance_explained(accent: FloatArray, meter: int) -> float:
    """Adjusted share of the variance of `accent` due to the position in a bar, at most 1."""
    spare = len(accent) - meter
    total = float(np.square(accent - accent.mean()).sum())
    if spare < meter or total == 0:  # less than two bars, or no accents at all
        return 0.0
    position = np.arange(len(accent)) % meter
    means = np.bincount(position, accent) / np.bincount(position)
    residual = float(np.square(accent - means[position]).sum())
    return 1 - (residual / spare) / (total / (len(accent) - 1))


def contrast(onsets: FloatArray, frames: np.ndarray) -> float:
    """How far the onset strength at the beats exceeds the clip's mean, 0 to 1."""
    padded = np.pad(onsets, 1)
    at_beats = np.max([padded[frames + offset] for offset in (0, 1, 2)], axis=0).mean()
    return float(np.clip(1 - onsets.mean() / max(float(at_beats), 1e-9), 0, 1))
