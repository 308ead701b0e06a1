"""How two clips become one training example."""

from dataclasses import dataclass
from typing import Literal

from musicgen_ldm.config.checks import check_least
from musicgen_ldm.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class MixupConfig:
    """Beat-synchronous mixup (Chen et al. 2023); the defaults are the released behaviour.

    Attributes:
        kind: "bam" mixes waveforms in the loader, "blm" mixes latents in the training step,
            "plain" mixes waveforms without regard to tempo and beat (the ablation).
        probability: Share of examples that are mixed.
        beta: Ratios are drawn from Beta(beta, beta).
        tempo_bin_bpm: Clips whose integer tempi fall into one bin of this width may be paired.
        start: "random" begins both clips at a downbeat of their own and drops what is before it;
            "overlap" chooses the two downbeats that keep the longest common stretch, for clips
            that are hardly longer than the training window.
        sync: "start" lets the beats drift after the shared downbeat; "tempo" plays the partner
            at the anchor's tempo; "downbeats" makes every downbeat coincide.
        min_beat_confidence: Clips whose beats are less sure (`beats_confidence` of the manifest)
            are not mixed by "bam" and "blm": without a pulse, tracked bars meet by chance.
        match_energy: Scale the partner to the anchor's level, so that the ratio is what is heard.
        merge_captions: Describe both clips, where the reference keeps the anchor's caption.
    """

    kind: Literal["none", "plain", "bam", "blm"] = "none"
    probability: float = 0.5
    beta: float = 5.0
    tempo_bin_bpm: int = 3
    start: Literal["random", "overlap"] = "random"
    sync: Literal["start", "tempo", "downbeats"] = "start"
    min_beat_confidence: float = 0.0
    match_energy: bool = False
    merge_captions: bool = False

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.probability <= 1:
            raise ConfigError(f"mixup.probability={self.probability}: must be between 0 and 1")
        if not self.beta > 0:
            raise ConfigError(f"mixup.beta={self.beta}: must be above 0; the paper takes 5")
        if not 0 <= self.min_beat_confidence <= 1:
            raise ConfigError(
                f"mixup.min_beat_confidence={self.min_beat_confidence}: must be between 0 and 1"
            )
        check_least(self, "mixup.", tempo_bin_bpm=1)  # the paper takes 3
