"""Opening a bank and searching it; embeddings stay on disk."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from musicgen_ldm.errors import MetricError

INDEX_FILE = "bank.json"
SCHEMA_VERSION = 1
BLOCK_ROWS = 2**13  # rows of a search block: 16 MB in float32 at D = 512
BLOCK_QUERIES = 2**10  # 32 MB of scores, and 115 MB of candidates at D = 512 and k = 20
ROWS_A_CLIP = 4  # searched for each clip that is wanted: several may be windows of one clip
SPARE = 8  # extra candidates kept through the float32 pass, for the exact re-ranking

Entry = dict[str, Any]
FloatMatrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Neighbour:
    """One training clip near a query.

    Attributes:
        similarity: Cosine.
        row: Of the bank.
        entry: What is known of the clip: id, track, captions, licence, attribution, …
        query: Which of the queries it was found for.
    """

    similarity: float
    row: int
    entry: Entry
    query: int


def best_of_clips(found: Iterable[Neighbour], count: int) -> list[Neighbour]:
    """The best match of each training clip, most similar first, `count` at most.

    Args:
        found: For all windows of one sound, `ROWS_A_CLIP` times as many as clips are wanted.
        count: Clips that are wanted.
    """
    best: dict[str, Neighbour] = {}
    for neighbour in sorted(found, key=lambda n: (-n.similarity, n.row)):
        best.setdefault(neighbour.entry["id"], neighbour)
    return list(best.values())[:count]


def track_of(entry: Mapping[str, Any]) -> str:
    """The recording an entry was cut from: its `track`, else its file's hash, else its id."""
    return str(entry.get("track") or entry.get("sha256") or entry["id"])


