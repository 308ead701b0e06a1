"""Sounds and captions for contrastive training. Mels are the audio tower's, in decibels."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import ClapFeatureExtractor

from musicgen_ldm.audio import FloatArray
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.facts import answers
from musicgen_ldm.data.feature_store import FeatureCache, Features, FeatureStore, clip_key
from musicgen_ldm.data.hard_negatives import NearMisses
from musicgen_ldm.data.manifest import Clip
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.models.clap import POWER_FLOOR, audio_windows, clap_mel

COMPARED = ("genre", "mood", "tempo", "instrument")  # facts that make two clips alike
SILENCE_DB = 10 * float(np.log10(POWER_FLOOR))


class ClapDataset:
    """One window of each clip, one of its captions, and near misses of that caption.

    Args:
        clips: At the extractor's rate; its `seed` draws windows, captions and negatives.
        extractor: The audio tower's front end.
        store: Keeps whole-clip mels; None computes them in every epoch.
        gain_db: Windows are made louder or softer by at most this much.
        hard_negatives: K.
    """

    def __init__(
        self,
        clips: ClipDataset,
        extractor: ClapFeatureExtractor,
        store: FeatureStore | None = None,
        *,
        gain_db: float = 0.0,
        hard_negatives: int = 0,
    ) -> None:
        self.clips = clips
        self.extractor = extractor
        self.cache: FeatureCache | None = None
        self.gain_db = gain_db
        self.num_negatives = hard_negatives
        self.near_misses = NearMisses.from_clips(clips.clips)
        self.references = TagVectors(clips.clips)
        self.window = extractor.nb_max_samples // extractor.hop_length + 1  # mel frames
        if store is not None:
            keys = [clip_key(clip) for clip in clips.clips]
            self.cache = FeatureCache(store, keys, self._compute)

    def _compute(self, index: int) -> Features:
        return {"mel": torch.from_numpy(self._mel(self.clips.clips[index])).half()}

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.clips)

    def __getitem__(self, ref: ClipRef) -> dict[str, Any]:
        """`{"id", "mel" (1, N, M), "caption", "negatives", "reference" (F,), "clip"}`.

        Raises:
            AudioError: If the clip is missing, corrupt or silent.
        """
        rng = np.random.default_rng((self.clips.seed, ref.epoch, ref.index))
        return self.words(ref.index, rng) | {"mel": self._window(self._whole(ref.index), rng)[None]}

    def words(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """What an example holds besides its sound."""
        clip = self.clips.clips[index]
        caption, negatives = self.near_misses.draw(clip, self.num_negatives, rng)
        return {
            "id": clip.id,
            "caption": caption,
            "negatives": negatives,
            "reference": self.references[clip],
            "clip": clip,
        }

    def first_window(self, index: int) -> FloatArray:
        """Mel (N, M) of a clip's beginning, as loud as it is."""
        return self._whole(index)[: self.window]

    def _whole(self, index: int) -> FloatArray:
        if self.cache is None:
            return self._mel(self.clips.clips[index])
        return self.cache[index]["mel"].float().numpy()

    def _mel(self, clip: Clip) -> FloatArray:
        """Mel (N, M) of a whole clip; one shorter than the window is repeated, as in inference."""
        samples = torch.from_numpy(self.clips.whole(clip))
        if len(samples) < self.extractor.nb_max_samples:
            samples = audio_windows(samples, self.extractor)[0]
        return clap_mel(samples[None], self.extractor)[0, 0].numpy()

    def _window(self, mel: FloatArray, rng: np.random.Generator) -> FloatArray:
        start = int(rng.integers(len(mel) - self.window + 1))
        gain = np.float32(rng.uniform(-self.gain_db, self.gain_db))
        return np.maximum(mel[start : start + self.window] + gain, np.float32(SILENCE_DB))


class EmbeddedClips:
    """Words as `ClapDataset` draws them, and sounds as a frozen audio tower hears them.

    Each sound is embedded once, its first window alone.

    Args:
        source: Of words and spectrograms.
        embed: Unit vectors (B, D) of spectrograms (B, 1, N, M).
        store: Keeps vectors; must be named after the tower.
    """

    def __init__(
        self, source: ClapDataset, embed: Callable[[Tensor], Tensor], store: FeatureStore
    ) -> None:
        self.source = source
        self.clips = source.clips
        self.embed = embed
        keys = [clip_key(clip) for clip in self.clips.clips]
        self.cache = FeatureCache(store, keys, self._compute)

    def _compute(self, index: int) -> Features:
        mel = torch.from_numpy(self.source.first_window(index))
        return {"audio": self.embed(mel[None, None])[0]}

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.source)

    def __getitem__(self, ref: ClipRef) -> dict[str, Any]:
        """`{"id", "audio" (D,), "caption", "negatives", "reference" (F,), "clip"}`.

        Raises:
            AudioError: If the clip is missing, corrupt or silent.
        """
        rng = np.random.default_rng((self.clips.seed, ref.epoch, ref.index))
        return self.source.words(ref.index, rng) | {"audio": self.cache[ref.index]["audio"]}


class TagVectors:
    """Facts as vectors whose cosine says how much two clips have in common.

    Genre, mood, tempo word and the set of instruments count alike.
    """

    def __init__(self, clips: Sequence[Clip]) -> None:
        names = sorted({name for clip in clips for group in _compared(clip) for name in group})
        self._columns = {name: column for column, name in enumerate(names)}

    def __getitem__(self, clip: Clip) -> npt.NDArray[np.float32]:
        """(F,), unit norm per known attribute."""
        vector = np.zeros(len(self._columns) + 1, np.float32)
        vector[-1] = 1e-3  # clips without any tag are alike rather than undefined
        for group in _compared(clip):
            for name in group:
                vector[self._columns[name]] = len(group) ** -0.5
        return vector


def _compared(clip: Clip) -> list[list[str]]:
    return [
        [f"{question}:{name}" for name in right]
        for question, right in answers(clip).items()
        if question in COMPARED
    ]
