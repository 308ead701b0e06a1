"""The `clap` stage: what is contrasted, against what, and what is left alone."""

from dataclasses import dataclass, field
from typing import Literal

from musicgen_ldm.config.checks import check_least
from musicgen_ldm.config.training import StageConfig
from musicgen_ldm.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TargetConfig:
    """Which captions of a batch count as true of a clip.

    Attributes:
        kind: "identity" its own alone; "group" equal captions too; "cwcl_linear" and "cwcl_exp"
            all of them, weighted by the similarity of a frozen reference.
        symmetric: Use the targets in both directions.
        kappa: Width of the exponential kernel; tune it to 1.5-10 effective positives.
        reference: Similarity of the clips' tags, or of their captions under the initial text
            tower.
    """

    kind: Literal["identity", "group", "cwcl_linear", "cwcl_exp"] = "group"
    symmetric: bool = True
    kappa: float = 0.1
    reference: Literal["tags", "captions"] = "tags"

    def __post_init__(self) -> None:
        """The linear kernel collapses training when both directions use it."""
        if self.kind == "cwcl_linear" and self.symmetric:
            raise ConfigError(
                "targets.symmetric=true collapses training with targets.kind=cwcl_linear; "
                "set targets.symmetric=false, or take targets.kind=cwcl_exp"
            )
        if not self.kappa > 0:
            raise ConfigError(f"targets.kappa={self.kappa}: must be above 0, e.g. 0.1")

    @property
    def uses_captions(self) -> bool:
        """Whether the initial text tower is kept as reference."""
        return self.kind.startswith("cwcl") and self.reference == "captions"


@dataclass(frozen=True, kw_only=True)
class ClapStageConfig(StageConfig):
    """Contrastive training of both towers (Wu et al. 2023).

    Attributes:
        init: Folder of a CLAP checkpoint (`text_encoder/`, `tokenizer/`, …) to go on from; None
            starts from random weights.
        text_tower: "random" with a byte tokenizer; "minilm" starts from the packaged sentence
            encoder; otherwise the folder or hub id of a BERT or RoBERTa encoder.
        text_lr_factor: Learning rate of the text tower relative to all else; a pretrained one
            wants less.
        frozen_text_layers: Lowest layers of the text tower that are not trained; the word
            embeddings stay frozen with the first of them.
        dropout: Of both towers. The stock 0.1 is louder than what tells two clips apart in fresh
            towers, and then nothing is learned; 0.1 suits a pretrained text tower.
        frozen_audio: Leave the audio tower as it is, and let it hear each clip once. Sentences
            then learn where sounds lie, in a fraction of the time, and what was embedded before,
            such as a novelty bank, stays valid. `gain_db` is of no use then.
        facts_weight: Weight of naming the clips' genre, instruments, tempo, key and mood from
            their embeddings, in nats a question (`training/clap_facts.py`).
        targets: Which pairs are positive.
        hard_negatives: K captions with one attribute swapped, for clips whose tags are known.
        max_tokens: Captions are cut here.
        gain_db: Each training clip is made louder or softer by at most this much.
        cache: Folder for the tower's input spectrograms; None computes them again in each epoch.
    """

    stage: str = "clap"
    init: str | None = None
    text_tower: str = "random"
    text_lr_factor: float = 1.0
    frozen_text_layers: int = 0
    dropout: float = 0.0
    frozen_audio: bool = False
    facts_weight: float = 0.0
    targets: TargetConfig = field(default_factory=TargetConfig)
    hard_negatives: int = 0
    max_tokens: int = 77
    gain_db: float = 0.0
    cache: str | None = None

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        if self.init is not None and self.text_tower != "random":
            raise ConfigError(f"init={self.init} already holds a text tower; leave text_tower out")
        if self.frozen_audio and (self.init is None or self.cache is None):
            raise ConfigError(
                "frozen_audio=true keeps the audio tower of a trained CLAP, and what it hears of "
                "each clip; name that CLAP with init= and a folder with cache="
            )
        layers = self.model.clap.text.num_layers
        if not 0 <= self.frozen_text_layers <= layers:
            raise ConfigError(
                f"frozen_text_layers={self.frozen_text_layers}: must be between 0 and {layers}"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout={self.dropout}: must be at least 0 and below 1")
        check_least(
            self, hard_negatives=0, text_lr_factor=0, max_tokens=3, gain_db=0, facts_weight=0
        )
