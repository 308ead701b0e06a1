"""The `tagger` stage: the judge learns instruments, genre, tempo and traits from known clips.

Letters: B clips, I instruments, G genres, K tempo bins, R traits.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.tagger_training import TAGGER_MEL, TaggerStageConfig
from musicgen_ldm.configio import to_plain
from musicgen_ldm.data.clips import ClipDataset, select_clips
from musicgen_ldm.data.feature_store import FeatureStore
from musicgen_ldm.data.loading import Example
from musicgen_ldm.data.merged_genres import merged_genre
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.errors import AudioError
from musicgen_ldm.models.tagger import FILE_NAME, LEVEL_RMS, Tagger, TaggerOutput, save_tagger
from musicgen_ldm.training.tagger_examples import TaggedClips, find_vocabulary
from musicgen_ldm.training.task import (
    Batch,
    Metrics,
    Optimization,
    StepContext,
    build_optimizer,
    unwrapped,
)

HEADS = ("instruments", "genre", "tempo", "traits")
Targets = dict[str, Tensor]


class TaggerTask:
    """Negative log-likelihood of everything known of a clip, head by head."""

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

    def dataset(self, split: str) -> TaggedClips:
        """Clips of a split with their targets."""
        clips = ClipDataset.for_mel(self.config.data, split, TAGGER_MEL, self.config.seed)
        store = None
        if self.config.cache is not None:
            identity = {"feature": "tagger mel", "mel": to_plain(TAGGER_MEL), "rms": LEVEL_RMS}
            store = FeatureStore(self.config.cache, identity)
        return TaggedClips(
            clips,
            self.vocabulary,
            store,
            tilt_db=self.config.tilt_db,
            training=split == "train",
        )

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Stack spectrograms (B, 1, N, M) and targets."""
        stacked = {
            name: torch.from_numpy(np.stack([example[name] for example in examples]))
            for name in ("mel", *HEADS)
        }
        return {"id": [example["id"] for example in examples], **stacked}

    def step(self, batch: Batch, context: StepContext) -> Metrics:
        """Learn from one micro-batch."""
        mel = batch["mel"]
        wanted = {name: batch[name] for name in HEADS}
        if self.config.mixup:
            mel, wanted = mixup(mel, wanted, context.generator)
        losses = head_losses(self.models["network"](mel), wanted)
        context.optimize("network", losses["loss"])
        return {name: loss.detach() for name, loss in losses.items()}

    def validate(self, batches: Iterable[Batch], generator: Generator) -> Metrics:
        """Loss, and the accuracies that the acceptance of the tagger is about.

        `instrument_f1`: micro-averaged at the best threshold; `instrument_top1`: the surest
        instrument is in the clip. `genre_top1`: the surest is right; `merged_top1`, `merged_top5`:
        the same over merged genres. `tempo_near`: within one bin, in any octave of the range.
        """
        output, wanted = self._heard(batches)
        losses = {name: float(loss) for name, loss in head_losses(output, wanted).items()}
        return {**losses, **self._accuracies(output, wanted)}

    def samples(self, generator: Generator) -> dict[str, Waveform]:
        """A tagger makes no sound."""
        return {}

    def export(self, folder: Path) -> None:
        """Write `tagger.safetensors`, the file that the evaluation loads.

        Its threshold is calibrated on the validation clips; without any it is even odds.
        """
        network = cast(Tagger, unwrapped(self.models["network"]))
        if self.config.run.valid_clips:
            output, wanted = self._heard(self._calibration_batches(network))
            network.threshold, _ = best_threshold(output.instruments, wanted["instruments"])
        save_tagger(network, folder / FILE_NAME)

    def _calibration_batches(self, network: nn.Module) -> Iterator[Batch]:
        device = next(network.parameters()).device
        source, examples = self.dataset("valid"), []
        for index in range(len(source)):
            try:
                examples.append(source[ClipRef(0, index)])
            except AudioError:  # validation has reported it
                continue
        for start in range(0, len(examples), self.config.batch_size):
            batch = self.collate(examples[start : start + self.config.batch_size])
            yield {name: v.to(device) if name != "id" else v for name, v in batch.items()}

    def _heard(self, batches: Iterable[Batch]) -> tuple[TaggerOutput, Targets]:
        """What the network says of all batches, and what is true."""
        found, wanted = [], []
        for batch in batches:
            found.append(self.models["network"](batch["mel"]))
            wanted.append({name: batch[name] for name in HEADS})
        output = TaggerOutput(
            *(torch.cat([getattr(o, name) for o in found]).float()
              for name in ("embedding", *HEADS))
        )  # fmt: skip
        return output, {name: torch.cat([w[name] for w in wanted]) for name in HEADS}

    def _accuracies(self, output: TaggerOutput, wanted: Targets) -> dict[str, float]:
        hits: dict[str, Tensor] = {}
        for name, head in (("instrument_top1", "instruments"), ("genre_top1", "genre")):
            surest = getattr(output, head).argmax(dim=1, keepdim=True)
            hits[name] = wanted[head].gather(1, surest)[:, 0][wanted[head].any(dim=1)]
        known = wanted["genre"].any(dim=1)
        likelihood, truth = (
            self._merged(rows[known]) for rows in (output.genre.softmax(dim=1), wanted["genre"])
        )
        for depth in (1, 5):
            best = likelihood.topk(min(depth, likelihood.shape[1]), dim=1).indices
            hits[f"merged_top{depth}"] = truth.gather(1, best).amax(dim=1)
        hits["tempo_near"] = self._tempo_hits(output.tempo, wanted["tempo"])
        for column, name in enumerate(self.vocabulary.traits):
            truth, heard = wanted["traits"][:, column], output.traits[:, column]
            hits[name] = ((heard > 0) == (truth > 0.5))[~truth.isnan()].float()
        scores = {name: float(values.mean()) for name, values in hits.items() if len(values)}
        _, f1 = best_threshold(output.instruments, wanted["instruments"])
        return {"instrument_f1": f1, **scores}

    def _merged(self, genre: Tensor) -> Tensor:
        """Columns (B, G) of one merged genre added up."""
        merged = [merged_genre(name) for name in self.vocabulary.genres]
        names = sorted(set(merged))
        column = torch.tensor([names.index(name) for name in merged], device=genre.device)
        return genre.new_zeros(len(genre), len(names)).index_add(1, column, genre)

    def _tempo_hits(self, logits: Tensor, wanted: Tensor) -> Tensor:
        per_octave = self.vocabulary.tempo.per_octave
        distance = (logits.argmax(dim=1) - wanted.argmax(dim=1)) % per_octave
        near = (distance <= 1) | (distance == per_octave - 1)
        return near[wanted.any(dim=1)].float()


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
    """Negative log-likelihood of each head in nats a clip, and their sum, "loss".

    Each is averaged over the clips where something is known; an unknown answer costs nothing.
    """
    is_listed = wanted["instruments"].any(dim=1, keepdim=True).expand_as(wanted["instruments"])
    losses = {
        "instruments": _binary_loss(output.instruments, wanted["instruments"], is_listed),
        "traits": _binary_loss(output.traits, wanted["traits"], ~wanted["traits"].isnan()),
    }
    for name in ("genre", "tempo"):
        logits = getattr(output, name).float()
        cross_entropy = -(wanted[name] * logits.log_softmax(dim=1)).sum()
        losses[name] = cross_entropy / wanted[name].sum().clamp(min=1)
    return {"loss": torch.stack(list(losses.values())).sum(), **losses}


def _binary_loss(logits: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """Mean over clips of the summed binary cross-entropies of known answers."""
    loss = F.binary_cross_entropy_with_logits(
        logits.float(), wanted.nan_to_num(), weight=known.float(), reduction="sum"
    )
    return loss / known.any(dim=1).sum().clamp(min=1)


def best_threshold(logits: Tensor, wanted: Tensor) -> tuple[float, float]:
    """The threshold with the best micro-averaged F1, and that F1.

    Args:
        logits: (B, I).
        wanted: (B, I), above one half where true; clips without any true answer are left out.

    Returns:
        Logit half-way between the last accepted and the first refused answer, and the F1;
        (0, 0) if nothing is known.
    """
    known = wanted.any(dim=1)
    scores, order = logits.detach()[known].flatten().sort(descending=True)
    truth = (wanted[known].flatten()[order] > 0.5).double()
    if not truth.any():
        return 0.0, 0.0
    accepted = torch.arange(1, len(truth) + 1, device=truth.device)
    f1 = 2 * truth.cumsum(0) / (accepted + truth.sum())
    best = int(f1.argmax())
    after = min(best + 1, len(scores) - 1)
    return float(scores[best] + scores[after]) / 2, float(f1[best])
