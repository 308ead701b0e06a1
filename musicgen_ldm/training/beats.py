"""The `beats` stage: our own beat tracker learns from clips whose beats are known.

Letters: B clips, N frames at 50 per second, M mel bins.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import librosa
import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from musicgen_ldm.audio import FloatArray, Waveform, fit_length, peak
from musicgen_ldm.beats.network import BeatNetwork, beat_features
from musicgen_ldm.beats.tcn_tracker import TcnTracker, save_network
from musicgen_ldm.config.beats_training import BEAT_MEL, BeatsStageConfig
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.loading import Example, ExampleSource
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.training.beat_augment import LOG_FLOOR, augment, stretch
from musicgen_ldm.training.task import (
    Batch,
    Metrics,
    Optimization,
    StepContext,
    build_optimizer,
    mean_metrics,
    unwrapped,
)

WIDENING = (1.0, 0.5, 0.25)  # target at 0, 1 and 2 frames from a beat: annotation tolerance
CLICK_HZ, DOWNBEAT_CLICK_HZ = 1_000.0, 1_500.0
SAMPLES = 2  # validation clips rendered with clicks on the found beats


def frame_targets(times_s: npt.ArrayLike, num_frames: int) -> FloatArray:
    """Soft target (N,): 1 at the frame of each time, less at its neighbours."""
    target = np.zeros(num_frames, dtype=np.float32)
    centres = np.rint(np.asarray(times_s, dtype=np.float64) * BEAT_MEL.frame_rate).astype(int)
    for distance, value in enumerate(WIDENING):
        for frames in {distance, -distance}:
            hit = centres + frames
            hit = hit[(hit >= 0) & (hit < num_frames)]
            target[hit] = np.maximum(target[hit], value)
    return target


class BeatDataset:
    """Log-mel crops with beat and downbeat targets; features of each clip are kept in memory.

    Args:
        clips: Source of whole waveforms with known beats.
        config: Crop length and augmentation.
        training: Crop at random and augment; otherwise the whole clip's first frames.
    """

    def __init__(self, clips: ClipDataset, config: BeatsStageConfig, *, training: bool) -> None:
        self.clips = clips
        self.config = config
        self.training = training
        self.features: dict[int, FloatArray] = {}  # half precision: 64 kB a clip

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.clips)

    def __getitem__(self, ref: ClipRef) -> Example:
        """`{"id", "mel": (N, M), "target": (N, 2)}`.

        Raises:
            AudioError: If the clip cannot be read or is silent.
        """
        clip = self.clips.clips[ref.index]
        rng = np.random.default_rng((self.config.seed, ref.epoch, ref.index))
        mel, factor = self.whole(ref.index), 1.0
        if self.training:
            reach = np.log1p(self.config.augment.stretch)
            longest = len(mel) / self.config.num_frames  # a faster clip must still fill the crop
            factor = min(float(np.exp(rng.uniform(-reach, reach))), max(longest, 1.0))
            mel = stretch(mel, factor)
        target = np.stack(
            [
                frame_targets(np.asarray(times) / factor, len(mel))
                for times in (clip.beats_s, clip.downbeats_s)
            ]
        )
        num_frames = self.config.num_frames
        start = int(rng.integers(0, max(1, len(mel) - num_frames))) if self.training else 0
        mel = mel[start : start + num_frames]
        mel = np.pad(mel, [(0, num_frames - len(mel)), (0, 0)], constant_values=LOG_FLOOR)
        if self.training:
            mel = augment(mel, self.config.augment, rng)
        return {"id": clip.id, "mel": mel, "target": fit_length(target[:, start:], num_frames).T}

    def whole(self, index: int) -> FloatArray:
        """Features (N, M) of a whole clip, float32."""
        if index not in self.features:
            samples = self.clips.whole(self.clips.clips[index])
            mel = beat_features(Waveform(samples, self.clips.sample_rate))
            self.features[index] = mel.half().numpy()
        return self.features[index].astype(np.float32)


class BeatsTask:
    """Binary cross-entropy of beats and downbeats, frame by frame."""

    name = "beats"

    def __init__(self, config: BeatsStageConfig) -> None:
        self.config = config
        self.models: dict[str, nn.Module] = {"network": BeatNetwork(config.network)}
        self.frozen: dict[str, nn.Module] = {}
        self.averaged = ("network",)

    def optimizers(self) -> dict[str, Optimization]:
        """One optimizer."""
        return {"network": build_optimizer(self.models["network"].parameters(), self.config.optim)}

    def dataset(self, split: str) -> ExampleSource:
        """Clips of a split, with features kept in memory."""
        return BeatDataset(self._clips(split), self.config, training=split == "train")

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Stack to `mel` (B, N, M) and `target` (B, N, 2)."""
        stacked = {
            name: torch.from_numpy(np.stack([example[name] for example in examples]))
            for name in ("mel", "target")
        }
        return {"id": [example["id"] for example in examples], **stacked}

    def step(self, batch: Batch, context: StepContext) -> Metrics:
        """Learn from one micro-batch."""
        losses = self._losses(batch)
        context.optimize("network", losses["loss"])
        return {name: loss.detach() for name, loss in losses.items()}

    def validate(self, batches: Iterable[Batch], generator: Generator) -> Metrics:
        """Mean losses over the validation clips, without augmentation."""
        return mean_metrics(self._losses(batch) for batch in batches)

    def samples(self, generator: Generator) -> dict[str, Waveform]:
        """Validation clips with a click on every found beat, higher on downbeats."""
        network = cast(BeatNetwork, unwrapped(self.models["network"]))
        tracker, clips = TcnTracker(network), self._clips("valid")
        chosen = range(min(SAMPLES, len(clips)))
        return {
            clips.clips[i].id: with_clicks(tracker, clips.whole(clips.clips[i])) for i in chosen
        }

    def export(self, folder: Path) -> None:
        """Write `tcn.safetensors`, the file that `TcnTracker` loads."""
        network = cast(BeatNetwork, unwrapped(self.models["network"]))
        save_network(network, self.config.network, folder / "tcn.safetensors")

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        logits = self.models["network"](batch["mel"]).float()  # out of autocast
        beat, downbeat = (
            F.binary_cross_entropy_with_logits(logits[..., i], batch["target"][..., i])
            for i in (0, 1)
        )
        return {"loss": beat + downbeat, "beat": beat, "downbeat": downbeat}

    def _clips(self, split: str) -> ClipDataset:
        return ClipDataset.for_mel(self.config.data, split, BEAT_MEL, self.config.seed)


def with_clicks(tracker: TcnTracker, samples: FloatArray) -> Waveform:
    """`samples` (T,) with a click on each beat that `tracker` finds."""
    rate = BEAT_MEL.sample_rate
    beats = tracker(Waveform(samples, rate))
    mixed = samples.copy()
    for times, frequency in (
        (beats.beats_s, CLICK_HZ),
        (beats.downbeats_s, DOWNBEAT_CLICK_HZ),
    ):
        if times:
            clicks = librosa.clicks(
                times=np.asarray(times), sr=rate, click_freq=frequency, length=len(samples)
            )
            mixed = mixed + 0.3 * clicks.astype(np.float32)
    return Waveform(mixed / max(1.0, peak(mixed)), rate)
