"""The novelty bank: embeddings of training clips on disk, searched exactly in bounded memory.

A bank is a folder; a checkpoint keeps the bank of its training data in `novelty/`:

    bank.json            schema, embedder, dim, and the list of shards; written last, atomically
    <name>.npy           (rows, D) float16, unit length before rounding
    <name>.tracks.npy    (rows,) int64 hash of each row's track, to leave out or prune a track
    <name>.jsonl         one entry a row: id, track, start_s, path, sha256, captions, licence,
                         source, attribution

Shards are never changed once `bank.json` names them: `extend` adds shards, `prune` writes
replacements under new names, and an interrupted write leaves the old bank whole. float16 storage
changes a cosine by at most 6e-5; the best rows of a search are recomputed in float64 from the
stored rows, so results do not depend on device or block size.
"""

from musicgen_ldm.bank.reader import (
    ROWS_A_CLIP,
    Bank,
    Entry,
    Neighbour,
    best_of_clips,
    track_hash,
    track_of,
)
from musicgen_ldm.bank.threshold import MIN_CALIBRATION, novelty_threshold
from musicgen_ldm.bank.writer import build, extend, prune

__all__ = [
    "MIN_CALIBRATION",
    "ROWS_A_CLIP",
    "Bank",
    "Entry",
    "Neighbour",
    "best_of_clips",
    "build",
    "extend",
    "novelty_threshold",
    "prune",
    "track_hash",
    "track_of",
]
