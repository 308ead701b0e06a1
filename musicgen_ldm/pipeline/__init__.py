"""From a request to ranked takes."""

from musicgen_ldm.pipeline.musicldm import MusicLDM
from musicgen_ldm.pipeline.takes import Take

__all__ = ["MusicLDM", "Take"]
