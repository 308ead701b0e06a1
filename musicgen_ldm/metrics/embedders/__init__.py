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
from musicgen_ldm.metrics.embedders.registry import KINDS, PUBLISHED, load_embedder

__all__ = [
    "KINDS",
    "PUBLISHED",
    "AttributeEmbedder",
    "Embedder",
    "Excerpts",
    "Features",
    "TextEmbedder",
    "clip_vector",
    "cut_windows",
    "load_embedder",
    "window_starts",
]
