"""Short overlapping excerpts, to find partial copies."""

from dataclasses import dataclass

import numpy as np

from musicgen_ldm.audio import FloatArray
from musicgen_ldm.metrics.embedders.base import Embedder, Features, cut_windows, identify

EXCERPT_S = 3.0  # the length at which listeners were asked to tell copies (Barnett et al. 2024)
EXCERPT_HOP_S = 1.5


@dataclass(frozen=True)
class Excerpts:
    """An embedder applied to excerpts, each repeated to the length that the network knows.

    Attributes:
        inner: The embedder.
    """

    inner: Embedder
    window_s: float = EXCERPT_S
    hop_s: float = EXCERPT_HOP_S

    @property
    def name(self) -> str:
        """The inner name with the length."""
        return f"{self.inner.name}-{self.window_s:g}s"

    @property
    def identity(self) -> str:
        """Changes with the inner embedder and the excerpt's placement."""
        return identify("excerpts-1", self.inner.identity, self.window_s, self.hop_s)

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.inner.sample_rate

    @property
    def dim(self) -> int:
        """D."""
        return self.inner.dim

    def __call__(self, windows: FloatArray) -> Features:
        """Features (W, 1, D) of excerpts (W, T): one vector an excerpt."""
        cut = [cut_windows(excerpt, self.inner) for excerpt in windows]
        frames = self.inner(np.concatenate(cut)).frames.mean(axis=1)  # (all windows, D)
        parts = np.split(frames, np.cumsum([len(part) for part in cut])[:-1])
        return Features(np.stack([part.mean(axis=0) for part in parts])[:, None])
