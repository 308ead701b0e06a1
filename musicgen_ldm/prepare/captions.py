"""Words and facts about a track, from what the user keeps beside it.

Captions come from the first of these that has any: `song.txt` (one caption a line), `song.json`,
a row of the captions table (CSV), the file's own tags. Facts such as the licence are merged, the
earlier source winning. Titles and artists never become captions: a model must not learn to
imitate by name.
"""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicgen_ldm.data.manifest import Tags
from musicgen_ldm.errors import ManifestError, RequestError
from musicgen_ldm.measure.key import parse_key
from musicgen_ldm.prepare.names import NAME_FIELDS, leaks, name_patterns
from musicgen_ldm.prepare.tags import descriptive, read_tags

CAPTION_FIELDS = ("captions", "caption", "description", "text", "prompt")
FILE_COLUMNS = ("path", "file", "filename", "audio")
SEPARATOR = "|"  # between several captions or instruments in one CSV cell

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Words:
    """What is said about a track.

    Attributes:
        captions: Sentences that hold no title and no artist.
        tags: Genre, mood, instruments, bpm, key and metre as stated, not as measured.
        licence: As stated, or None.
        source: As stated, or None.
        attribution: As stated, else the artist, or None.
        withheld: Captions and tag words left out because they name the title or the artist.
    """

    captions: tuple[str, ...]
    tags: Tags
    licence: str | None
    source: str | None
    attribution: str | None
    withheld: tuple[str, ...]


def read_table(path: str | Path) -> dict[str, dict[str, str]]:
    """Rows of a captions table by file name as written there.

    Raises:
        ManifestError: If the file is missing or has no column for the file names.
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError(f"{path}: no such captions table; give the path of a CSV file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"{path}: is not written in UTF-8 ({error.reason}); save it as CSV UTF-8"
        ) from error
    with io.StringIO(text, newline="") as file:
        reader = csv.DictReader(file)
        columns = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
        column = next((columns[name] for name in FILE_COLUMNS if name in columns), None)
        if column is None:
            raise ManifestError(
                f"{path}:1: has columns {', '.join(columns)}; one must be called "
                f"{', '.join(FILE_COLUMNS)}, and another caption"
            )
        rows = [{(k or "").strip().lower(): v or "" for k, v in row.items()} for row in reader]
    return {row[column.strip().lower()].strip(): row for row in rows}


def words_of(path: Path, folder: Path, table: Mapping[str, Facts] | None = None) -> Words:
    """Everything known about the track at `path`.

    Args:
        path: Audio file below `folder`.
        folder: Root that the table's file names start from; bare names match anywhere.
        table: Rows of `read_table`.

    Raises:
        ManifestError: If a JSON sidecar is broken.
    """
    file_tags = read_tags(path)
    sidecar = _json_facts(path)
    row = _row_facts(path, folder, table or {})
    tagged: Facts = {name: values for name, values in file_tags.items()}
    names = name_patterns(
        [
            name
            for facts in (tagged, sidecar, row)
            for field in NAME_FIELDS
            if facts.get(field)
            for name in _listed(facts[field])
        ]
    )
    written = _text_captions(path) or _captions(sidecar) or _captions(row)
    facts = {**tagged, **row, **sidecar}
    genre, mood, instruments = (_words(facts.get(n)) for n in ("genre", "mood", "instruments"))
    phrases = [*genre, *mood, *instruments]
    withheld = [text for text in (*written, *phrases) if leaks(text, names)]
    captions = [text for text in written if not leaks(text, names)]
    phrases = [text for text in phrases if not leaks(text, names)]
    if not captions and phrases:
        captions = [", ".join(phrases)]
    return Words(
        captions=tuple(dict.fromkeys(captions)),
        tags=_tags(facts, [w for w in genre if w in phrases], [w for w in mood if w in phrases],
                   [w for w in instruments if w in phrases]),
        licence=_first(facts, "licence", "license"),
        source=_first(facts, "source"),
        attribution=_first(facts, "attribution", "artist"),
        withheld=tuple(withheld),
    )  # fmt: skip


def _text_captions(path: Path) -> list[str]:
    for sidecar in (path.with_suffix(".txt"), path.with_name(path.name + ".txt")):
        if sidecar.is_file():
            lines = sidecar.read_text(encoding="utf-8", errors="replace").splitlines()
            return [line.strip() for line in lines if line.strip()]
    return []


def _json_facts(path: Path) -> dict[str, Any]:
    for sidecar in (path.with_suffix(".json"), path.with_name(path.name + ".json")):
        if sidecar.is_file():
            try:
                record = json.loads(sidecar.read_text(encoding="utf-8"))
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise ManifestError(f"{sidecar}: not valid JSON ({error}); mend it") from error
            if not isinstance(record, dict):
                raise ManifestError(
                    f"{sidecar}: holds a {type(record).__name__}, must be an object such as "
                    '{"caption": "…", "licence": "CC0-1.0"}'
                )
            return {key.lower(): value for key, value in record.items() if value}
    return {}


def _row_facts(path: Path, folder: Path, table: Mapping[str, Facts]) -> dict[str, Any]:
    for name in (path.relative_to(folder).as_posix(), path.name, path.stem):
        if name in table:
            row = {key: value.strip() for key, value in table[name].items() if value.strip()}
            for field in (*CAPTION_FIELDS, "instruments"):
                if field in row:
                    row[field] = [part.strip() for part in row[field].split(SEPARATOR)]
            return row
    return {}


def _captions(facts: Facts) -> list[str]:
    for field in CAPTION_FIELDS:
        if facts.get(field):
            return [text.strip() for text in _listed(facts[field]) if text.strip()]
    return []


def _listed(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]


def _words(value: Any) -> list[str]:
    return descriptive(_listed(value)) if value else []


def _first(facts: Facts, *names: str) -> str | None:
    return next((_listed(facts[name])[0] for name in names if facts.get(name)), None)


def _tags(facts: Facts, genre: list[str], mood: list[str], instruments: list[str]) -> Tags:
    """Stated facts; a tempo or key that cannot be understood counts as not stated."""
    bpm, key = _first(facts, "bpm"), _first(facts, "key")
    try:
        tempo = float(bpm) if bpm else None
    except ValueError:
        tempo = None
    try:
        tonality = parse_key(key) if key else None
    except RequestError:
        tonality = None
    return Tags(
        genre=genre[0] if genre else None,
        mood=mood[0] if mood else None,
        instruments=tuple(instruments),
        bpm=tempo if tempo and tempo > 0 else None,
        key=tonality.tonic if tonality else None,
        mode=tonality.mode if tonality else None,
        meter=_first(facts, "meter", "metre"),
    )
