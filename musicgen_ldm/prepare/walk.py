"""Which files of a folder are recordings."""

import os
from collections.abc import Iterator
from pathlib import Path

import soundfile

from musicgen_ldm.errors import AudioError

# libsndfile names its formats, not the suffixes people use for them.
EXTRA_SUFFIXES = {".aif", ".aifc", ".oga", ".opus", ".wave", ".snd"}


def audio_suffixes() -> frozenset[str]:
    """Lower-case suffixes of the formats that the installed libsndfile reads.

    "RAW" is left out, because a headerless file does not say what it holds.
    """
    formats = {f".{name.lower()}" for name in soundfile.available_formats() if name != "RAW"}
    return frozenset(formats | EXTRA_SUFFIXES)


def find_audio(folder: str | Path) -> list[Path]:
    """Audio files below `folder`, sorted, hidden files and folders left out.

    Raises:
        AudioError: If the folder does not exist or holds no audio file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AudioError(f"{folder}: no such folder; give the folder that holds your music")
    suffixes = audio_suffixes()
    found = sorted(path for path in _files(folder) if path.suffix.lower() in suffixes)
    if not found:
        raise AudioError(
            f"{folder}: holds no audio file; put WAV, FLAC, OGG, MP3 or AIFF files there"
        )
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Files below `folder`, following links to folders that are not their own parents."""
    seen: set[Path] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = Path(root).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root) / name for name in names if not name.startswith("."))
