"""The `clap` stage: what is contrasted, against what, and what is left alone."""

from dataclasses import dataclass, field
from typing import Literal

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


@dataclass(frozen=True, kw_only=True)
class ClapStageConfig(StageConfig):
    """Contrastive training of both towers (Wu et al. 2023).

    Attributes:
        init: Folder of a CLAP checkpoint (`text_encoder/`, `tokenizer/`, …) to go on from; None
            starts from random weights.
        minilm: Start the text tower from the packaged MiniLM sentence encoder.
        frozen_text_layers: Lowest layers of the text tower that are not trained; the word
            embeddings stay frozen with the first of them.
        targets: Which pairs are positive.
        hard_negatives: K captions with one attribute swapped, for clips whose tags are known.
        max_tokens: Captions are cut here.
        gain_db: Each training clip is made louder or softer by at most this much.
        cache: Folder for the tower's input spectrograms; None computes them again in each epoch.
    """

    stage: str = "clap"
    init: str | None = None
    minilm: bool = False
    frozen_text_layers: int = 0
    targets: TargetConfig = field(default_factory=TargetConfig)
    hard_negatives: int = 0
    max_tokens: int = 77
    gain_db: float = 0.0
    cache: str | None = None

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        if self.init is not None and self.minilm:
            raise ConfigError(
                f"init={self.init} already holds a text tower; set minilm=false to go on from it"
            )
        layers = self.model.clap.text.num_layers
        if not 0 <= self.frozen_text_layers <= layers:
            raise ConfigError(
                f"frozen_text_layers={self.frozen_text_layers}: must be between 0 and {layers}"
            )
        if self.hard_negatives < 0:
            raise ConfigError(f"hard_negatives={self.hard_negatives}: must be 0 or more")
