"""What an embedder is: fixed windows in, vectors out, and a name that says which weights.

Windows are placed here and deterministically, since several published models crop long clips at
random: a clip longer than a window is cut every `hop_s`, a remainder of a second or more is
kept, and what is shorter than a window is repeated whole and zero-padded.
"""

import hashlib
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from musicgen_ldm.audio import FloatArray
from musicgen_ldm.models.clap import MIN_TAIL_S

WINDOW_S = 10.0  # what CLAP, AST, PANNs and PaSST were trained on


@dataclass(frozen=True)
class Features:
    """What one clip or one batch of windows becomes.

    Attributes:
        frames: (W, F, D) float32, F vectors a window, unnormalised.
        logits: (W, C) float32 of a classifier of exclusive classes or of AudioSet, else None.
        tags: (W, I) float32 logits of instruments, present above 0, else None.
        traits: (W, R) float32 logits of other yes-or-no attributes, else None.
    """

    frames: FloatArray
    logits: FloatArray | None = None
    tags: FloatArray | None = None
    traits: FloatArray | None = None

    def arrays(self) -> dict[str, FloatArray]:
        """The parts that are there, by name."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: part for name, part in parts.items() if part is not None}


@runtime_checkable
class Embedder(Protocol):
    """A frozen model with its conventions.

    Attributes:
        name: Part of every metric's name, e.g. "clap-pocket".
        identity: Hash of weights and preprocessing; part of the cache key.
        sample_rate: Hz that windows must have.
        window_s: Length of a window.
        hop_s: From window to window.
        dim: D.
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    @property
    def identity(self) -> str:
        """See above."""
        ...

    @property
    def sample_rate(self) -> int:
        """See above."""
        ...

    @property
    def window_s(self) -> float:
        """See above."""
        ...

    @property
    def hop_s(self) -> float:
        """See above."""
        ...

    @property
    def dim(self) -> int:
        """See above."""
        ...

    def __call__(self, windows: FloatArray) -> Features:
        """Features of windows (W, T) in [-1, 1] at `sample_rate`."""
        ...


@runtime_checkable
class TextEmbedder(Embedder, Protocol):
    """An embedder that also reads sentences."""

    def text(self, sentences: list[str]) -> FloatArray:
        """Unit embeddings (n, D)."""
        ...


@runtime_checkable
class AttributeEmbedder(Embedder, Protocol):
    """An embedder whose logits are genres, with instruments as tags, and traits."""

    @property
    def genres(self) -> tuple[str, ...]:
        """Names of the C classes."""
        ...

    @property
    def instruments(self) -> tuple[str, ...]:
        """Names of the I tags."""
        ...

    @property
    def traits(self) -> tuple[str, ...]:
        """Names of the R traits, of "drums", "solo" and "electronic"."""
        ...


def cut_windows(samples: FloatArray, embedder: Embedder) -> FloatArray:
    """Windows (W, T) of a mono clip (T',) at the embedder's rate; W is at least 1."""
    size = round(embedder.window_s * embedder.sample_rate)
    hop = round(embedder.hop_s * embedder.sample_rate)
    least = min(size, round(MIN_TAIL_S * embedder.sample_rate))
    starts = [s for s in range(0, len(samples), hop) if len(samples) - s >= least] or [0]
    return np.stack([_filled(samples[start : start + size], size) for start in starts])


def window_starts(num_windows: int, embedder: Embedder) -> list[float]:
    """Where a clip's windows begin, in seconds."""
    hop = round(embedder.hop_s * embedder.sample_rate)
    return [index * hop / embedder.sample_rate for index in range(num_windows)]


def _filled(part: FloatArray, size: int) -> FloatArray:
    if len(part) == size:
        return part
    repeated = np.tile(part, size // len(part))
    return np.pad(repeated, (0, size - len(repeated)))


def identify(*parts: object) -> str:
    """A short hash of everything that an embedding depends on."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def clip_vector(features: Features) -> npt.NDArray[np.float64]:
    """One vector (D,) a clip: the mean of all frames before any normalising."""
    mean: npt.NDArray[np.float64] = features.frames.astype(np.float64).mean(axis=(0, 1))
    return mean
