"""The `tagger` stage: the judge learns instruments, genre and tempo from known clips.

Letters: B clips, I instruments, G genres, K tempo bins. An unknown genre or tempo is a row of
zeros and adds nothing to the loss; so does a clip without listed instruments.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from musicgen_ldm.audio import FloatArray, Waveform
from musicgen_ldm.config.tagger_training import TAGGER_MEL, TaggerStageConfig
from musicgen_ldm.data.clips import ClipDataset, select_clips
from musicgen_ldm.data.loading import Example, ExampleSource
from musicgen_ldm.data.manifest import Clip, Tags
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.errors import TrainingError
from musicgen_ldm.mel import log_mel
from musicgen_ldm.models.tagger import (
    FILE_NAME,
    Tagger,
    TaggerOutput,
    Vocabulary,
    save_tagger,
    tempo_bin,
)
from musicgen_ldm.training.task import (
    Batch,
    Metrics,
    Optimization,
    StepContext,
    build_optimizer,
    unwrapped,
)

HEADS = ("instruments", "genre", "tempo")
Targets = dict[str, Tensor]


def find_vocabulary(clips: Sequence[Clip], config: TaggerStageConfig) -> Vocabulary:
    """Instruments and genres that at least `config.min_clips` clips have, sorted.

    Raises:
        TrainingError: If fewer than two genres or instruments are left.
    """
    instruments = Counter(name for clip in clips for name in set(clip.tags.instruments))
    genres = Counter(clip.tags.genre for clip in clips if clip.tags.genre)
    kept = [
        tuple(sorted(name for name, count in counts.items() if count >= config.min_clips))
        for counts in (instruments, genres)
    ]
    if min(map(len, kept)) < 2:
        raise TrainingError(
            f"{config.data.manifest}: {len(kept[0])} instruments and {len(kept[1])} genres have "
            f"min_clips={config.min_clips} clips; at least 2 of each are needed, add clips"
        )
    return Vocabulary(instruments=kept[0], genres=kept[1], tempo=config.tempo)


def targets(tags: Tags, vocabulary: Vocabulary) -> dict[str, FloatArray]:
    """Targets of one clip: instruments (I,), genre (G,), tempo (K,)."""
    instruments = np.array([name in tags.instruments for name in vocabulary.instruments])
    genre = np.array([name == tags.genre for name in vocabulary.genres])
    tempo = np.zeros(vocabulary.tempo.count)
    if tags.bpm is not None:
        tempo[tempo_bin(tags.bpm, vocabulary.tempo)] = 1
    rows = {"instruments": instruments, "genre": genre, "tempo": tempo}
    return {name: row.astype(np.float32) for name, row in rows.items()}


class TaggedClips:
    """Crops with the targets of their clips.

    Args:
        clips: Source of waveforms.
        vocabulary: Of the targets.
    """

    def __init__(self, clips: ClipDataset, vocabulary: Vocabulary) -> None:
        self.clips = clips
        self.vocabulary = vocabulary

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.clips)

    def __getitem__(self, ref: ClipRef) -> Example:
        """`{"id", "waveform": (T,), "instruments", "genre", "tempo"}`.

        Raises:
            AudioError: If the clip cannot be read or is silent.
        """
        tags = self.clips.clips[ref.index].tags
        return {**self.clips[ref], **targets(tags, self.vocabulary)}


class TaggerTask:
    """Cross-entropies of the three heads, with mixup."""

    name = "tagger"

    def __init__(self, config: TaggerStageConfig) -> None:
        self.config = config
        self.vocabulary = find_vocabulary(select_clips(config.data, "train"), config)
        self.models: dict[str, nn.Module] = {"network": Tagger(config.network, self.vocabulary)}
        self.frozen: dict[str, nn.Module] = {}
        self.averaged = ("network",)

    def optimizers(self) -> dict[str, Optimization]:
        """One optimizer."""
        return {"network": build_optimizer(self.models["network"].parameters(), self.config.optim)}

    def dataset(self, split: str) -> ExampleSource:
        """Clips of a split with their targets."""
        clips = ClipDataset.from_config(
            self.config.data,
            split,
            sample_rate=TAGGER_MEL.sample_rate,
            num_samples=TAGGER_MEL.num_samples(TAGGER_MEL.num_frames(self.config.data.seconds)),
            seed=self.config.seed,
        )
        return TaggedClips(clips, self.vocabulary)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Stack waveforms (B, T) and targets."""
        stacked = {
            name: torch.from_numpy(np.stack([example[name] for example in examples]))
            for name in ("waveform", *HEADS)
        }
        return {"id": [example["id"] for example in examples], **stacked}

    def step(self, batch: Batch, context: StepContext) -> Metrics:
        """Learn from one micro-batch."""
        mel = log_mel(batch["waveform"], TAGGER_MEL)
        wanted = {name: batch[name] for name in HEADS}
        if self.config.mixup:
            mel, wanted = mixup(mel, wanted, context.generator)
        losses = head_losses(self.models["network"](mel), wanted)
        context.optimize("network", losses["loss"])
        return {name: loss.detach() for name, loss in losses.items()}

    def validate(self, batches: Iterable[Batch], generator: Generator) -> Metrics:
        """Loss, and the accuracies that the acceptance of the tagger is about.

        `instrument_top1`: the surest instrument is in the clip. `genre`: the surest is right.
        `tempo`: within one bin, in any octave of the range.
        """
        found, wanted = [], []
        for batch in batches:
            found.append(self.models["network"](log_mel(batch["waveform"], TAGGER_MEL)))
            wanted.append({name: batch[name] for name in HEADS})
        output = TaggerOutput(
            *(torch.cat([getattr(o, name) for o in found]).float()
              for name in ("embedding", *HEADS))
        )  # fmt: skip
        everything = {name: torch.cat([w[name] for w in wanted]) for name in HEADS}
        losses = {name: float(loss) for name, loss in head_losses(output, everything).items()}
        return {**losses, **self._accuracies(output, everything)}

    def samples(self, generator: Generator) -> dict[str, Waveform]:
        """A tagger makes no sound."""
        return {}

    def export(self, folder: Path) -> None:
        """Write `tagger.safetensors`, the file that the evaluation loads."""
        save_tagger(cast(Tagger, unwrapped(self.models["network"])), folder / FILE_NAME)

    def _accuracies(self, output: TaggerOutput, wanted: Targets) -> dict[str, float]:
        hits = {}
        for name, head in (("instrument_top1", "instruments"), ("genre_top1", "genre")):
            surest = getattr(output, head).argmax(dim=1, keepdim=True)
            hits[name] = wanted[head].gather(1, surest)[:, 0][wanted[head].any(dim=1)]
        per_octave = self.vocabulary.tempo.per_octave
        distance = (output.tempo.argmax(dim=1) - wanted["tempo"].argmax(dim=1)) % per_octave
        near = (distance <= 1) | (distance == per_octave - 1)
        hits["tempo_near"] = near[wanted["tempo"].any(dim=1)].float()
        return {name: float(values.mean()) for name, values in hits.items() if len(values)}


