"""The `clap` stage: one space for sentences and sounds (Wu et al. 2023)."""

import copy
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from transformers import ClapModel

from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.clap_training import ClapStageConfig
from musicgen_ldm.data.clap_examples import ClapDataset, EmbeddedClips
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.facts import answers
from musicgen_ldm.data.feature_store import FeatureStore, weights_digest
from musicgen_ldm.data.loading import Example
from musicgen_ldm.data.manifest import Clip
from musicgen_ldm.models.clap import ClapEmbedder, build_clap, build_feature_extractor
from musicgen_ldm.models.minilm import load_text_tower
from musicgen_ldm.models.tokenizer import byte_tokenizer
from musicgen_ldm.training.clap_facts import (
    FactClasses,
    FactHeads,
    FactTargets,
    fact_loss,
    facts_named,
)
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
)

RECALL_DEPTHS = (1, 5, 10)


class ClapTask:
    """Trains both towers, or what is left unfrozen of them.

    Only the clips of one micro-batch (over all processes) are contrasted with each other, so
    unlike other stages accumulation is not the same as a larger batch.

    Raises:
        CheckpointError: If the initial weights are missing or of another size.
        TrainingError: If facts are to be learned and no two clips differ in any.
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
            elif hasattr(module, "attention_dropout"):  # the text tower's, a number
                module.attention_dropout = config.dropout
        self._clap = start.model.train()
        self.models: dict[str, nn.Module] = {"clap": self._clap}
        if config.frozen_audio:
            self.models["clap"] = TextHalf(self._clap)
            self.frozen["audio_model"] = freeze(self._clap.audio_model)
            self.frozen["audio_projection"] = freeze(self._clap.audio_projection)
        self.averaged = ("clap",)
        self._sources: dict[str, ClapDataset | EmbeddedClips] = {}
        self.facts: FactClasses | None = None
        if config.facts_weight:
            self.facts = FactClasses([answers(clip) for clip in self.dataset("train").clips.clips])
            self.models["facts"] = FactHeads(self.facts, start.dim)

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

    def optimizers(self) -> dict[str, Optimization]:
        """One optimizer; the text tower has its own rate, and vectors are not decayed."""
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for model in self.models.values():
            for name, parameter in model.named_parameters():
                if not parameter.requires_grad:
                    continue
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

    def dataset(self, split: str) -> ClapDataset | EmbeddedClips:
        """Spectrograms or their vectors with a caption each; the same object each time."""
        if split not in self._sources:
            self._sources[split] = self._build_source(split)
        return self._sources[split]

    def _build_source(self, split: str) -> ClapDataset | EmbeddedClips:
        assert self.extractor is not None
        clips = ClipDataset.from_config(
            self.config.data,
            split,
            sample_rate=self.extractor.sampling_rate,
            num_samples=self.extractor.nb_max_samples,
            seed=self.config.seed,
        )
        store = None
        identity: dict[str, Any] = {
            "feature": "clap mel",
            "extractor": self.extractor.to_dict(),
            "peak": self.config.data.peak,
        }
        if self.config.cache is not None:
            store = FeatureStore(self.config.cache, identity)
        source = ClapDataset(
            clips,
            self.extractor,
            store,
            gain_db=self.config.gain_db if split == "train" else 0.0,
            hard_negatives=self.config.hard_negatives,
        )
        if not self.config.frozen_audio:
            return source
        assert self.config.cache is not None
        parts = ("audio_model", "audio_projection")
        identity |= {"feature": "clap audio"}
        identity |= {part: weights_digest(self.frozen[part]) for part in parts}
        return EmbeddedClips(source, self._embed_audio, FeatureStore(self.config.cache, identity))

    @torch.no_grad()
    def _embed_audio(self, mel: Tensor) -> Tensor:
        """Unit vectors (B, D) of spectrograms (B, 1, N, M)."""
        embedder = ClapEmbedder(self._clap, self.tokenizer, self.extractor)
        with full_precision(self._clap.device):
            return F.normalize(embedder.project(mel.to(self._clap.device)), dim=-1).cpu()

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Stack spectrograms, tokenise captions and hard negatives together."""
        count = self.config.hard_negatives
        negatives = [text for e in examples for text in _padded(e["negatives"], count)]
        captions = [e["caption"] for e in examples]
        mask = [[k < len(e["negatives"]) for k in range(count)] for e in examples]
        sound = "audio" if self.config.frozen_audio else "mel"
        return {
            "id": [e["id"] for e in examples],
            "clip": [e["clip"] for e in examples],
            sound: torch.stack([torch.as_tensor(e[sound]) for e in examples]),
            "reference": torch.stack([torch.from_numpy(e["reference"]) for e in examples]),
            "group": torch.tensor([_caption_group(caption) for caption in captions]),
            "negative_mask": torch.tensor(mask, dtype=torch.bool).view(len(examples), count),
            "facts": self._fact_targets([e["clip"] for e in examples]),
        } | self._tokenise(captions + negatives)

    def _fact_targets(self, clips: list[Clip]) -> FactTargets:
        return self.facts.targets([answers(clip) for clip in clips]) if self.facts else {}

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
        metrics = {}
        naming = audio.new_zeros(())
        if self.facts:
            naming = self._fact_loss(audio, text, batch["facts"])
            metrics["facts"] = naming.detach()
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
        context.optimize("clap", loss + self.config.facts_weight * naming)
        return metrics | {
            "loss": loss.detach(),
            "n_eff": effective_positives(targets),
            "log_n_eff": effective_positives(targets).log(),
            "scale": logit_scale(clap.logit_scale_a.detach()),
        }

    def _fact_loss(self, audio: Tensor, text: Tensor, targets: FactTargets) -> Tensor:
        """Of both towers under the same heads, so that a fact lies in one direction for both."""
        both = {question: rows.repeat(2, 1) for question, rows in targets.items()}
        with full_precision(audio.device):
            return fact_loss(self.models["facts"](torch.cat([audio, text])), both)

    def _embed(self, batch: Batch) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Audio (B, D), text (B, D), hard negatives (B, K, D) with their mask."""
        words = {name: batch[name] for name in ("input_ids", "attention_mask")}
        if self.config.frozen_audio:
            audio, texts = batch["audio"], self.models["clap"](**words)
        else:
            output = self.models["clap"](**words, input_features=batch["mel"])
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
        count = len(batch["id"])
        ids, mask = batch["input_ids"][:count], batch["attention_mask"][:count]
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
            audio, text, *rest = (torch.cat(column) for column in zip(*parts, strict=True))
            return self._measure(audio, text, *rest, clips=clips) | self._named(audio, text, clips)

    def _named(self, audio: Tensor, text: Tensor, clips: list[Clip]) -> dict[str, float]:
        """Share of clips whose facts the heads name, from the sound and from a caption.

        A caption states only some of the facts, so no tower can name all.
        """
        if self.facts is None:
            return {}
        targets = {name: rows.to(audio.device) for name, rows in self._fact_targets(clips).items()}
        return {
            f"{tower}_names/{question}": share
            for tower, vectors in (("audio", audio), ("text", text))
            for question, share in facts_named(self.models["facts"](vectors), targets).items()
        }

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
        tokens = {k: v.to(self._clap.device) for k, v in self._tokenise(sentences).items()}
        return embed_sentences(self._clap, **tokens)

    def samples(self, generator: Generator) -> dict[str, Waveform]:
        """Nothing: embeddings make no sound."""
        return {}

    def export(self, folder: Path) -> None:
        """Write `text_encoder/` (both towers), `tokenizer/` and `feature_extractor/`."""
        save_clap(ClapEmbedder(self._clap, self.tokenizer, self.extractor), folder)


class TextHalf(nn.Module):
    """What of a CLAP is trained beside a frozen audio tower; shares its weights.

    Args:
        clap: The whole.
    """

    def __init__(self, clap: ClapModel) -> None:
        super().__init__()
        self.text_model = clap.text_model
        self.text_projection = clap.text_projection
        self.logit_scale_a = clap.logit_scale_a
        self.logit_scale_t = clap.logit_scale_t

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Unit vectors (B, D) of tokens (B, number of tokens)."""
        return embed_sentences(self, input_ids, attention_mask)


def embed_sentences(
    clap: ClapModel | TextHalf, input_ids: Tensor, attention_mask: Tensor
) -> Tensor:
    """Unit vectors (B, D) of tokens (B, number of tokens).

    Not `get_text_features`, which returns another type in each generation of transformers.
    """
    hidden = clap.text_model(input_ids=input_ids, attention_mask=attention_mask).pooler_output
    return F.normalize(clap.text_projection(hidden).float(), dim=-1)


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
