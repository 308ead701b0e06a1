"""Clips mixed with partners of their tempo, as training examples."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from musicgen_ldm.audio import FloatArray, fit_length, read_audio
from musicgen_ldm.config.mixup import MixupConfig
from musicgen_ldm.data.clips import ClipDataset, normalise_peak, random_crop
from musicgen_ldm.data.manifest import Clip
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.errors import AudioError
from musicgen_ldm.mixup.mix import Mixture, beat_mixup, merge_captions, mix_tracks
from musicgen_ldm.mixup.pairs import PartnerGroups, group_key
from musicgen_ldm.mixup.sync import Track


class MixedClipDataset:
    """Wraps a `ClipDataset`: some examples become mixtures, the others stay what they are.

    Under "plain" and "bam" the waveform is the mixture. Under "blm" it stays the clip, and
    `first`, `second` and `ratio` say what the training step has to mix in latent space.

    Args:
        clips: Source of the clips, their rate, length, peak and seed.
        config: Kind of mixup and its switches.
    """

    def __init__(self, clips: ClipDataset, config: MixupConfig) -> None:
        self.source = clips
        self.config = config
        self.groups = PartnerGroups(
            [
                group_key(clip.beats_s, clip.downbeats_s, config, clip.beats_confidence)
                for clip in clips.clips
            ],
            [clip.recording for clip in clips.clips],
        )

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.source)

    def __getitem__(self, ref: ClipRef) -> dict[str, Any]:
        """One example, always the same for the same `ref`.

        Returns:
            `id`, `waveform` (T,), `captions` (all that are true of it), `mixed`; for "blm" also
            `first`, `second` (T,) and `ratio`.

        Raises:
            AudioError: If the clip is missing, corrupt or silent.
        """
        clip = self.source.clips[ref.index]
        rng = np.random.default_rng((self.source.seed, ref.epoch, ref.index))
        partner = self.draw_partner(ref.index, rng)
        mixture = None if partner is None else self.mixture(clip, partner, rng)
        captions = list(clip.captions)
        if partner is not None and mixture is not None and self.config.merge_captions:
            captions = merged_captions(captions, partner.captions, mixture.ratio)
        example = {"id": clip.id, "captions": captions, "mixed": mixture is not None}
        if self.config.kind == "blm":
            crop = self._crop(self.source.whole(clip), rng)
            return example | {"waveform": crop} | self._halves(crop, mixture)
        whole = self.source.whole(clip) if mixture is None else mixture.samples
        return example | {"waveform": self._crop(whole, rng)}

    def draw_partner(self, index: int, rng: np.random.Generator) -> Clip | None:
        """Partner of a clip, or None where it is to stay alone."""
        if self.config.kind == "none" or rng.random() >= self.config.probability:
            return None
        partner = self.groups.partner(index, rng)
        return None if partner is None else self.source.clips[partner]

    def mixture(self, clip: Clip, partner: Clip, rng: np.random.Generator) -> Mixture | None:
        """Two raw clips mixed and normalised; under "blm" each half is, as their latents meet.

        Returns:
            None where the clip has to stay alone: the bars cannot be aligned, a stretch is
            silent, or the partner cannot be read. The last is not the clip's fault, and the
            partner is counted as unusable when its own turn comes.

        Raises:
            AudioError: If the clip itself is missing or corrupt.
        """
        anchor = self.track(clip)
        try:
            mixture = mix_tracks(anchor, self.track(partner), self.config, rng)
            return None if mixture is None else self._normalised(mixture)
        except AudioError:
            return None

    def _normalised(self, mixture: Mixture) -> Mixture:
        peak = self.source.peak
        if self.config.kind != "blm":
            return replace(mixture, samples=normalise_peak(mixture.samples, peak))
        if self.config.match_energy:  # one gain for both, or the match would be undone
            first, second = normalise_peak(np.stack([mixture.first, mixture.second]), peak)
        else:
            first, second = (normalise_peak(x, peak) for x in (mixture.first, mixture.second))
        samples = beat_mixup(first, second, mixture.ratio)
        return replace(mixture, samples=samples, first=first, second=second)

    def track(self, clip: Clip) -> Track:
        """A whole clip at its own level (the reference mixes before it normalises).

        Raises:
            AudioError: If the file is missing or corrupt.
        """
        waveform = read_audio(
            self.source.root / clip.path,
            sample_rate=self.source.sample_rate,
            start_s=clip.start_s,
            duration_s=clip.duration_s,
        )
        return Track(waveform.mono, waveform.sample_rate, clip.beats_s, clip.downbeats_s)

    def _crop(self, samples: FloatArray, rng: np.random.Generator) -> FloatArray:
        return random_crop(samples, self.source.num_samples, rng)

    def _halves(self, alone: FloatArray, mixture: Mixture | None) -> dict[str, Any]:
        """Both halves of a latent mixture from their shared beginning."""
        if mixture is None:
            return {"first": alone, "second": alone, "ratio": 1.0}
        first, second = (
            fit_length(part, self.source.num_samples) for part in (mixture.first, mixture.second)
        )
        return {"first": first, "second": second, "ratio": mixture.ratio}


def merged_captions(first: Sequence[str], second: Sequence[str], ratio: float) -> list[str]:
    """Each caption of the anchor with one of the partner's, or what there is."""
    if not (first and second):
        return list(first or second)
    return [
        merge_captions(caption, second[i % len(second)], ratio) for i, caption in enumerate(first)
    ]
