"""The visitor's music on disk: files with their records, favourites, search.

The files are the database: what `provenance` wrote is all there is, so the history survives a
restart and a copied folder. Names are made here, never taken from a visitor.
"""

import json
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicgen_ldm.audio import read_audio
from musicgen_ldm.config.generation import GenerateRequest
from musicgen_ldm.errors import OutputError, RequestError
from musicgen_ldm.provenance import depth_keeping, read_record, sidecar_path, write_audio
from musicgen_ldm.provenance.record import is_record
from musicgen_ldm.ui import texts

if TYPE_CHECKING:
    from musicgen_ldm.pipeline import Take

SUFFIX = ".flac"
MARK = ".favourite"  # ends the empty file beside a favourite
ID_PATTERN = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")
SOURCE_PATTERN = re.compile(r"[0-9a-f]{16}-")  # what it begins with
EVERYBODY = "local"
SOURCES = "sources"  # folder of the sounds that takes were made from, by the hash of their bytes
NAME_CHARACTERS = 60  # of the name that a sound was uploaded under
PROBE_S = 0.01


@dataclass(frozen=True)
class Entry:
    """One file of the history."""

    id: str
    path: Path
    record: dict[str, Any]
    is_favourite: bool


class Library:
    """One visitor's folder below the outputs folder."""

    def __init__(self, folder: Path) -> None:
        """Make the folder; see `of_user`."""
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error

    @classmethod
    def of_user(cls, outputs: Path, user: str | None) -> "Library":
        """The folder of a visitor: by name under authentication, shared on an open page."""
        # A name may hold anything; its hash cannot leave the folder.
        name = EVERYBODY if user is None else sha256(user.encode()).hexdigest()[:16]
        return cls(outputs / name)

    def add(self, take: "Take") -> Entry:
        """Write a take; returns its entry."""
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
        path = self.folder / f"{name}{SUFFIX}"
        request = GenerateRequest.from_json(take.record["request"])
        depth = None if request.kept_file is None else depth_keeping(request.kept_file, path)
        # Records travel inside downloads; where this machine keeps its files is nobody's business.
        named = request.with_sources(lambda source: Path(source).name)
        record = take.record | {"request": named.to_json()}
        write_audio(take.waveform, path, record=record, subtype=depth)
        return self.get(name)

    def keep_sources(self, request: GenerateRequest) -> GenerateRequest:
        """The request with copies of uploaded sounds, which outlive the page, in their place.

        Raises:
            AudioError: If a sound is gone, or is none.
            OutputError: If it cannot be copied.
        """
        return request.with_sources(self._kept)

    def _kept(self, path: str) -> str:
        source = Path(path)
        if source.parent == self.folder:
            return path  # a take
        read_audio(source, duration_s=PROBE_S)  # what is no sound is not worth keeping
        try:
            with source.open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
            name = f"{digest[:16]}-{source.stem[:NAME_CHARACTERS]}{source.suffix}"
            target = self.folder / SOURCES / name
            target.parent.mkdir(exist_ok=True)
            if target.exists():
                target.touch()  # the oldest are deleted first, and this one is needed now
            else:
                partial = target.with_suffix(f".{secrets.token_hex(4)}.partial")
                shutil.copyfile(source, partial)
                partial.replace(target)
        except OSError as error:
            raise OutputError(f"{source.name}: cannot be kept ({error.strerror})") from error
        return str(target)

    def with_kept_sources(self, request: GenerateRequest) -> GenerateRequest:
        """A recorded request, whose sounds are names, with the files that they name.

        Raises:
            RequestError: If one was deleted.
        """
        return request.with_sources(self._found)

    def _found(self, name: str) -> str:
        bare = Path(name).name
        found = [p for p in (self.folder / bare, self.folder / SOURCES / bare) if p.is_file()]
        if not found:
            raise RequestError(texts.SOURCE_GONE)
        return str(found[0])

    def get(self, name: str) -> Entry:
        """The entry of that id.

        Raises:
            RequestError: If it is no id or there is no such file.
        """
        path = self._path(name)
        if not path.is_file():
            raise RequestError(texts.GONE)
        return Entry(name, path, read_record(path), name in self.favourites())

    def search(self, words: str = "", *, only_favourites: bool = False) -> list[Entry]:
        """Entries whose prompt holds all words, newest first."""
        wanted = words.lower().split()
        favourites = self.favourites()
        return [
            Entry(path.stem, path, record, path.stem in favourites)
            for path in self.files()
            if (path.stem in favourites or not only_favourites)
            and (record := _listed(path)) is not None
            and all(word in record["prompt"].lower() for word in wanted)
        ]

    def set_favourite(self, name: str, keep: bool) -> None:
        """Mark or unmark a take.

        Raises:
            RequestError: If there is no such take.
            OutputError: If the mark cannot be written.
        """
        mark = self.get(name).path.with_suffix(MARK)
        try:
            mark.touch() if keep else mark.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{mark}: cannot be written ({error.strerror})") from error

    def delete(self, name: str) -> None:
        """Remove a take, its record and its mark; nothing if it is gone already."""
        self.remove(self._path(name))

    def remove(self, path: Path) -> None:
        """Remove one of `files` or `sources` with what belongs to it."""
        beside = (sidecar_path(path), path.with_suffix(MARK)) if path.parent == self.folder else ()
        for file in (path, *beside):
            file.unlink(missing_ok=True)

    def convert(self, name: str, suffix: str, folder: Path) -> Path:
        """A copy of a take in another format, with its record inside."""
        entry = self.get(name)
        target = folder / f"{name}.{suffix}"
        depth = depth_keeping(entry.path, target)
        sound = read_audio(entry.path)
        return write_audio(sound, target, record=entry.record, subtype=depth, overwrite=True)

    def favourites(self) -> set[str]:
        """Ids that are kept."""
        return {mark.stem for mark in self.folder.glob(f"*{MARK}")}

    def files(self) -> list[Path]:
        """The takes, newest first."""
        found = self.folder.glob(f"*{SUFFIX}")
        return sorted((path for path in found if ID_PATTERN.fullmatch(path.stem)), reverse=True)

    def sources(self) -> dict[Path, set[str]]:
        """Kept sounds, with the ids of the takes that were made from each."""
        records = {path.stem: _text(sidecar_path(path)) for path in self.files()}
        return {
            path: {name for name, text in records.items() if _in_json(path.name) in text}
            for path in (self.folder / SOURCES).glob("*")
            if SOURCE_PATTERN.match(path.name)
        }

    def _path(self, name: str) -> Path:
        if not ID_PATTERN.fullmatch(name):
            raise RequestError(texts.GONE)
        return self.folder / f"{name}{SUFFIX}"


def _text(path: Path) -> str:
    """A text file as far as it can be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _in_json(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)[1:-1]


def _listed(path: Path) -> dict[str, Any] | None:
    """The record beside a take; None if it is missing, half-copied or damaged."""
    try:
        record = json.loads(sidecar_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # the file itself is left alone
    shown = {"prompt": str, "seconds": int | float, "request": dict}
    is_whole = is_record(record) and all(isinstance(record.get(k), t) for k, t in shown.items())
    return record if is_whole else None
