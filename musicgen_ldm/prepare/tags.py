"""What a file's own tags say: ID3 (MP3, WAV, AIFF) and Vorbis comments (FLAC, OGG, Opus)."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import mutagen
from mutagen.id3 import ID3

ID3_FRAMES = {
    "genre": "TCON",
    "mood": "TMOO",
    "bpm": "TBPM",
    "key": "TKEY",
    "licence": "WCOP",
    "title": "TIT2",
    "artist": "TPE1",
    "albumartist": "TPE2",
    "album": "TALB",
    "composer": "TCOM",
    "performer": "TOPE",
    "conductor": "TPE3",
    "remixer": "TPE4",
    "lyricist": "TEXT",
}
VORBIS_NAMES = {"key": ("initialkey", "key"), "licence": ("license", "licence")}
SAYS_NOTHING = {"other", "unknown", "misc", "none", "default", "genre"}


def read_tags(path: Path) -> dict[str, list[str]]:
    """Values of the known tags, stripped; a file without readable tags has none.

    Returns:
        Keys of `ID3_FRAMES`; each holds at least one value.
    """
    try:
        file = mutagen.File(path)
    except (mutagen.MutagenError, OSError):  # tags are optional; the audio decides what is broken
        return {}
    if file is None or file.tags is None:
        return {}
    found = {}
    for name, frame in ID3_FRAMES.items():
        if isinstance(file.tags, ID3):
            values = _id3_values(file.tags, frame)
        else:
            values = _vorbis_values(file.tags, VORBIS_NAMES.get(name, (name,)))
        cleaned = [value for value in map(str.strip, values) if value]
        if cleaned:
            found[name] = cleaned
    return found


def _id3_values(tags: ID3, frame: str) -> list[str]:
    values: list[str] = []
    for item in tags.getall(frame):
        if frame == "TCON":
            values += item.genres  # resolves numeric genres
        elif frame.startswith("W"):
            values.append(item.url)
        else:
            values += [str(text) for text in item.text]
    return values


def _vorbis_values(tags: Mapping[str, list[Any]], names: Iterable[str]) -> list[str]:
    known = {key.lower(): value for key, value in tags.items()}
    values = [value for name in names for value in known.get(name, [])]
    return [value for value in values if isinstance(value, str)]


def descriptive(values: Iterable[str]) -> list[str]:
    """Genres and moods worth saying, lower case, each once."""
    words = (word.strip().lower() for value in values for word in re.split(r"[;,/]", value))
    return [w for w in dict.fromkeys(words) if w and w not in SAYS_NOTHING and not w.isdigit()]
