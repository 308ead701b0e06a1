"""A content-addressed cache of embeddings and measurements, outside the user's folders.

    <root>/<identity of embedder and preprocessing>/<first two digits>/<sha256 of the file>.npz

The key holds the file's bytes and the embedder's weights, so that an edited file or another
checkpoint never meets a stale entry. Files appear whole or not at all; any number of processes
may share a cache.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from musicgen_ldm.errors import OutputError
from musicgen_ldm.whole_file import whole_file

CACHE_VARIABLE = "MUSICGEN_LDM_CACHE"

Arrays = dict[str, npt.NDArray[Any]]


def default_root() -> Path:
    """`$MUSICGEN_LDM_CACHE`, else the user's cache folder."""
    if CACHE_VARIABLE in os.environ:
        return Path(os.environ[CACHE_VARIABLE])
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "musicgen_ldm" / "features"


@dataclass(frozen=True)
class Cache:
    """Arrays by (identity, content).

    Attributes:
        root: Folder; made when first written to.
    """

    root: Path

    def path(self, identity: str, sha256: str) -> Path:
        """Where an entry lies."""
        return self.root / identity / sha256[:2] / f"{sha256}.npz"

    def read(self, identity: str, sha256: str) -> Arrays | None:
        """An entry, or None if there is none that can be read."""
        path = self.path(identity, sha256)
        if not path.is_file():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
                return dict(data)
        except (OSError, ValueError, EOFError, BadZipFile):
            return None  # cut off by a full disk, say; it is computed and written again

    def write(self, identity: str, sha256: str, arrays: Mapping[str, Any]) -> None:
        """Store an entry.

        Raises:
            OutputError: If the cache cannot be written.
        """
        path = self.path(identity, sha256)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as partial, partial.open("wb") as file:
                np.savez(file, **arrays)
        except OSError as error:
            raise OutputError(
                f"{self.root}: the cache cannot be written ({error.strerror}); "
                f"set {CACHE_VARIABLE} or --cache to a writable folder"
            ) from error