def mixup(mel: Tensor, wanted: Targets, generator: Generator) -> tuple[Tensor, Targets]:
    """Blend each example with another one, inputs and targets alike (Zhang et al. 2018).

    The share is uniform, Beta(1, 1) as in PANNs.
    """
    order = torch.randperm(len(mel), generator=generator, device=generator.device).to(mel.device)
    drawn = torch.rand(len(mel), generator=generator, device=generator.device).to(mel.device)
    share = drawn[:, None]
    blended = {name: share * t + (1 - share) * t[order] for name, t in wanted.items()}
    wide = share[:, None, None]
    return wide * mel + (1 - wide) * mel[order], blended


def head_losses(output: TaggerOutput, wanted: Targets) -> dict[str, Tensor]:
    """Cross-entropy of each head over the clips where it is known, and their sum, "loss"."""
    known = wanted["instruments"].any(dim=1).float()
    yes_no = F.binary_cross_entropy_with_logits(
        output.instruments.float(), wanted["instruments"], reduction="none"
    ).mean(dim=1)
    losses = {"instruments": (yes_no * known).sum() / known.sum().clamp(min=1)}
    for name in ("genre", "tempo"):
        logits = getattr(output, name).float()
        cross_entropy = -(wanted[name] * logits.log_softmax(dim=1)).sum()
        losses[name] = cross_entropy / wanted[name].sum().clamp(min=1)
    return {"loss": sum(losses.values(), torch.zeros((), device=known.device)), **losses}
