"""What is deleted when it is old or when all is too much: takes and the sounds they came from."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from musicgen_ldm.ui.library import Library

DAY_S = 86_400
UNUSED_S = DAY_S  # a sound that no record names is deleted after so long; one may be on its way


@dataclass(frozen=True)
class Item:
    """A take or a sound on disk.

    Attributes:
        path: Its file.
        library: Whose it is.
        used_s: When it was last written or used, seconds since the epoch.
        size: Bytes.
        is_kept: Whether it is a favourite, or one was made from it.
        is_due: Whether it is too old to be kept for any other reason.
    """

    path: Path
    library: Library
    used_s: float
    size: int
    is_kept: bool
    is_due: bool


def prune(outputs: Path, *, keep_days: float, keep_mb: float) -> int:
    """Delete old files, then the oldest ones until all fit into `keep_mb`.

    Favourites and the sounds that they were made from stay. A sound goes with the last take that
    was made from it, or before its takes where room is needed.

    Returns:
        How many takes and sounds were deleted.
    """
    libraries = [Library(path) for path in outputs.glob("*") if path.is_dir()]
    items = [item for library in libraries for item in _items(library, keep_days * DAY_S)]
    total = sum(item.size for item in items)
    # What is due goes in any case, and may make room for the rest.
    deletable = sorted(
        (item for item in items if not item.is_kept),
        key=lambda item: (not item.is_due, item.used_s),
    )
    deleted = 0
    for item in deletable:
        if not item.is_due and total <= round(keep_mb * 1e6):
            break
        item.library.remove(item.path)
        total -= item.size
        deleted += 1
    return deleted


def _items(library: Library, keep_s: float) -> Iterator[Item]:
    favourites, now = library.favourites(), time.time()
    takes = {path: (path.stem in favourites, keep_s) for path in library.files()}
    sounds = {
        path: (bool(users & favourites), float("inf") if users else UNUSED_S)
        for path, users in library.sources().items()
    }
    for path, (is_kept, most_s) in (takes | sounds).items():
        try:
            status = path.stat()
        except FileNotFoundError:
            continue  # its owner has just deleted it
        used_s = status.st_mtime
        yield Item(path, library, used_s, status.st_size, is_kept, now - used_s > most_s)
