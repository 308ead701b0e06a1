"""The `clap` stage: one space for sentences and sounds (Wu et al. 2023)."""

import copy
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from transformers import ClapModel

from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.clap_training import ClapStageConfig
from musicgen_ldm.data.clap_examples import ClapDataset
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.feature_store import FeatureStore
from musicgen_ldm.data.loading import Example
from musicgen_ldm.data.manifest import Clip
from musicgen_ldm.models.clap import ClapEmbedder, build_clap, build_feature_extractor
from musicgen_ldm.models.minilm import load_text_tower
from musicgen_ldm.models.tokenizer import byte_tokenizer
from musicgen_ldm.training.clap_folder import load_clap, save_clap
from musicgen_ldm.training.clap_losses import (
    Negatives,
    clap_loss,
    cwcl_targets,
    effective_positives,
    gather_with_gradient,
    group_targets,
    identity_targets,
    logit_scale,
)
from musicgen_ldm.training.clap_validation import preference, recall_at, zero_shot
from musicgen_ldm.training.task import (
    Batch,
    Metrics,
    Optimization,
    StepContext,
    build_optimizer,
    freeze,
    full_precision,
    unwrapped,
)

RECALL_DEPTHS = (1, 5, 10)


class ClapTask:
    """Trains both towers, or what is left unfrozen of them.

    Only the clips of one micro-batch (over all processes) are contrasted with each other, so
    unlike other stages accumulation is not the same as a larger batch.

    Raises:
        CheckpointError: If the initial weights are missing or of another size.
    """

    name = "clap"

    def __init__(self, config: ClapStageConfig) -> None:
        self.config = config
        start = self._initial()
        self.tokenizer = start.tokenizer
        self.extractor = start.feature_extractor
        self.frozen: dict[str, nn.Module] = {}
        if config.targets.uses_captions:
            self.frozen["reference"] = freeze(copy.deepcopy(start.model.text_model))
        _freeze_text_layers(start.model, config.frozen_text_layers)
        for module in start.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = config.dropout
        self.models: dict[str, nn.Module] = {"clap": start.model.train()}
        self.averaged = ("clap",)
        self._sources: dict[str, ClapDataset] = {}

    def _initial(self) -> ClapEmbedder:
        if self.config.init is not None:
            start = load_clap(self.config.init)
            start.model.requires_grad_(True)
            return start
        clap = self.config.model.clap
        model = build_clap(clap)
        tokenizer = (
            byte_tokenizer()
            if self.config.text_tower == "random"
            else load_text_tower(model, self.config.text_tower)
        )
        return ClapEmbedder(model, tokenizer, build_feature_extractor(clap.audio))

    @property
    def _clap(self) -> ClapModel:
        """The network without its distributed wrapper."""
        return cast(ClapModel, unwrapped(self.models["clap"]))

    def optimizers(self) -> dict[str, Optimization]:
        """One optimizer; the text tower has its own rate, and vectors are not decayed."""
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in self.models["clap"].named_parameters():
            if parameter.requires_grad:
                kind = (name.startswith("text_model."), parameter.ndim < 2)
                groups.setdefault(kind, []).append(parameter)
        optim = self.config.optim
        return {
            "clap": build_optimizer(
                [
                    {
                        "params": parameters,
                        "lr": optim.lr * (self.config.text_lr_factor if is_text else 1),
                        "weight_decay": 0.0 if is_vector else optim.weight_decay,
                    }
                    for (is_text, is_vector), parameters in groups.items()
                ],
                optim,
            )
        }

    def dataset(self, split: str) -> ClapDataset:
        """Windows of spectrograms with a caption each; the same object each time."""
        if split not in self._sources:
            self._sources[split] = self._build_source(split)
        return self._sources[split]

    def _build_source(self, split: str) -> ClapDataset:
        assert self.extractor is not None
        clips = ClipDataset.from_config(
            self.config.data,
            split,
            sample_rate=self.extractor.sampling_rate,
            num_samples=self.extractor.nb_max_samples,
            seed=self.config.seed,
        )
        store = None
        if self.config.cache is not None:
            identity = {
                "feature": "clap mel",
                "extractor": self.extractor.to_dict(),
                "peak": self.config.data.peak,
            }
            store = FeatureStore(self.config.cache, identity)
        return ClapDataset(
            clips,
            self.extractor,
            store,
            gain_db=self.config.gain_db if split == "train" else 0.0,
            hard_negatives=self.config.hard_negatives,
        )

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Stack spectrograms, tokenise captions and hard negatives together."""
        count = self.config.hard_negatives
        negatives = [text for e in examples for text in _padded(e["negatives"], count)]
        captions = [e["caption"] for e in examples]
        mask = [[k < len(e["negatives"]) for k in range(count)] for e in examples]
        return {
            "id": [e["id"] for e in examples],
            "clip": [e["clip"] for e in examples],
            "mel": torch.stack([torch.from_numpy(e["mel"]) for e in examples]),
            "reference": torch.stack([torch.from_numpy(e["reference"]) for e in examples]),
            "group": torch.tensor([_caption_group(caption) for caption in captions]),
            "negative_mask": torch.tensor(mask, dtype=torch.bool).view(len(examples), count),
        } | self._tokenise(captions + negatives)

    def _tokenise(self, sentences: list[str]) -> dict[str, Tensor]:
        tokens = self.tokenizer(
            sentences,
            padding=True,
            truncation=True,
            max_length=self.config.max_tokens,
            return_tensors="pt",
        )
        return {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}

    def step(self, batch: Batch, context: StepContext) -> Metrics:
        """Pull true pairs together and push the others apart."""
        audio, text, negatives = self._embed(batch)
        everybody = [gather_with_gradient(x) for x in (audio, text, *negatives)]
        audio, text = everybody[:2]
        targets = self._targets(batch, audio.device)
        clap = self._clap
        loss = clap_loss(
            audio,
            text,
            audio_scale=logit_scale(clap.logit_scale_a),
            text_scale=logit_scale(clap.logit_scale_t),
            targets=targets,
            symmetric=self.config.targets.symmetric,
            negatives=Negatives(*everybody[2:]) if self.config.hard_negatives else None,
        )
        context.optimize("clap", loss)
        return {
            "loss": loss.detach(),
            "n_eff": effective_positives(targets),
            "log_n_eff": effective_positives(targets).log(),
            "scale": logit_scale(clap.logit_scale_a.detach()),
        }

    def _embed(self, batch: Batch) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Audio (B, D), text (B, D), hard negatives (B, K, D) with their mask."""
        output = self.models["clap"](
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            input_features=batch["mel"],
        )
        audio, texts = output.audio_embeds.float(), output.text_embeds.float()
        text, negatives = texts[: len(audio)], texts[len(audio) :]
        mask = batch["negative_mask"]
        return audio, text, (negatives.view(*mask.shape, texts.shape[1]), mask)

    def _targets(self, batch: Batch, device: torch.device) -> Tensor:
        """(B, B) over all processes."""
        config = self.config.targets
        if config.kind == "group":
            return group_targets(gather_with_gradient(batch["group"])).to(device)
        if config.kind == "identity":
            return identity_targets(len(gather_with_gradient(batch["group"]))).to(device)
        reference = batch["reference"]
        if config.uses_captions:
            reference = self._caption_reference(batch)
        return cwcl_targets(gather_with_gradient(reference), config)

    @torch.no_grad()
    def _caption_reference(self, batch: Batch) -> Tensor:
        """Mean-pooled states of the initial text tower for the true captions, (B, F)."""
        ids = batch["input_ids"][: len(batch["mel"])]
        mask = batch["attention_mask"][: len(batch["mel"])]
        hidden = self.frozen["reference"](input_ids=ids, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).to(hidden)
        return (hidden * weight).sum(dim=1) / weight.sum(dim=1)

    def validate(self, batches: Iterable[Batch], generator: Generator) -> Metrics:
        """Loss, zero-shot accuracy and multi-positive retrieval over all validation clips."""
        parts: list[tuple[Tensor, ...]] = []
        clips: list[Clip] = []
        for batch in batches:
            audio, text, negatives = self._embed(batch)
            parts.append((audio, text, batch["group"], *negatives))
            clips += batch["clip"]
        if not parts:
            return {}
        with full_precision(generator.device):  # see `clap_loss`
            columns = zip(*parts, strict=True)
            return self._measure(*(torch.cat(column) for column in columns), clips=clips)

    def _measure(
        self,
        audio: Tensor,
        text: Tensor,
        groups: Tensor,
        false: Tensor,
        mask: Tensor,
        *,
        clips: list[Clip],
    ) -> dict[str, float]:
        """Metrics of embeddings (n, D), false captions (n, K, D) and their mask (n, K)."""
        scale = logit_scale(self._clap.logit_scale_a)
        metrics = {
            "loss": float(
                clap_loss(
                    audio, text, audio_scale=scale, text_scale=scale, targets=group_targets(groups)
                )
            ),
            "cosine": float((audio * text).sum(dim=1).mean()),
        }
        for depth in RECALL_DEPTHS:
            metrics[f"text_to_audio_r@{depth}"] = recall_at(text, audio, groups, depth)
            metrics[f"audio_to_text_r@{depth}"] = recall_at(audio, text, groups, depth)
        scores = zero_shot(audio, clips, self._embed_text)
        metrics |= {f"zero_shot/{attribute}": score for attribute, score in scores.items()}
        if mask.any():
            metrics["hard_negative_accuracy"] = preference(audio, text, false, mask)
        return metrics

    def _embed_text(self, sentences: list[str]) -> Tensor:
        device = self._clap.device
        tokens = {k: v.to(device) for k, v in self._tokenise(sentences).items()}
        # Not `get_text_features`, which returns another type in each generation of transformers.
        hidden = self._clap.text_model(**tokens).pooler_output
        return F.normalize(self._clap.text_projection(hidden), dim=-1).float()

    def samples(self, generator: Generator) -> dict[str, Waveform]:
        """Nothing: embeddings make no sound."""
        return {}

    def export(self, folder: Path) -> None:
        """Write `text_encoder/` (both towers), `tokenizer/` and `feature_extractor/`."""
        save_clap(ClapEmbedder(self._clap, self.tokenizer, self.extractor), folder)


def _freeze_text_layers(model: ClapModel, count: int) -> None:
    """Stop training the word embeddings and the lowest `count` layers of the text tower."""
    if count:
        freeze(model.text_model.embeddings)
        for layer in model.text_model.encoder.layer[:count]:
            layer.requires_grad_(False)


def _padded(captions: list[str], count: int) -> list[str]:
    return captions + [""] * (count - len(captions))


def _caption_group(caption: str) -> int:
    """The same number for equal captions, on every process."""
    return int.from_bytes(hashlib.sha256(caption.lower().encode()).digest()[:7], "big")
