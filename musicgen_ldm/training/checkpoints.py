"""Checkpoint folders that exist whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from musicgen_ldm.errors import TrainingError, is_full_disk

PARTIAL = ".partial"


class CheckpointStore:
    """The newest checkpoints of a run, in folders named `step-00001000`.

    Args:
        folder: Where they lie.
        keep: How many stay.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self.keep = keep

    def path(self, step: int) -> Path:
        """Folder of the checkpoint after `step` steps."""
        return self.folder / f"step-{step:08d}"

    def all(self) -> list[Path]:
        """Finished checkpoints, oldest first."""
        return sorted(p for p in self.folder.glob("step-*") if p.suffix != PARTIAL)

    def latest(self) -> Path | None:
        """The newest finished checkpoint."""
        return self.all()[-1] if self.all() else None

    def begin(self, step: int) -> Path:
        """The folder that the checkpoint of `step` is written to before `commit`."""
        return self.path(step).with_suffix(PARTIAL)

    def commit(self, step: int) -> None:
        """Make the folder of `begin` durable, give it its name, drop the oldest checkpoints."""
        replace_folder(self.begin(step), self.path(step))
        for old in self.all()[: -self.keep]:
            shutil.rmtree(old)

    @contextmanager
    def guarded(self, step: int) -> Iterator[None]:
        """Turn a failed write into an error that names the last good checkpoint."""
        try:
            yield
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(self.begin(step), ignore_errors=True)
            latest = self.latest()
            kept = f"{latest} is intact" if latest else "there is none before it"
            raise TrainingError(
                f"the checkpoint of step {step} cannot be written ({error}); {kept}; "
                "free some space and go on with --resume"
            ) from error

    @contextmanager
    def naming_full_disk(self) -> Iterator[None]:
        """Turn a full disk met elsewhere in the run into an error that says how to go on."""
        try:
            yield
        except OSError as error:
            if not is_full_disk(error):
                raise
            raise TrainingError(
                f"{self.folder.parent}: the disk is full; the newest checkpoint is "
                f"{self.latest()}; free some space and go on with --resume"
            ) from error


def replace_folder(partial: Path, final: Path) -> None:
    """Rename a folder once its bytes are on the disk; an older one of that name goes away."""
    for path in sorted(partial.rglob("*"), reverse=True):
        _sync(path)
    _sync(partial)
    if final.exists():
        outdated = final.with_name(final.name + ".old")
        shutil.rmtree(outdated, ignore_errors=True)  # of a run that was killed two lines below
        os.rename(final, outdated)
        os.rename(partial, final)
        shutil.rmtree(outdated)
    else:
        os.rename(partial, final)
    _sync(final.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
