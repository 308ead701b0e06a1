"""Text-to-music latent diffusion: generate, train, measure.

Importing this package loads neither torch nor transformers; the public names load on first use.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "MusicGenError": "musicgen_ldm.errors",
    "MusicLDM": "musicgen_ldm.pipeline",
    "GenerateRequest": "musicgen_ldm.config.generation",
    "Take": "musicgen_ldm.pipeline",
    "Waveform": "musicgen_ldm.audio",
    "read_audio": "musicgen_ldm.audio",
}

__all__ = ["GenerateRequest", "MusicGenError", "MusicLDM", "Take", "Waveform", "read_audio"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
