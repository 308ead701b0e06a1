"""Clips of a manifest as training examples: fixed-length mono waveforms."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_ldm.audio import FloatArray, fit_length, peak, read_audio
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.config.training import DataConfig
from musicgen_ldm.data.manifest import Clip, read_manifest
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.errors import AudioError, ManifestError

SILENT_PEAK = 1e-4  # -80 dBFS: scaling such a clip up would train on its noise floor


def select_clips(data: DataConfig, split: str) -> list[Clip]:
    """The clips of one split whose licence is allowed, in manifest order.

    Raises:
        ManifestError: If the manifest is unreadable or nothing is left of it.
    """
    clips = [clip for clip in read_manifest(data.manifest) if clip.split == split]
    if not clips:
        raise ManifestError(
            f"{data.manifest}: no clip has split {split!r}; prepare or build a manifest that has "
            "some" + (", or set run.valid_clips=0" if split == "valid" else "")
        )
    allowed = [clip for clip in clips if not data.licences or clip.licence in data.licences]
    if not allowed:
        present = Counter(clip.licence for clip in clips)
        raise ManifestError(
            f"{data.manifest}: no clip of split {split!r} has a licence of "
            f"data.licences={list(data.licences)}; present: "
            + ", ".join(f"{name} ({count})" for name, count in present.most_common())
        )
    return allowed


def normalise_peak(samples: FloatArray, target: float) -> FloatArray:
    """Remove the mean and scale to a peak.

    Args:
        samples: (T,) in [-1, 1].
        target: Largest absolute sample of the result.

    Raises:
        AudioError: If the clip is silent, where scaling has no meaning.
    """
    centred = samples - samples.mean()
    loudest = peak(centred)
    if loudest < SILENT_PEAK:
        raise AudioError("the clip is silent; remove it from the manifest")
    return centred * (target / loudest)


def random_crop(samples: FloatArray, num_samples: int, rng: np.random.Generator) -> FloatArray:
    """A window (num_samples,) of (T,) at a uniformly drawn place; zero-padded if T is shorter."""
    start = int(rng.integers(0, max(0, len(samples) - num_samples) + 1))
    return fit_length(samples[start:], num_samples)


class ClipDataset:
    """Normalised random crops, the same for the same (seed, epoch, index) everywhere.

    A clip is peak-normalised as a whole and *then* cropped (Chen et al. 2023), so that a quiet
    passage stays quiet.

    Args:
        clips: What to read.
        root: Folder that relative clip paths start from.
        sample_rate: Of the examples, Hz.
        num_samples: T.
        peak: Largest absolute sample of each whole clip.
        seed: Of the crops.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        root: Path,
        *,
        sample_rate: int,
        num_samples: int,
        peak: float,
        seed: int,
    ) -> None:
        self.clips = clips
        self.root = root
        self.sample_rate = sample_rate
        self.num_samples = num_samples
        self.peak = peak
        self.seed = seed

    @classmethod
    def from_config(
        cls, data: DataConfig, split: str, *, sample_rate: int, num_samples: int, seed: int
    ) -> "ClipDataset":
        """The allowed clips of one split.

        Raises:
            ManifestError: If there are none.
        """
        return cls(
            select_clips(data, split),
            Path(data.manifest).parent,
            sample_rate=sample_rate,
            num_samples=num_samples,
            peak=data.peak,
            seed=seed,
        )

    @classmethod
    def for_mel(cls, data: DataConfig, split: str, mel: MelConfig, seed: int) -> "ClipDataset":
        """The allowed clips of one split, cropped to the whole mel frames of `data.seconds`.

        Raises:
            ManifestError: If there are none.
        """
        num_samples = mel.num_samples(mel.num_frames(data.seconds))
        return cls.from_config(
            data, split, sample_rate=mel.sample_rate, num_samples=num_samples, seed=seed
        )

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.clips)

    def __getitem__(self, ref: ClipRef) -> dict[str, Any]:
        """`{"id": str, "waveform": (T,)}`.

        Raises:
            AudioError: If the file is missing, corrupt or silent.
        """
        clip = self.clips[ref.index]
        rng = np.random.default_rng((self.seed, ref.epoch, ref.index))
        return {"id": clip.id, "waveform": random_crop(self.whole(clip), self.num_samples, rng)}

    def whole(self, clip: Clip) -> FloatArray:
        """One clip, mono, at the dataset's rate and peak, (T',).

        Raises:
            AudioError: If the file is missing, corrupt or silent.
        """
        waveform = read_audio(
            self.root / clip.path,
            sample_rate=self.sample_rate,
            start_s=clip.start_s,
            duration_s=clip.duration_s,
        )
        try:
            return normalise_peak(waveform.mono, self.peak)
        except AudioError as error:
            raise AudioError(f"{self.root / clip.path}: {error}") from error