def track_hash(track: str) -> int:
    """A stable 64-bit number for a track name."""
    digest = hashlib.blake2b(track.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


@dataclass(frozen=True)
class Bank:
    """An open bank; embeddings stay on disk.

    Attributes:
        folder: Where it is.
        embedder: Name of the embedder that made it; queries must come from the same.
        identity: Hash of that embedder's weights and preprocessing.
        dim: D.
        shards: (name, rows) in order.
    """

    folder: Path
    embedder: str
    identity: str
    dim: int
    shards: tuple[tuple[str, int], ...]

    @classmethod
    def open(cls, folder: str | Path) -> "Bank":
        """Open a bank without reading its rows.

        Raises:
            MetricError: If the folder is not a bank, or a shard is missing.
        """
        folder = Path(folder)
        index = folder / INDEX_FILE
        if not index.is_file():
            raise MetricError(
                f"{folder}: holds no {INDEX_FILE}; `musicgen-ldm novelty bank build` makes a bank"
            )
        try:
            record = json.loads(index.read_text(encoding="utf-8"))
            shards = tuple((shard["name"], shard["rows"]) for shard in record.get("shards", ()))
        except (ValueError, AttributeError, TypeError, KeyError) as error:
            raise MetricError(f"{index}: is damaged ({error}); copy the bank again") from error
        if record.get("schema") != SCHEMA_VERSION:
            raise MetricError(
                f"{index}: schema {record.get('schema')}, this version reads {SCHEMA_VERSION}; "
                "build the bank again"
            )
        for name, _ in shards:
            if not (folder / f"{name}.npy").is_file():
                raise MetricError(f"{folder}: shard {name}.npy is missing; copy the bank again")
        return cls(folder, record["embedder"], record["identity"], record["dim"], shards)

    def __len__(self) -> int:
        """Number of rows."""
        return sum(rows for _, rows in self.shards)

    def blocks(self, rows: int = BLOCK_ROWS) -> Iterator[tuple[int, npt.NDArray[np.float16]]]:
        """(first row, embeddings (≤ rows, D)) over the whole bank, memory-mapped."""
        first = 0
        for name, count in self.shards:
            shard = np.load(self.folder / f"{name}.npy", mmap_mode="r")
            for start in range(0, count, rows):
                yield first + start, shard[start : start + rows]
            first += count

    def tracks(self) -> npt.NDArray[np.int64]:
        """Track hash of every row, (rows,)."""
        parts = [np.load(self.folder / f"{name}.tracks.npy") for name, _ in self.shards]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def rows(self, rows: npt.ArrayLike) -> FloatMatrix:
        """The stored embeddings of the given rows, (n, D) float32."""
        wanted = np.asarray(rows, dtype=np.int64).ravel()
        found = np.empty((len(wanted), self.dim), dtype=np.float32)
        first = 0
        for name, count in self.shards:
            inside = np.flatnonzero((wanted >= first) & (wanted < first + count))
            if len(inside):
                shard = np.load(self.folder / f"{name}.npy", mmap_mode="r")
                found[inside] = shard[wanted[inside] - first]
            first += count
        return found

    def entries(self, rows: Iterable[int]) -> list[Entry]:
        """The entries of the given rows; only their lines are parsed."""
        found, first = {}, 0
        wanted = list(rows)
        for name, count in self.shards:
            inside = [row for row in set(wanted) if first <= row < first + count]
            if inside:
                path = self.folder / f"{name}.jsonl"
                offsets = _line_offsets(str(path), path.stat().st_mtime_ns)
                with path.open("rb") as file:
                    for row in inside:
                        file.seek(offsets[row - first])
                        found[row] = json.loads(file.readline())
            first += count
        return [found[row] for row in wanted]

    def all_entries(self) -> Iterator[Entry]:
        """Every entry, in row order."""
        for name, _ in self.shards:
            with (self.folder / f"{name}.jsonl").open(encoding="utf-8") as lines:
                yield from map(json.loads, lines)

    def nearest(
        self, queries: npt.ArrayLike, k: int = 1, *, device: str | torch.device = "cpu"
    ) -> list[list[Neighbour]]:
        """The k nearest training clips of each query (Q, D), best first."""
        similarities, rows = self.search(queries, k, device=device)
        entries = dict(zip(rows.ravel().tolist(), self.entries(rows.ravel().tolist()),
                           strict=True))  # fmt: skip
        return [
            [Neighbour(float(s), int(r), entries[int(r)], q) for s, r in zip(*pair, strict=True)]
            for q, pair in enumerate(zip(similarities, rows, strict=True))
        ]

    def search(
        self,
        queries: npt.ArrayLike,
        k: int,
        *,
        exclude_tracks: npt.ArrayLike | None = None,
        device: str | torch.device = "cpu",
        block_rows: int = BLOCK_ROWS,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Exact k nearest rows of each query by cosine.

        Args:
            queries: (Q, D), any length above zero.
            k: Neighbours a query; at most the number of rows.
            exclude_tracks: (Q,) track hash that each query must not match: its own recording
                when the bank is compared with itself.
            device: Where the blocks are multiplied.
            block_rows: Rows in memory at a time.

        Returns:
            Cosines (Q, k) in falling order and their rows (Q, k). A place that exclusion leaves
            empty holds -inf and row -1.

        Raises:
            MetricError: If the queries do not fit the bank.
        """
        unit = self._queries(queries, k)
        keep = min(k + SPARE, len(self))
        own = None if exclude_tracks is None else np.asarray(exclude_tracks, dtype=np.int64)
        tracks = None if own is None else self.tracks()
        on_device = torch.from_numpy(unit).to(device)
        best = torch.full((len(unit), keep), -torch.inf, device=device)
        rows = torch.full((len(unit), keep), -1, dtype=torch.int64, device=device)
        parts = [slice(q, q + BLOCK_QUERIES) for q in range(0, len(unit) or 1, BLOCK_QUERIES)]
        for first, block in self.blocks(block_rows):
            columns = torch.from_numpy(np.array(block)).to(device).float().T
            for part in parts:
                scores = on_device[part] @ columns
                if own is not None and tracks is not None:
                    _mask_tracks(scores, own[part], tracks[first : first + len(block)])
                best[part], rows[part] = _keep_best(best[part], rows[part], scores, first)
        exact = [
            self._rerank(unit[part], best[part].cpu().numpy(), rows[part].cpu().numpy(), k)
            for part in parts
        ]
        return np.concatenate([s for s, _ in exact]), np.concatenate([r for _, r in exact])

    def _queries(self, queries: npt.ArrayLike, k: int) -> FloatMatrix:
        array = np.asarray(queries, dtype=np.float64)
        if array.ndim != 2 or array.shape[1] != self.dim:
            raise MetricError(
                f"queries have shape {array.shape}, the bank needs (Q, {self.dim}); "
                f"embed them with {self.embedder}"
            )
        if not 1 <= k <= len(self):
            raise MetricError(f"k is {k}, must be 1 to {len(self)}, the rows of {self.folder}")
        norms = np.linalg.norm(array, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or (norms == 0).any():
            raise MetricError("a query is zero or not finite; remove that clip")
        return (array / norms).astype(np.float32)

    def _rerank(
        self, unit: FloatMatrix, best: FloatMatrix, rows: npt.NDArray[np.int64], k: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        # Rounding to float16 changed the stored lengths; dividing by them makes an exact copy 1.
        distinct, where = np.unique(np.maximum(rows, 0), return_inverse=True)
        stored = self.rows(distinct).astype(np.float64)
        stored /= np.linalg.norm(stored, axis=1, keepdims=True)
        exact = np.einsum("qd,qkd->qk", unit.astype(np.float64), stored[where.reshape(rows.shape)])
        exact[np.isneginf(best)] = -np.inf
        rows = np.where(np.isneginf(best), -1, rows)
        order = np.lexsort((rows, -exact), axis=1)[:, :k]  # equal cosines: the earlier row first
        return np.take_along_axis(exact, order, 1), np.take_along_axis(rows, order, 1)


def _mask_tracks(scores: Tensor, own: npt.NDArray[np.int64], tracks: npt.NDArray[np.int64]) -> None:
    for query in np.flatnonzero(np.isin(own, tracks)):
        columns = torch.from_numpy(np.flatnonzero(tracks == own[query])).to(scores.device)
        scores[int(query), columns] = -torch.inf


def _keep_best(best: Tensor, rows: Tensor, scores: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """Merge a block's scores (Q, block) into the running best (Q, keep)."""
    keep = best.shape[1]
    values, columns = scores.topk(min(keep, scores.shape[1]), dim=1)
    merged = torch.cat([best, values], dim=1)
    merged_rows = torch.cat([rows, columns + first], dim=1)
    best, chosen = merged.topk(keep, dim=1)
    return best, merged_rows.gather(1, chosen)


@lru_cache(maxsize=64)
def _line_offsets(path: str, modified_ns: int) -> npt.NDArray[np.int64]:
    """Byte offset of each line; `modified_ns` makes a replaced file miss the cache."""
    offsets = [0]
    with open(path, "rb") as file:
        for line in file:
            offsets.append(offsets[-1] + len(line))
    return np.array(offsets[:-1], dtype=np.int64)
