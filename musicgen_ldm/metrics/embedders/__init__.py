"""Embedders: frozen models that turn fixed windows of sound into vectors."""

from musicgen_ldm.metrics.embedders.base import (
    AttributeEmbedder,
    Embedder,
    Features,
    TextEmbedder,
    clip_vector,
    cut_windows,
    window_starts,
)
from musicgen_ldm.metrics.embedders.excerpts import Excerpts
from musicgen_ldm.metrics.embedders.registry import load_embedder, load_embedders

__all__ = [
    "AttributeEmbedder",
    "Embedder",
    "Excerpts",
    "Features",
    "TextEmbedder",
    "clip_vector",
    "cut_windows",
    "load_embedder",
    "load_embedders",
    "window_starts",
]
