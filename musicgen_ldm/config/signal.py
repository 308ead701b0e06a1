"""The signal numbers, defined once. Everything that follows from them is a property."""

from dataclasses import dataclass

from musicgen_ldm.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class MelConfig:
    """The log-mel definition that the VAE, the vocoder and every cached feature share.

    Natural logarithm of the Slaney-normalised mel *magnitude* spectrum, periodic Hann window,
    centred frames with reflect padding (Chen et al. 2023, released configuration).
    """

    sample_rate: int = 16_000  # Hz
    num_bins: int = 64  # M; the paper's text says 128, the released weights use 64
    hop_length: int = 160  # samples from frame to frame
    n_fft: int = 1024  # samples in a window
    fmin: float = 0.0  # Hz
    fmax: float = 8_000.0  # Hz
    floor: float = 1e-5  # magnitudes are clamped here before the logarithm

    def __post_init__(self) -> None:
        """Check the relations between the numbers."""
        if not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise ConfigError(
                f"mel.fmin={self.fmin}, mel.fmax={self.fmax}: must satisfy "
                f"0 <= fmin < fmax <= sample_rate / 2 = {self.sample_rate / 2}"
            )

    @property
    def frame_rate(self) -> float:
        """Mel frames per second."""
        return self.sample_rate / self.hop_length

    def num_frames(self, seconds: float) -> int:
        """Mel frames N that cover `seconds`, rounded to the nearest frame."""
        return round(seconds * self.frame_rate)

    def num_samples(self, num_frames: int) -> int:
        """Waveform samples T of `num_frames` mel frames."""
        return num_frames * self.hop_length


CLIP_SECONDS = 10.24  # training window of every preset: 1024 frames of 10 ms
