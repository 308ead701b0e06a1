"""From training audio to a novelty bank: one row a window, with what is known of its clip."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_ldm import bank as banks
from musicgen_ldm.bank import Bank
from musicgen_ldm.bank.reader import INDEX_FILE
from musicgen_ldm.metrics.analysis import Analysis, Unread, analyse, file_hash, refuse_unread
from musicgen_ldm.metrics.cache import Cache
from musicgen_ldm.metrics.checks import Array
from musicgen_ldm.metrics.clips import Source, open_source
from musicgen_ldm.metrics.embedders import Embedder, window_starts
from musicgen_ldm.metrics.embedders.base import identify
from musicgen_ldm.metrics.presets import V1
from musicgen_ldm.parallel import Workers


def is_bank(path: Path) -> bool:
    """Whether a path is a bank's folder."""
    return (path / INDEX_FILE).is_file()


def trained_files(path: Path) -> set[str]:
    """SHA-256 of every file of a training set, and of the recordings that they were cut from.

    Args:
        path: A bank, a manifest or a folder with one (its train split), or a bare folder.

    Raises:
        MetricError: If there is no audio.
    """
    if is_bank(path):
        entries = Bank.open(path).all_entries()
        return {entry[name] for entry in entries for name in ("sha256", "track") if name in entry}
    source = open_source(path, "train")
    if source.records:
        clips = source.records.values()
        return {clip.sha256 for clip in clips} | {clip.recording for clip in clips}
    return {file_hash(file.path) for file in source.files}


def embed_source(
    source: Source,
    embedders: Sequence[Embedder],
    cache: Cache,
    workers: Workers,
    *,
    allow_unread: bool = False,
) -> tuple[list[Analysis], list[Unread]]:
    """Analyse a source; each file is decoded once for all embedders.

    Raises:
        MetricError: If a file cannot be read and that is not allowed.
    """
    clips, unread = analyse(source.files, embedders, V1, cache, workers)
    refuse_unread(clips, unread, allowed=allow_unread)
    return clips, unread


def window_vectors(clip: Analysis, embedder: Embedder) -> Array:
    """One vector a window of a clip, (W, D)."""
    return clip.features[embedder.name].frames.astype(np.float64).mean(axis=1)


def rows(
    clips: Sequence[Analysis], source: Source, embedder: Embedder
) -> Iterator[tuple[Array, dict[str, Any]]]:
    """(embedding, entry) of every window.

    Windows without a direction (digital silence in a chroma) are left out: nothing can be near
    to them.
    """
    for clip in clips:
        entry = _entry(clip, source)
        vectors = window_vectors(clip, embedder)
        for start, vector in zip(window_starts(len(vectors), embedder), vectors, strict=True):
            if vector.any():
                yield vector, {**entry, "window_s": start}


def _entry(clip: Analysis, source: Source) -> dict[str, Any]:
    file = clip.file
    record = source.records.get(file.id)
    entry: dict[str, Any] = {
        "id": file.id,
        "path": os.path.relpath(file.path, source.root),
        "start_s": file.start_s,
        "duration_s": clip.seconds,
        "sha256": clip.file_sha256,
        "captions": list(record.captions) if record else [],
        "licence": record.licence if record else None,
        "source": record.source if record else None,
        "attribution": record.attribution if record else None,
    }
    if record and "seed" in record.extra and "pair" not in record.extra:
        # With these `corpus play` renders the clip again; half of a pair takes more.
        entry |= {"seed": record.extra["seed"], "genre": record.tags.genre, "split": record.split}
    # All clips of one recording are one track, in one file or in shards: they must not count as
    # each other's neighbours.
    recording = record.extra.get("recording") if record else None
    return {**entry, "track": recording or entry["sha256"]}


def build_bank(
    folder: Path,
    source: Source,
    embedder: Embedder,
    cache: Cache,
    workers: Workers,
    *,
    allow_unread: bool = False,
    overwrite: bool = False,
) -> Bank:
    """Embed a source and write its bank."""
    clips, _ = embed_source(source, [embedder], cache, workers, allow_unread=allow_unread)
    if workers.is_main:
        banks.build(
            folder,
            rows(clips, source, embedder),
            embedder=embedder.name,
            identity=embedder.identity,
            dim=embedder.dim,
            overwrite=overwrite,
        )
    workers.wait()
    return Bank.open(folder)


def cached_bank(
    clips: Sequence[Analysis], source: Source, embedder: Embedder, cache: Cache
) -> Bank:
    """The bank of a source, kept in the cache as long as files and embedder stay the same.

    Args:
        clips: What was heard of the source, with `embedder` among others.
        source: What is known of the clips.
        embedder: Of the bank.
        cache: Where it is kept.
    """
    content = sorted((clip.file.id, clip.sha256) for clip in clips)
    records = sorted((name, repr(record)) for name, record in source.records.items())
    name = identify(embedder.identity, content, records, str(source.root.resolve()))
    folder = cache.root / "banks" / name
    if not is_bank(folder):
        partial = folder.with_name(f"{name}.{os.getpid()}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        banks.build(partial, rows(clips, source, embedder), embedder=embedder.name,
                    identity=embedder.identity, dim=embedder.dim)  # fmt: skip
        try:
            os.replace(partial, folder)
        except OSError:  # another process was first, with the same content
            shutil.rmtree(partial)
    return Bank.open(folder)
