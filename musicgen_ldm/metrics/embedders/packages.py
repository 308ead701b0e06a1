"""VGGish, PANNs and PaSST through the packages that own them.

These packages fetch their weights themselves on first use. Nothing of them is imported before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import torch

from musicgen_ldm.audio import FloatArray
from musicgen_ldm.data.feature_store import weights_digest
from musicgen_ldm.errors import MissingExtraError
from musicgen_ldm.metrics.embedders.base import WINDOW_S, Features, identify

VGGISH_PATCH_S = 0.96  # one example of 96 frames of 10 ms
PASST_CLASSES = 527  # AudioSet


@dataclass(frozen=True)
class PackagedEmbedder:
    """A model of another package behind one function.

    Attributes:
        name: "vggish", "panns" or "passt".
        weights: Hash of the weights.
        sample_rate: Hz.
        dim: D.
        compute: Windows (W, T) to features.
    """

    name: str
    weights: str
    sample_rate: int
    dim: int
    compute: Callable[[FloatArray], Features]
    window_s: float = WINDOW_S
    hop_s: float = WINDOW_S

    @property
    def identity(self) -> str:
        """Changes with the weights and the window."""
        return identify(f"{self.name}-1", self.weights, self.sample_rate, self.window_s)

    @torch.no_grad()
    def __call__(self, windows: FloatArray) -> Features:
        """Features of windows (W, T) at `sample_rate`."""
        return self.compute(windows)


def _package(module: str, package: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"this embedder needs {package} ({error}); install it with `pip install {package}`"
        ) from error


def load_vggish(device: str) -> PackagedEmbedder:
    """VGGish without PCA and without its last ReLU, as Fréchet audio distances use it."""
    package = _package("torchvggish", "torchvggish")
    model = package.vggish(postprocess=False).eval().to(device)
    model.embeddings = model.embeddings[:-1]

    def compute(windows: FloatArray) -> Features:
        examples = [package.waveform_to_examples(w.astype(np.float64), 16_000) for w in windows]
        frames = model(torch.cat(examples).detach().to(device)).float().cpu().numpy()
        return Features(frames.reshape(len(windows), -1, frames.shape[-1]))

    # A whole number of patches, so that no window loses a remainder.
    window_s = round(WINDOW_S / VGGISH_PATCH_S) * VGGISH_PATCH_S
    return PackagedEmbedder("vggish", weights_digest(model), 16_000, 128, compute,
                            window_s=window_s + 0.015, hop_s=window_s)  # fmt: skip


def load_panns(device: str) -> PackagedEmbedder:
    """PANNs CNN14: 2048 features and 527 AudioSet classes (Kong et al. 2020)."""
    package = _package("panns_inference", "panns-inference")
    tagger = package.AudioTagging(device="cuda" if device.startswith("cuda") else "cpu")

    def compute(windows: FloatArray) -> Features:
        probabilities, frames = tagger.inference(windows)
        # The package returns sigmoid outputs; float32 saturates, so keep the logits finite.
        safe = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
        return Features(frames[:, None], np.log(safe / (1 - safe)).astype(np.float32))

    return PackagedEmbedder("panns", weights_digest(tagger.model), 32_000, 2048, compute)


def load_passt(device: str) -> PackagedEmbedder:
    """PaSST: 768 features and 527 AudioSet classes (Koutini et al. 2022)."""
    package = _package("hear21passt.base", "hear21passt")
    model: Any = package.get_basic_model(mode="all").eval().to(device)

    def compute(windows: FloatArray) -> Features:
        both = model(torch.from_numpy(windows).to(device)).float().cpu().numpy()
        return Features(both[:, None, PASST_CLASSES:], both[:, :PASST_CLASSES])

    return PackagedEmbedder("passt", weights_digest(model), 32_000, 768, compute)
