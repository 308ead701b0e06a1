"""Files inside tar archives, by paths such as `train-000000.tar/clip-17.flac`.

WebDataset shards are such archives. Members lie in them uncompressed, so one is found by its
offset and read alone: training from shards draws clips in the same order as from single files.
"""

import io
import os
import tarfile
from functools import lru_cache
from pathlib import Path

SUFFIX = ".tar"


def read_member(path: Path) -> io.BytesIO | None:
    """A file in an archive; None if the path leads into no archive, or not to a file of it."""
    archive = next((p for p in path.parents if p.suffix == SUFFIX and p.is_file()), None)
    if archive is None:
        return None
    place = _members(archive, os.stat(archive).st_mtime_ns).get(str(path.relative_to(archive)))
    if place is None:
        return None
    offset, size = place
    with archive.open("rb") as file:
        file.seek(offset)
        return io.BytesIO(file.read(size))


@lru_cache(maxsize=4096)
def _members(archive: Path, _changed: int) -> dict[str, tuple[int, int]]:
    """Offset and size in bytes of every file in an archive; none of a damaged one."""
    try:
        with tarfile.open(archive, "r:") as tar:
            return {m.name: (m.offset_data, m.size) for m in tar if m.isfile()}
    except (tarfile.TarError, OSError):
        return {}
