"""What mixup makes of a manifest, pair by pair: how well tempi, bars and levels agree."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator

from musicgen_ldm.audio import FloatArray, fit_length, rms_dbfs
from musicgen_ldm.config.mixup import MixupConfig
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.latents import LatentEncoder
from musicgen_ldm.data.mixed_clips import MixedClipDataset, merged_captions
from musicgen_ldm.errors import ManifestError
from musicgen_ldm.mixup.mix import Mixture
from musicgen_ldm.mixup.sync import Track, tempo_ratio

PERCENTILES = (5, 50, 95, 100)
MAX_ATTEMPTS = 20  # for each pair wanted


@dataclass(frozen=True)
class MixedPair:
    """Measurements of one mixture.

    Attributes:
        anchor: Clip id.
        partner: Clip id.
        ratio: Weight of the anchor.
        seconds: Length of the common stretch.
        tempo_ratio: Partner tempo over anchor tempo, before any change of speed; None without
            beats.
        downbeat_error_ms: Largest distance from a downbeat of the anchor to the partner's nearest
            within the common stretch; None under plain mixup, or if no bar line lies in it.
        level_difference_db: Level of the anchor's part over the partner's, before weighting;
            under latent mixup after each has been normalised.
        caption: What text conditioning would say.
    """

    anchor: str
    partner: str
    ratio: float
    seconds: float
    tempo_ratio: float | None
    downbeat_error_ms: float | None
    level_difference_db: float
    caption: str

    def to_json(self) -> dict[str, Any]:
        """For a line of `pairs.jsonl`."""
        return asdict(self)


class MixupAudit:
    """Draws pairs as training would.

    Args:
        clips: Where from.
        config: How they are mixed; its probability is ignored.
        seed: Of the draws.
    """

    def __init__(self, clips: ClipDataset, config: MixupConfig, seed: int) -> None:
        self.dataset = MixedClipDataset(clips, config)
        self.seed = seed
        self.refused: Counter[str] = Counter()

    def group_sizes(self) -> list[int]:
        """Possible partners of each clip."""
        groups = self.dataset.groups
        return [groups.num_partners(index) for index in range(len(self.dataset))]

    def pairs(self, count: int) -> Iterator[tuple[MixedPair, Mixture]]:
        """`count` mixtures as training would have them, with their measurements.

        Raises:
            ManifestError: If hardly any two clips can be mixed.
            AudioError: If a clip is missing or corrupt.
        """
        rng = np.random.default_rng(self.seed)
        clips, found = self.dataset.source.clips, 0
        for _ in range(count * MAX_ATTEMPTS):
            if found == count:
                return
            index = int(rng.integers(len(clips)))
            other = self.dataset.groups.partner(index, rng)
            if other is None:
                self.refused["no partner of its tempo"] += 1
                continue
            anchor, partner = (self.dataset.track(clips[i]) for i in (index, other))
            mixture = self.dataset.mixture(clips[index], clips[other], rng)
            if mixture is None:
                self.refused["bars cannot be aligned, or one is silent"] += 1
                continue
            found += 1
            captions = list(clips[index].captions)
            if self.dataset.config.merge_captions:
                captions = merged_captions(captions, clips[other].captions, mixture.ratio)
            ids = clips[index].id, clips[other].id
            pair = measure_pair(ids, mixture, anchor, partner, next(iter(captions), ""))
            yield pair, mixture
        raise ManifestError(
            f"only {found} of {count} pairs could be mixed "
            f"({', '.join(f'{n} times {reason}' for reason, n in self.refused.items())}); "
            "track beats with `musicgen-ldm prepare`, or widen mixup.tempo_bin_bpm"
        )


def decoded(
    mixture: Mixture, encoder: LatentEncoder, num_samples: int, seed: int = 0
) -> FloatArray:
    """The sound that conditions a latent mixture, (T,): mixed in latent space, decoded, vocoded.

    Args:
        mixture: Of two waveforms, under "blm" each normalised.
        encoder: The networks.
        num_samples: T of a training window; what is longer is cut, what is shorter padded.
        seed: Samples the posteriors.
    """
    first, second = (
        torch.from_numpy(fit_length(part, num_samples))[None]
        for part in (mixture.first, mixture.second)
    )
    generator = Generator().manual_seed(seed)
    return encoder.mixed_sound(first, second, torch.tensor([mixture.ratio]), generator)[0].numpy()


def measure_pair(
    ids: tuple[str, str], mixture: Mixture, anchor: Track, partner: Track, caption: str
) -> MixedPair:
    """Measurements of one mixture.

    Args:
        ids: Of anchor and partner.
        mixture: What came out.
        anchor: What went in.
        partner: What went in.
        caption: To report.
    """
    error = None
    if mixture.alignment is not None:
        errors = mixture.alignment.downbeat_errors(anchor, partner)
        error = 1000 * float(errors.max()) if len(errors) else None
    has_beats = min(len(anchor.beats_s), len(partner.beats_s)) > 1
    return MixedPair(
        anchor=ids[0],
        partner=ids[1],
        ratio=mixture.ratio,
        seconds=len(mixture.samples) / anchor.sample_rate,
        tempo_ratio=tempo_ratio(anchor, partner) if has_beats else None,
        downbeat_error_ms=error,
        level_difference_db=rms_dbfs(mixture.first) - rms_dbfs(mixture.second),
        caption=caption,
    )


def distribution(pairs: Sequence[MixedPair]) -> dict[str, dict[str, float]]:
    """Percentiles of every measurement; tempo ratio and level difference without their sign."""
    columns = {
        "seconds": [pair.seconds for pair in pairs],
        "ratio": [pair.ratio for pair in pairs],
        "tempo ratio": [max(r, 1 / r) for p in pairs if (r := p.tempo_ratio) is not None],
        "downbeat error (ms)": [
            pair.downbeat_error_ms for pair in pairs if pair.downbeat_error_ms is not None
        ],
        "level difference (dB)": [abs(pair.level_difference_db) for pair in pairs],
    }
    return {
        name: {f"p{p}": float(np.percentile(values, p)) for p in PERCENTILES}
        for name, values in columns.items()
        if values
    }
