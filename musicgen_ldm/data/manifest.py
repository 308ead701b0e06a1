"""The clip manifest: JSONL, one clip a line, unknown fields kept.

The schema is shared by the built-in corpus, a user's own music and the novelty bank. Times are
seconds from the start of the *clip*, not of the file it is cut from.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from musicgen_ldm.errors import ManifestError
from musicgen_ldm.whole_file import whole_file

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True)
class Tags:
    """What is known to be heard in a clip; None or empty where unknown."""

    genre: str | None = None
    mood: str | None = None
    instruments: tuple[str, ...] = ()
    bpm: float | None = None
    key: str | None = None  # tonic, e.g. "A" or "F#"
    mode: str | None = None  # "major", "minor", "dorian", …
    meter: str | None = None  # e.g. "4/4"


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One line of a manifest.

    Attributes:
        id: Unique name, also the stem of files derived from the clip.
        path: Audio file, relative to the manifest's folder or absolute.
        sha256: Hash of the audio file's bytes.
        start_s: Where the clip begins in the file.
        duration_s: Length of the clip.
        sample_rate: Of the file, Hz.
        captions: Sentences that are true of the clip.
        tags: Facts.
        beats_s: Beat times.
        downbeats_s: Times of the first beat of each bar.
        split: "train", "valid" or "test".
        licence: SPDX identifier or a plain name.
        source: Where the recording comes from.
        attribution: Whom to name.
        extra: Every other field of the line, kept as read.
    """

    id: str
    path: str
    sha256: str
    start_s: float
    duration_s: float
    sample_rate: int
    captions: tuple[str, ...]
    tags: Tags
    beats_s: tuple[float, ...]
    downbeats_s: tuple[float, ...]
    split: str
    licence: str
    source: str
    attribution: str
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def recording(self) -> str:
        """Hash of what the clip is cut from: that of its file, or of the file it was taken out of.

        A shard holds each clip as a file of its own, and tells the recording in `recording`.
        """
        return str(self.extra.get("recording") or self.sha256)

    @property
    def beats_confidence(self) -> float:
        """How sure the beats are, from 0 (no pulse) to 1; 1 where they are known, not tracked."""
        return float(self.extra.get("beats_confidence", 1.0))

    def to_json(self) -> dict[str, Any]:
        """The line as a JSON object, `extra` flattened into it."""
        record = asdict(self)
        return record | record.pop("extra")


KNOWN_FIELDS = {f.name for f in fields(Clip)} - {"extra"}
KNOWN_TAGS = {f.name for f in fields(Tags)}

# What JSON may hold where; Python would take a text for a list of its letters. The last two fields
# need not be there.
_TEXT, _NUMBER, _LIST = (str,), (int, float), (list, tuple)
_FIELD_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "path", "sha256", "split", "licence", "source", "attribution"), _TEXT),
    **dict.fromkeys(("start_s", "duration_s", "sample_rate"), _NUMBER),
    **dict.fromkeys(("captions", "beats_s", "downbeats_s"), _LIST),
    "tags": (dict,),
    "recording": _TEXT,
    "beats_confidence": _NUMBER,
}
_TAG_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("genre", "mood", "key", "mode", "meter"), (*_TEXT, type(None))),
    "bpm": (*_NUMBER, type(None)),
    "instruments": _LIST,
}
_ITEM_TYPES = {"captions": _TEXT, "instruments": _TEXT, "beats_s": _NUMBER, "downbeats_s": _NUMBER}
_JSON_NAMES = {str: "a text", int: "a number", list: "a list", dict: "an object"}


def parse_clip(record: dict[str, Any]) -> Clip:
    """A clip from the JSON object of one line.

    Raises:
        ManifestError: If a field is missing or has an impossible value.
    """
    if not isinstance(record, dict):
        raise ManifestError(f"is {record!r}, must be an object")
    missing = KNOWN_FIELDS - record.keys()
    if missing:
        raise ManifestError(f"missing field(s) {', '.join(sorted(missing))}")
    _check_types(record, _FIELD_TYPES)
    _check_types(record["tags"], _TAG_TYPES)
    if record["split"] not in SPLITS:
        raise ManifestError(f"split is {record['split']!r}, must be one of {', '.join(SPLITS)}")
    if not record["duration_s"] > 0:
        raise ManifestError(f"duration_s is {record['duration_s']}, must be above 0")
    known = {name: record[name] for name in KNOWN_FIELDS}
    tags = {k: v for k, v in known.pop("tags").items() if k in KNOWN_TAGS}
    tags["instruments"] = tuple(tags.get("instruments", ()))
    for name in ("captions", "beats_s", "downbeats_s"):
        known[name] = tuple(known[name])
    extra = {k: v for k, v in record.items() if k not in KNOWN_FIELDS}
    return Clip(tags=Tags(**tags), extra=extra, **known)


def _check_types(record: dict[str, Any], types: dict[str, tuple[type, ...]]) -> None:
    for name, allowed in types.items():
        value = record.get(name)
        if name in record and not isinstance(value, allowed):
            raise ManifestError(f"{name} is {value!r}, must be {_JSON_NAMES[allowed[0]]}")
        items = _ITEM_TYPES.get(name)
        wrong = [item for item in value or () if not isinstance(item, items)] if items else []
        if items and wrong:
            raise ManifestError(
                f"{name} holds {wrong[0]!r}, each of its items must be {_JSON_NAMES[items[0]]}"
            )


def read_manifest(path: str | Path) -> Iterator[Clip]:
    """Clips of a JSONL manifest, in file order.

    Raises:
        ManifestError: With file and line number, at the first bad line or repeated id.
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError(
            f"{path}: no such manifest; `musicgen-ldm corpus build` or `prepare` writes one"
        )
    seen: set[str] = set()
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                clip = parse_clip(json.loads(line))
            except ValueError as error:  # no UTF-8, no JSON or no clip
                raise ManifestError(f"{path}:{number}: {error}") from error
            if clip.id in seen:
                raise ManifestError(f"{path}:{number}: id {clip.id!r} appears twice")
            seen.add(clip.id)
            yield clip


def write_manifest(path: str | Path, clips: Iterable[Clip]) -> None:
    """Write `clips` as JSONL, whole or not at all."""
    with whole_file(Path(path)) as partial, partial.open("w", encoding="utf-8") as file:
        for clip in clips:
            file.write(json.dumps(clip.to_json(), ensure_ascii=False) + "\n")


def join_manifests(target: str | Path, sources: Iterable[str | Path]) -> int:
    """One manifest over the clips of several, paths rewritten to be relative to it.

    Returns:
        Number of clips.

    Raises:
        ManifestError: If two clips have the same id.
    """
    target = Path(target)
    joined: dict[str, Clip] = {}
    for source in map(Path, sources):
        for clip in read_manifest(source):
            if clip.id in joined:
                raise ManifestError(
                    f"{source}: id {clip.id!r} stands in another manifest too; "
                    "build one of them with another seed"
                )
            path = os.path.relpath((source.parent / clip.path).resolve(), target.parent.resolve())
            joined[clip.id] = replace(clip, path=path)
    write_manifest(target, joined.values())
    return len(joined)
