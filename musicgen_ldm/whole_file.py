"""Files that are there whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial"  # ends the names of files that are being written


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Another path to write to, which takes the place of `path` at the end.

    An error leaves `path` as it was and nothing beside it; a killed process at most a file that
    ends in `PARTIAL`. Processes that write the same file at once do not meet.
    """
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
