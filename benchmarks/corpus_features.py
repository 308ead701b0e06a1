"""Plain audio statistics of corpus clips, for the probe and the diversity measure.

Nothing learned: means and spreads of the project's log-mel, its modulations, cepstra and onsets,
the autocorrelation of its spectral flux, a finer spectrum, and a chroma profile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import torch
from scipy.fft import dct
from tqdm import tqdm

from musicgen_ldm.audio import read_audio
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.corpus.theory import tonic_pitch_class
from musicgen_ldm.data.manifest import Clip, read_manifest
from musicgen_ldm.mel import log_mel

Features = npt.NDArray[np.float32]

TEMPI_BPM = np.geomspace(40, 260, 48)
CHROMA_FFT = 8192
BANDS = 16  # of the mel, for modulations
MODULATIONS_HZ = np.geomspace(0.4, 45, 13)
CEPSTRA = 20
FINE_FFT = 4096
FINE_HZ = np.geomspace(60, 8000, 73)
ONSETS = 1 / 12  # of the frames, the strongest
QUIET = 1e-6  # added before a logarithm


@dataclass(frozen=True)
class Described:
    """Statistics of clips.

    Attributes:
        broad: Mel and rhythm statistics, (clips, F).
        details: What tells instruments and moods apart: modulations, cepstra, onsets, fine
            spectrum, (clips, G).
        chroma: Means of pitch classes from C on, (clips, 12).
    """

    broad: Features
    details: Features
    chroma: Features


def read_clips(manifest: Path, limit: int | None = None) -> list[Clip]:
    """Single pieces (no sequences of two) of a manifest, evenly thinned to `limit`."""
    return thinned(
        [clip for clip in read_manifest(manifest) if "sequence" not in clip.extra], limit
    )


def thinned(clips: list[Clip], limit: int | None) -> list[Clip]:
    """At most `limit` of `clips`, evenly spread; None keeps all."""
    if limit is None or len(clips) <= limit:
        return clips
    return [clips[i] for i in np.linspace(0, len(clips) - 1, limit).astype(int)]


def describe(clips: Sequence[Clip], folders: Sequence[Path]) -> Described:
    """Statistics of all clips; the path of each is relative to its entry of `folders`."""
    paths = [folder / clip.path for clip, folder in zip(clips, folders, strict=True)]
    rows = [_clip_features(path) for path in tqdm(paths, unit="clip")]
    return Described(*(np.stack(column).astype(np.float32) for column in zip(*rows, strict=True)))


def from_tonic(chroma: Features, clips: Sequence[Clip]) -> Features:
    """Chroma turned so that each clip's own tonic comes first."""
    turned = [
        np.roll(row, -tonic_pitch_class(clip.tags.key or "C"))
        for row, clip in zip(chroma, clips, strict=True)
    ]
    return np.stack(turned)


def _clip_features(path: Path) -> tuple[Features, Features, Features]:
    config = MelConfig()
    audio = read_audio(path, sample_rate=config.sample_rate).mono
    mel = log_mel(torch.from_numpy(audio)[None], config)[0, 0].numpy()  # (N, M)
    flux = np.maximum(np.diff(mel, axis=0), 0)
    broad = [
        mel.mean(axis=0),
        mel.std(axis=0),
        np.percentile(mel, 10, axis=0),
        np.percentile(mel, 90, axis=0),
        flux.mean(axis=0),
        flux.std(axis=0),
        _pulse(flux[:, :20].mean(axis=1), config.frame_rate),
        _pulse(flux[:, 20:].mean(axis=1), config.frame_rate),
    ]
    details = [
        _modulations(mel, config.frame_rate),
        _cepstra(mel),
        np.percentile(mel, [2, 25, 50, 75, 98], axis=0).ravel(),
        _onsets(mel, flux.mean(axis=1)),
        _fine_spectrum(audio, config.sample_rate),
        *(_pulse(band.mean(axis=1), config.frame_rate) for band in np.split(flux, 4, axis=1)),
    ]
    power = np.abs(librosa.stft(audio, n_fft=CHROMA_FFT, hop_length=CHROMA_FFT // 4)) ** 2
    chroma = librosa.util.normalize(_chroma_filters(config.sample_rate) @ power, axis=0)
    return np.concatenate(broad), np.concatenate(details), chroma.mean(axis=1)


def _modulations(mel: Features, frame_rate: float) -> Features:
    """Log power of each band's level at the rates between `MODULATIONS_HZ`."""
    bands = mel.reshape(len(mel), BANDS, -1).mean(axis=2)
    window = np.hanning(len(bands))[:, None]
    power = np.abs(np.fft.rfft((bands - bands.mean(axis=0)) * window, axis=0)) ** 2
    rate = np.digitize(np.fft.rfftfreq(len(bands), 1 / frame_rate), MODULATIONS_HZ)
    means = [power[rate == i].mean(axis=0) for i in range(1, len(MODULATIONS_HZ))]
    return np.log(np.stack(means) + QUIET).ravel()


def _cepstra(mel: Features) -> Features:
    """Means, spreads, movement and correlations of mel cepstra."""
    cepstra = dct(mel, norm="ortho", axis=1)[:, :CEPSTRA]
    movement = cepstra[4:] - cepstra[:-4]
    # A steady coefficient has no correlation with any other.
    with np.errstate(divide="ignore", invalid="ignore"):
        together = np.nan_to_num(np.corrcoef(cepstra.T)[np.triu_indices(CEPSTRA, 1)])
    moments = [cepstra.mean(axis=0), cepstra.std(axis=0), movement.std(axis=0)]
    return np.concatenate([*moments, together])


def _onsets(mel: Features, strength: Features) -> Features:
    """How the spectrum rises at the strongest onsets, and what of it is left 80 ms later."""
    strongest = np.argsort(-strength)[: int(len(strength) * ONSETS)]
    inside = strongest[(strongest > 5) & (strongest < len(mel) - 12)]
    before, after, later = (mel[inside + shift].mean(axis=0) for shift in (-3, 2, 10))
    return np.concatenate([after - before, later - after])


def _fine_spectrum(audio: Features, sample_rate: int) -> Features:
    """Mean peak of narrow bands, and how far it stands above the band's mean."""
    spectrum = np.abs(librosa.stft(audio, n_fft=FINE_FFT, hop_length=FINE_FFT // 2))
    level = np.log(spectrum + QUIET)
    band = np.digitize(librosa.fft_frequencies(sr=sample_rate, n_fft=FINE_FFT), FINE_HZ)
    inside = [level[band == i] for i in range(1, len(FINE_HZ))]
    peaks = np.array([rows.max(axis=0).mean() for rows in inside if len(rows)])
    means = np.array([rows.mean() for rows in inside if len(rows)])
    return np.concatenate([peaks, peaks - means])


@cache
def _chroma_filters(sample_rate: int) -> Features:
    """(12, bins); `librosa.feature.chroma_stft` would make them anew for every clip."""
    return librosa.filters.chroma(sr=sample_rate, n_fft=CHROMA_FFT, tuning=0.0)


def _pulse(envelope: Features, frame_rate: float) -> Features:
    """Autocorrelation of an onset envelope at the beat periods of `TEMPI_BPM`."""
    centred = envelope - envelope.mean()
    spectrum = np.abs(np.fft.rfft(centred, 2 * len(centred))) ** 2
    correlation = np.fft.irfft(spectrum)[: len(centred)]
    correlation /= max(1e-9, correlation[0])
    lags = 60 / TEMPI_BPM * frame_rate
    return np.interp(lags, np.arange(len(correlation)), correlation)
