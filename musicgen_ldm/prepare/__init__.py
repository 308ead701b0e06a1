"""Your own music: from a folder of recordings to a manifest of clips for training."""

from musicgen_ldm.prepare.build import Prepared, prepare
from musicgen_ldm.prepare.doctor import Finding, examine

__all__ = ["Finding", "Prepared", "examine", "prepare"]
