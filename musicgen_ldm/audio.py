"""Waveforms: one value type, and the functions that read, resample and measure them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from musicgen_ldm.archives import read_member
from musicgen_ldm.errors import AudioError

FloatArray = npt.NDArray[np.float32]

SILENCE_DBFS = -60.0  # RMS below this counts as silence, everywhere in the project


@dataclass(frozen=True)
class Waveform:
    """Samples and their rate.

    Attributes:
        samples: (channels, T) float32, nominally in [-1, 1]; always finite.
        sample_rate: Hz.
    """

    samples: FloatArray
    sample_rate: int

    def __post_init__(self) -> None:
        """Normalise shape and type, refuse non-finite samples."""
        samples = np.atleast_2d(np.asarray(self.samples, dtype=np.float32))
        if samples.ndim != 2:
            raise AudioError(f"a waveform has shape (channels, T), got {samples.shape}")
        if self.sample_rate <= 0:
            raise AudioError(f"a sample rate is a positive number of Hz, got {self.sample_rate}")
        if not np.isfinite(samples).all():
            raise AudioError("the waveform holds NaN or infinite samples")
        object.__setattr__(self, "samples", samples)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples.shape[1] / self.sample_rate

    @property
    def mono(self) -> FloatArray:
        """Mean over the channels, (T,)."""
        return self.samples.mean(axis=0)

    def resampled(self, sample_rate: int) -> "Waveform":
        """This waveform at another rate (soxr, high quality)."""
        if sample_rate == self.sample_rate:
            return self
        resampled = soxr.resample(self.samples.T, self.sample_rate, sample_rate).T
        return Waveform(np.ascontiguousarray(resampled), sample_rate)


def codec_reason(error: Exception) -> str:
    """What was wrong, without libsndfile's prefix, which may hold the whole buffer's name."""
    return str(getattr(error, "error_string", error))


def read_audio(
    path: str | Path,
    *,
    sample_rate: int | None = None,
    start_s: float = 0.0,
    duration_s: float | None = None,
) -> Waveform:
    """Read any format that libsndfile reads, as float32.

    Args:
        path: Audio file, or `ARCHIVE.tar/MEMBER` of an uncompressed archive.
        sample_rate: Resample to this rate in Hz; None keeps the file's own.
        start_s: Where to begin, in seconds.
        duration_s: How much to read, in seconds; None reads to the end.

    Raises:
        AudioError: If the file is missing, not audio, empty or non-finite.
    """
    path = Path(path)
    source = path if path.is_file() else read_member(path)
    if source is None:
        raise AudioError(f"{path}: no such audio file; give the path of a WAV, FLAC, OGG or MP3")
    try:
        with soundfile.SoundFile(source) as file:
            rate = file.samplerate
            start = min(round(start_s * rate), file.frames)
            file.seek(start)
            frames = -1 if duration_s is None else round(duration_s * rate)
            samples = file.read(frames, dtype="float32", always_2d=True).T
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(
            f"{path}: cannot be read as audio ({codec_reason(error)}); "
            "convert it to WAV, FLAC, OGG or MP3 and try again"
        ) from error
    except MemoryError as error:
        # A damaged header may claim any length.
        raise AudioError(
            f"{path}: is longer than the memory can hold, or damaged; cut it or export it again"
        ) from error
    if samples.shape[1] == 0:
        raise AudioError(f"{path}: holds no samples from {start_s} s on; give a longer recording")
    try:
        waveform = Waveform(np.ascontiguousarray(samples), rate)
    except AudioError as error:
        raise AudioError(f"{path}: {error}; export the file again") from error
    return waveform if sample_rate is None else waveform.resampled(sample_rate)


def rms_dbfs(samples: FloatArray) -> float:
    """Root-mean-square level of `samples` (any shape) in dB relative to full scale.

    Digital silence returns -inf.
    """
    power = float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0
    return 10 * float(np.log10(power)) if power > 0 else -np.inf


def peak(samples: FloatArray) -> float:
    """Largest absolute sample, 0 for an empty array."""
    return float(np.abs(samples).max()) if samples.size else 0.0


def within_full_scale(waveform: Waveform) -> tuple[Waveform, float]:
    """The sound with a peak of at most 1, and the factor by which it was scaled down."""
    gain = 1.0 / max(peak(waveform.samples), 1.0)
    if gain == 1:
        return waveform, gain
    return Waveform(waveform.samples * gain, waveform.sample_rate), gain


def fit_length(samples: FloatArray, num_samples: int) -> FloatArray:
    """Cut or zero-pad (..., T) on the right to (..., num_samples)."""
    samples = samples[..., :num_samples]
    missing = num_samples - samples.shape[-1]
    if missing == 0:
        return samples
    return np.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(0, missing)])
