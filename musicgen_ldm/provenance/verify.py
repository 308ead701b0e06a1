"""Read a file's record back, and say whether it still describes the audio."""

import json
from dataclasses import dataclass
from pathlib import Path

from musicgen_ldm.errors import AudioError
from musicgen_ldm.provenance.codec import audio_digest
from musicgen_ldm.provenance.files import sidecar_path
from musicgen_ldm.provenance.record import Record, from_json, is_record
from musicgen_ldm.provenance.tags import extract


@dataclass(frozen=True)
class Verification:
    """What is known about a file's origin.

    Attributes:
        made_by_us: It carries our record: in its tags, or in a sidecar that matches its audio.
        intact: The audio is the audio that was written.
        record: The record, None if there is none.
        notes: One sentence for each thing worth knowing.
    """

    made_by_us: bool
    intact: bool
    record: Record | None
    notes: tuple[str, ...]


def read_record(path: str | Path) -> Record:
    """The record of a file: from its tags, else from its sidecar.

    Raises:
        AudioError: If the file is missing or unreadable, or has no record.
    """
    path = Path(path)
    record = _tag_record(_read(path), path) or _sidecar_record(path)
    if record is None:
        raise AudioError(
            f"{path}: carries no musicgen_ldm record, and {sidecar_path(path).name} is not "
            "beside it; give a file that musicgen-ldm wrote"
        )
    return record


def verify(path: str | Path) -> Verification:
    """Whether a file is ours and its audio unchanged.

    Raises:
        AudioError: If the file is missing, not audio, or its record is damaged.
    """
    path = Path(path)
    data = _read(path)
    digest = audio_digest(data, str(path))
    tagged, beside = _tag_record(data, path), _sidecar_record(path)
    record = tagged or beside
    if record is None:
        return Verification(False, False, None, ("no record in the tags or beside the file",))

    intact = all(record["audio"].get(key) == value for key, value in digest.items())
    if tagged is None and not intact:
        note = f"{sidecar_path(path).name} describes other audio than this file's"
        return Verification(False, False, None, (note,))
    notes = [] if intact else ["the audio was changed after it was written"]
    if tagged is None:
        notes.append("the tags were removed; the record comes from the file beside it")
    elif beside is not None and beside != tagged:
        notes.append(f"{sidecar_path(path).name} and the tags differ; the tags count")
    if record.get("mark") is None:
        notes.append("the AI-generated mark was switched off")
    return Verification(True, intact, record, tuple(notes))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AudioError(
            f"{path}: cannot be opened ({error.strerror}); give the path of an audio file"
        ) from error


def _tag_record(data: bytes, path: Path) -> Record | None:
    text = extract(data, str(path))
    return None if text is None else from_json(text, str(path))


def _sidecar_record(path: Path) -> Record | None:
    """The record beside `path`; None for any other JSON file that happens to lie there."""
    try:
        text = sidecar_path(path).read_text(encoding="utf-8")
        return from_json(text, str(sidecar_path(path))) if is_record(json.loads(text)) else None
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return None
