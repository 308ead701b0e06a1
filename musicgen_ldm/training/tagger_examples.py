"""Examples of the `tagger` stage: spectrograms of clips and what is known to be in them.

Letters: N frames, M mel bins, I instruments, G genres, K tempo bins, R traits. An unknown genre
or tempo is a row of zeros, an unknown trait NaN, and a clip without listed instruments a row of
zeros; none of them adds to the loss.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from musicgen_ldm.audio import FloatArray
from musicgen_ldm.config.tagger_training import TAGGER_MEL, TaggerStageConfig
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.feature_store import FeatureCache, Features, FeatureStore, clip_key
from musicgen_ldm.data.loading import Example
from musicgen_ldm.data.manifest import Clip
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.errors import TrainingError
from musicgen_ldm.models.tagger import Vocabulary, tagger_mel, tempo_bin

TRAITS = ("drums", "solo", "electronic")
DB_PER_NEPER = 20 / float(np.log(10))  # mels are natural logarithms of magnitudes


def find_vocabulary(clips: Sequence[Clip], config: TaggerStageConfig) -> Vocabulary:
    """Instruments and genres that at least `config.min_clips` clips have, sorted.

    A trait is kept if so many clips have it and so many are known not to.

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
    answers = Counter(item for clip in clips for item in traits_of(clip).items())
    traits = tuple(
        name
        for name in TRAITS
        if min(answers[name, True], answers[name, False]) >= config.min_clips
    )
    return Vocabulary(instruments=kept[0], genres=kept[1], traits=traits, tempo=config.tempo)


def traits_of(clip: Clip) -> dict[str, bool]:
    """What the facts of a clip of the built-in corpus say: "drums", "solo", "electronic".

    Empty for any other clip. Music of two pieces is judged as a whole, so it is left out.
    """
    facts = clip.extra.get("facts")
    if not facts or "sequence" in clip.extra:
        return {}
    kind = facts["kind"]
    return {
        "drums": bool(facts["has_drums"]),
        "solo": kind == "solo",
        "electronic": kind == "electronic",
    }


def targets(clip: Clip, vocabulary: Vocabulary) -> dict[str, FloatArray]:
    """Targets of one clip: instruments (I,), genre (G,), tempo (K,), traits (R,)."""
    tags, known = clip.tags, traits_of(clip)
    tempo = np.zeros(vocabulary.tempo.count)
    if tags.bpm is not None:
        tempo[tempo_bin(tags.bpm, vocabulary.tempo)] = 1
    rows = {
        "instruments": [name in tags.instruments for name in vocabulary.instruments],
        "genre": [name == tags.genre for name in vocabulary.genres],
        "tempo": tempo,
        "traits": [known.get(name, np.nan) for name in vocabulary.traits],
    }
    return {name: np.asarray(row, dtype=np.float32) for name, row in rows.items()}


class TaggedClips:
    """Spectrograms with the targets of their clips.

    Args:
        clips: Source of waveforms; its `num_samples` is the length of an example.
        vocabulary: Of the targets.
        store: Where spectrograms of whole clips are kept, or None.
        tilt_db: Largest random tilt of a training example.
        training: Draw window and tilt; otherwise the clip's beginning as it is.
    """

    def __init__(
        self,
        clips: ClipDataset,
        vocabulary: Vocabulary,
        store: FeatureStore | None = None,
        *,
        tilt_db: float = 0.0,
        training: bool = False,
    ) -> None:
        self.clips = clips
        self.vocabulary = vocabulary
        self.tilt = tilt_db / DB_PER_NEPER
        self.training = training
        self.num_frames = clips.num_samples // TAGGER_MEL.hop_length
        self.cache: FeatureCache | None = None
        if store is not None:
            keys = [clip_key(clip) for clip in clips.clips]
            self.cache = FeatureCache(store, keys, self._compute)

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.clips)

    def __getitem__(self, ref: ClipRef) -> Example:
        """`{"id", "mel": (1, N, M), "instruments", "genre", "tempo", "traits"}`.

        Raises:
            AudioError: If the clip cannot be read or is silent.
        """
        clip = self.clips.clips[ref.index]
        mel = self._drawn(ref) if self.training else self._whole(ref.index)[: self.num_frames]
        missing = self.num_frames - len(mel)
        mel = np.pad(mel, [(0, missing), (0, 0)], constant_values=np.log(TAGGER_MEL.floor))
        return {"id": clip.id, "mel": mel[None], **targets(clip, self.vocabulary)}

    def _drawn(self, ref: ClipRef) -> FloatArray:
        """A random window (N, M) in a random colour."""
        rng = np.random.default_rng((self.clips.seed, ref.epoch, ref.index))
        whole = self._whole(ref.index)
        start = int(rng.integers(max(0, len(whole) - self.num_frames) + 1))
        slope = rng.uniform(-self.tilt, self.tilt) / 2
        colour = slope * np.linspace(-1, 1, TAGGER_MEL.num_bins, dtype=np.float32)
        return whole[start : start + self.num_frames] + colour.astype(np.float32)

    def _whole(self, index: int) -> FloatArray:
        features = self._compute(index) if self.cache is None else self.cache[index]
        whole: FloatArray = features["mel"].float().numpy()
        return whole

    def _compute(self, index: int) -> Features:
        samples = torch.from_numpy(self.clips.whole(self.clips.clips[index]))
        return {"mel": tagger_mel(samples[None])[0, 0].half()}
