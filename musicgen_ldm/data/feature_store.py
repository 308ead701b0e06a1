"""Tensors that are computed once: an append-only store of memory-mapped safetensors shards.

The folder's name is a hash of everything the tensors depend on but the clip itself (weights,
signal numbers, seeds), and each entry's key holds a hash of its clip. So nothing stale is ever
read, and two experiments that agree share their features. A shard appears whole or not at all.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from musicgen_ldm.data.manifest import Clip
from musicgen_ldm.errors import MusicGenError, TrainingError

logger = logging.getLogger(__name__)

Features = dict[str, Tensor]

SHARD_SIZE = 64  # entries; a kill loses at most this much work
DIGEST_CHARS = 16


def digest(value: Any) -> str:
    """Short hash of a JSON-like value."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]


def weights_digest(module: nn.Module) -> str:
    """Short hash of all weights and buffers."""
    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()[:DIGEST_CHARS]


def clip_key(clip: Clip, variant: int = 0) -> str:
    """Key of a clip's features; changes with its audio, captions and bar lines."""
    content = (clip.sha256, clip.start_s, clip.duration_s, clip.captions, clip.downbeats_s)
    return f"{clip.id}:{digest(content)}:{variant}"


class FeatureStore:
    """Named tensors per key.

    Args:
        root: Folder of all stores.
        identity: What the tensors depend on, JSON-like.
    """

    def __init__(self, root: str | Path, identity: Mapping[str, Any]) -> None:
        self.folder = Path(root) / digest(identity)
        self.folder.mkdir(parents=True, exist_ok=True)
        description = json.dumps(identity, indent=2, default=str)
        (self.folder / "identity.json").write_text(description + "\n", encoding="utf-8")
        self._shards: list[Path] = []
        self._index: dict[str, tuple[int, int]] = {}  # key -> shard, row
        self._names: list[list[str]] = []  # of each shard's tensors
        self._open: dict[int, Any] = {}
        self.refresh()

    def refresh(self) -> None:
        """Take in shards that other processes have written."""
        known = set(self._shards)
        for path in sorted(self.folder.glob("*.safetensors")):
            if path in known:
                continue
            with safe_open(path, framework="pt") as shard:
                metadata = shard.metadata()
            keys = json.loads(metadata["keys"])
            self._index |= {key: (len(self._shards), row) for row, key in enumerate(keys)}
            self._names.append(json.loads(metadata["names"]))
            self._shards.append(path)

    def __len__(self) -> int:
        """Number of entries."""
        return len(self._index)

    def __contains__(self, key: str) -> bool:
        """Whether there is an entry of that key."""
        return key in self._index

    def __getstate__(self) -> dict[str, Any]:
        """Memory maps stay in the process that opened them."""
        return self.__dict__ | {"_open": {}}

    def write(self, entries: Mapping[str, Features]) -> None:
        """Add one shard; every entry has tensors of the same names."""
        tensors = {
            f"{row}/{name}": tensor.detach().cpu().contiguous()
            for row, features in enumerate(entries.values())
            for name, tensor in features.items()
        }
        path = self.folder / f"{digest(list(entries))}.safetensors"
        partial = path.with_suffix(f".partial-{os.getpid()}")
        names = list(next(iter(entries.values())))
        metadata = {"keys": json.dumps(list(entries)), "names": json.dumps(names)}
        save_file(tensors, partial, metadata=metadata)
        os.replace(partial, path)
        self.refresh()

    def read(self, key: str) -> Features:
        """Tensors of one entry.

        Raises:
            TrainingError: If there is none.
        """
        if key not in self._index:
            raise TrainingError(
                f"{self.folder} has no features of {key.split(':')[0]!r}; the clip could not be "
                "read when they were computed, see `musicgen-ldm prepare --check`"
            )
        number, row = self._index[key]
        if number not in self._open:
            self._open[number] = safe_open(self._shards[number], framework="pt")
        shard = self._open[number]
        return {name: shard.get_tensor(f"{row}/{name}") for name in self._names[number]}


def fill(
    store: FeatureStore,
    wanted: Sequence[str],
    compute: Callable[[Sequence[int]], Iterable[tuple[int, Features]]],
    *,
    batch: int,
    label: str,
) -> None:
    """Compute what is missing; resumable, shared among the processes of a distributed run.

    Args:
        store: Where to.
        wanted: Keys.
        compute: Features of the entries at these positions of `wanted`; positions of clips that
            cannot be used are left out.
        batch: Positions per call of `compute`.
        label: Of the progress bar.
    """
    rank, size = _process()
    missing = [i for i, key in enumerate(wanted) if key not in store][rank::size]
    pending: dict[str, Features] = {}
    with tqdm(total=len(missing), desc=label, disable=rank > 0 or not missing) as progress:
        for start in range(0, len(missing), batch):
            positions = missing[start : start + batch]
            for position, features in compute(positions):
                pending[wanted[position]] = features
            progress.update(len(positions))
            if len(pending) >= SHARD_SIZE:
                store.write(pending)
                pending = {}
    if pending:
        store.write(pending)
    if size > 1:
        dist.barrier()
    store.refresh()


def usable(positions: Sequence[int], read: Callable[[int], Any]) -> list[tuple[int, Any]]:
    """(position, `read(position)`) for all that can be read; the others are logged."""
    found = []
    for position in positions:
        try:
            found.append((position, read(position)))
        except MusicGenError as error:
            logger.warning("no features: %s", error)
    return found


def _process() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
