"""Checkpoint folders: the stock diffusers layout plus `musicgen_ldm.json`.

Every component is saved by its stock class and loads with it, without this package. Only
safetensors are read; a pickle is refused.
"""

from musicgen_ldm.checkpoint.components import Checkpoint, initialise
from musicgen_ldm.checkpoint.reading import load
from musicgen_ldm.checkpoint.writing import identity, save, verify
from musicgen_ldm.checkpoint_folders import known_names, resolve

__all__ = [
    "Checkpoint",
    "identity",
    "initialise",
    "known_names",
    "load",
    "resolve",
    "save",
    "verify",
]
