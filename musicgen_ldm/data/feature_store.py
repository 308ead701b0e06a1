"""Tensors that are computed once: an append-only store of memory-mapped safetensors shards.

The folder's name is a hash of everything the tensors depend on but the clip itself (weights,
signal numbers, seeds), and each entry's key holds a hash of its clip. So nothing stale is ever
read, and two experiments that agree share their features. A shard appears whole or not at all.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn
from tqdm import tqdm

from musicgen_ldm.data.manifest import Clip
from musicgen_ldm.errors import MusicGenError
from musicgen_ldm.whole_file import whole_file

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
        names = list(next(iter(entries.values())))
        metadata = {"keys": json.dumps(list(entries)), "names": json.dumps(names)}
        with whole_file(path) as partial:
            # Unlike `save_file`, a full disk is an OSError with its number.
            partial.write_bytes(save(tensors, metadata))
        self.refresh()

    def read(self, key: str) -> Features:
        """Tensors of one entry, which must be there."""
        number, row = self._index[key]
        if number not in self._open:
            self._open[number] = safe_open(self._shards[number], framework="pt")
        shard = self._open[number]
        return {name: shard.get_tensor(f"{row}/{name}") for name in self._names[number]}


class FeatureCache:
    """Features of numbered items, computed when first asked for and then kept in a store.

    Each item is computed alone and must not depend on when; so a killed run, which loses at most
    the last unfinished shard, computes the same bits again.

    Args:
        store: Where to.
        keys: One for each item.
        compute: Features of an item; raises a `MusicGenError` for one that cannot be used.
    """

    def __init__(
        self, store: FeatureStore, keys: Sequence[str], compute: Callable[[int], Features]
    ) -> None:
        self.store = store
        self.keys = keys
        self.compute = compute
        self._pending: dict[str, Features] = {}

    def __getitem__(self, index: int) -> Features:
        """Features of an item.

        Raises:
            MusicGenError: If it cannot be used.
        """
        key = self.keys[index]
        if key in self._pending:
            return self._pending[key]
        if key not in self.store:
            self.store.refresh()  # another process may have been faster
        if key in self.store:
            return self.store.read(key)
        features = self._pending[key] = self.compute(index)
        if len(self._pending) >= SHARD_SIZE:
            self.flush()
        return features

    def flush(self) -> None:
        """Write what is not yet stored."""
        if self._pending:
            self.store.write(self._pending)
            self._pending = {}

    def all(self, indices: Sequence[int], label: str) -> list[Features]:
        """Features of many items under a progress bar; unusable ones are logged and left out."""
        found = list(self._usable(indices, label))
        self.flush()
        return found

    def fill(self, indices: Sequence[int], label: str) -> None:
        """Store the features of many items under a progress bar; unusable ones are logged."""
        for _ in self._usable([i for i in indices if self.keys[i] not in self.store], label):
            pass
        self.flush()

    def num_stored(self) -> int:
        """How many items any process has stored."""
        self.store.refresh()
        return sum(key in self.store for key in self.keys)

    def _usable(self, indices: Sequence[int], label: str) -> Iterator[Features]:
        missing = sum(self.keys[index] not in self.store for index in indices)
        disable = True if missing < SHARD_SIZE else None  # None: drawn on a terminal only
        for index in tqdm(indices, desc=label, disable=disable):
            try:
                yield self[index]
            except MusicGenError as error:
                logger.warning("no features: %s", error)
