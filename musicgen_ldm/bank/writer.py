"""Writing a bank: shards first, the index that names them last."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_ldm.bank.reader import (
    INDEX_FILE,
    SCHEMA_VERSION,
    Bank,
    Entry,
    track_hash,
    track_of,
)
from musicgen_ldm.errors import MetricError, OutputError
from musicgen_ldm.whole_file import whole_file

SHARD_ROWS = 2**17  # 128 MB a shard at D = 512


def build(
    folder: str | Path,
    rows: Iterable[tuple[npt.ArrayLike, Mapping[str, Any]]],
    *,
    embedder: str,
    identity: str,
    dim: int,
    overwrite: bool = False,
) -> Bank:
    """Write a bank from (embedding (D,), entry) pairs, streamed shard by shard.

    Args:
        folder: Created if it does not exist.
        rows: Pairs; an entry needs `id`.
        embedder: Name of the embedder.
        identity: Hash of its weights and preprocessing.
        dim: D.
        overwrite: Replace a bank that is already there.

    Raises:
        OutputError: If the folder holds a bank and `overwrite` is off.
        MetricError: If an embedding or entry is unusable.
    """
    folder = Path(folder)
    if (folder / INDEX_FILE).exists() and not overwrite:
        raise OutputError(f"{folder}: is a bank; extend it, or pass --overwrite to replace it")
    folder.mkdir(parents=True, exist_ok=True)
    empty = Bank(folder, embedder, identity, dim, ())
    return _commit(empty, list(_write_shards(folder, rows, dim, number=_next_number(folder))))


def extend(bank: Bank, rows: Iterable[tuple[npt.ArrayLike, Mapping[str, Any]]]) -> Bank:
    """Add the (embedding, entry) pairs that the bank lacks; returns the bank with the new shards.

    A row is the same window of the same file, or of the same id where no hash is known.

    Raises:
        MetricError: If an embedding or entry is unusable, or an id is already that of another clip.
    """
    ids, held = set(), set()
    for entry in bank.all_entries():
        ids.add(track_hash(entry["id"]))
        held.add(_row_hash(entry))

    def lacking() -> Iterator[tuple[npt.ArrayLike, Mapping[str, Any]]]:
        for embedding, entry in rows:
            if _row_hash(entry) in held:
                continue
            if track_hash(str(entry.get("id"))) in ids:
                raise MetricError(
                    f"{bank.folder}: holds another clip called {entry['id']}; prune it first, or "
                    "rename the new one"
                )
            yield embedding, entry

    added = _write_shards(bank.folder, lacking(), bank.dim, number=_next_number(bank.folder))
    return _commit(bank, [*bank.shards, *added])


def _row_hash(entry: Mapping[str, Any]) -> int:
    """A stable 64-bit number for what a row was made from."""
    sound = entry.get("sha256") or entry.get("id")
    return track_hash(repr((sound, entry.get("start_s"), entry.get("window_s"))))


def prune(bank: Bank, tracks: Sequence[str]) -> tuple[Bank, int]:
    """Remove every row of the named tracks or clip ids.

    Args:
        bank: Stays usable until the replacement is complete.
        tracks: Track names, file hashes or clip ids.

    Returns:
        The remaining bank and how many rows were removed.

    Raises:
        MetricError: If a name matches nothing, so that a typo is not mistaken for a removal.
    """
    wanted, unseen, is_pruned = frozenset(tracks), set(tracks), []
    for entry in bank.all_entries():
        names = wanted & {track_of(entry), entry["id"]}
        unseen -= names
        is_pruned.append(bool(names))
    if unseen:
        raise MetricError(f"the bank holds no {', '.join(sorted(unseen))}; nothing was removed")
    number, first, shards = _next_number(bank.folder), 0, []
    for name, count in bank.shards:
        kept = [row for row in range(first, first + count) if not is_pruned[row]]
        first += count
        if len(kept) == count:
            shards.append((name, count))
            continue
        pairs = zip(bank.rows(kept), bank.entries(kept), strict=True)
        written = list(_write_shards(bank.folder, pairs, bank.dim, number=number))
        shards.extend(written)
        number += len(written)
    return _commit(bank, shards), sum(is_pruned)


def _next_number(folder: Path) -> int:
    numbers = [int(path.stem.split("-")[1]) for path in folder.glob("shard-*.jsonl")]
    return max(numbers, default=-1) + 1


def _write_shards(
    folder: Path, rows: Iterable[tuple[npt.ArrayLike, Mapping[str, Any]]], dim: int, *, number: int
) -> Iterator[tuple[str, int]]:
    stream = iter(rows)
    while chunk := list(islice(stream, SHARD_ROWS)):
        name = f"shard-{number:06d}"
        entries = [dict(entry) for _, entry in chunk]
        matrix = _unit_half([embedding for embedding, _ in chunk], entries, dim)
        np.save(folder / f"{name}.npy", matrix)
        hashes = np.array([track_hash(track_of(entry)) for entry in entries], dtype=np.int64)
        np.save(folder / f"{name}.tracks.npy", hashes)
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
        yield name, len(chunk)
        number += 1


def _unit_half(
    embeddings: Sequence[npt.ArrayLike], entries: Sequence[Entry], dim: int
) -> npt.NDArray[np.float16]:
    for embedding, entry in zip(embeddings, entries, strict=True):
        if "id" not in entry:
            raise MetricError(f"a bank entry lacks an id: {json.dumps(entry)[:80]}")
        vector = np.asarray(embedding)
        if vector.shape != (dim,) or not np.isfinite(vector).all() or not vector.any():
            raise MetricError(
                f"{entry['id']}: embedding of shape {vector.shape} must be ({dim},), "
                "finite and not zero; remove that clip"
            )
    matrix = np.asarray(embeddings, dtype=np.float32)
    unit: npt.NDArray[np.float16] = (
        matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    ).astype(np.float16)  # fmt: skip
    return unit


def _commit(bank: Bank, shards: Sequence[tuple[str, int]]) -> Bank:
    """Name the shards in `bank.json`, then delete the files it no longer names."""
    record = {
        "schema": SCHEMA_VERSION,
        "embedder": bank.embedder,
        "identity": bank.identity,
        "dim": bank.dim,
        "rows": sum(rows for _, rows in shards),
        "shards": [{"name": name, "rows": rows} for name, rows in shards],
    }
    with whole_file(bank.folder / INDEX_FILE) as partial:
        partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    named = {name for name, _ in shards}
    for path in bank.folder.glob("shard-*"):
        if path.name.split(".")[0] not in named:
            path.unlink()
    return Bank(bank.folder, bank.embedder, bank.identity, bank.dim, tuple(shards))
