"""Write a generated file: loud samples made safe, tags and sidecar filled, nothing half-written."""

import contextlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from musicgen_ldm.audio import Waveform, read_audio, within_full_scale
from musicgen_ldm.errors import OutputError
from musicgen_ldm.provenance.codec import audio_digest, choose_format, encode
from musicgen_ldm.provenance.record import complete_record, is_record, to_json
from musicgen_ldm.provenance.tags import embed
from musicgen_ldm.provenance.uninterrupted import uninterrupted

PROBE_S = 0.01  # of sound tells whether a format can hold it


def sidecar_path(path: str | Path) -> Path:
    """Where the record of `path` lies beside it: `x.wav` -> `x.json`."""
    return Path(path).with_suffix(".json")


def write_audio(
    waveform: Waveform,
    path: str | Path,
    *,
    record: Mapping[str, Any],
    subtype: str | None = None,
    mark: bool = True,
    overwrite: bool = False,
) -> Path:
    """Write audio with its record in the tags and in a sidecar.

    Both are complete under other names before either is put in place, so that whatever fails
    leaves neither; a power cut between the two leaves the audio, whose tags hold the record.

    A peak above 1 is scaled down to 1, never clipped; the factor stands in the record as
    `audio.gain`.

    Args:
        waveform: Samples (channels, T).
        path: Target; the suffix chooses WAV, FLAC, OGG (Vorbis) or MP3.
        record: What the caller knows about the making of it; see `record.schema.json`.
        subtype: Sample depth `16`, `24` or `float` (WAV), `16` or `24` (FLAC); None is 16 there
            and the only choice for OGG and MP3.
        mark: Write the AI-generated mark.
        overwrite: Replace an existing file and its sidecar.

    Returns:
        The path written.

    Raises:
        OutputError: If the format cannot hold the audio, the file exists and `overwrite` is
            False, or the folder cannot be written.
    """
    path = Path(path)
    check_target(path, subtype=subtype, overwrite=overwrite)
    file_format, libsndfile_subtype = choose_format(path, subtype)
    if waveform.samples.shape[1] == 0:
        raise OutputError(f"{path}: the waveform holds no samples; there is nothing to write")

    safe, gain = within_full_scale(waveform)
    with uninterrupted():
        data = encode(safe, path, file_format, libsndfile_subtype)
        digest = audio_digest(data, str(path))
    audio = {
        "format": file_format.name,
        "subtype": libsndfile_subtype,
        "sample_rate": safe.sample_rate,
        "channels": safe.samples.shape[0],
        "num_samples": safe.samples.shape[1],
        "gain": gain,
        **digest,
    }
    full_record = complete_record(record, audio, mark=mark)
    data = embed(data, file_format.name, to_json(full_record), mark=mark)
    text = to_json(full_record, indent=2) + "\n"
    contents = {path: data, sidecar_path(path): text.encode()}
    write_atomically(contents, overwrite=overwrite)
    return path


def check_target(
    path: Path, *, subtype: str | None = None, overwrite: bool = False, like: Path | None = None
) -> None:
    """Refuse, before any work, a target that `write_audio` would refuse after it.

    Args:
        path: See `write_audio`.
        subtype: See `write_audio`.
        overwrite: See `write_audio`.
        like: Audio file whose rate and channels the target shall have.

    Raises:
        OutputError: If the format is unknown, lacks that depth or cannot hold such sound, or a
            file is in the way.
        AudioError: If `like` cannot be read.
    """
    file_format, libsndfile_subtype = choose_format(path, subtype)
    if like is not None:
        beginning = read_audio(like, duration_s=PROBE_S)
        encode(beginning, path, file_format, libsndfile_subtype)
    sidecar = sidecar_path(path)
    try:
        existing = [target for target in (path, sidecar) if target.exists()]
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}); choose another name or folder"
        ) from error
    if existing and not overwrite:
        raise _exists_error(existing[0])
    if sidecar in existing and not _holds_record(sidecar):
        raise OutputError(
            f"{sidecar}: exists and is no record of this package, so it is not replaced; "
            f"choose another name than {path.name}"
        )


def _exists_error(target: Path) -> OutputError:
    return OutputError(
        f"{target}: exists already; choose another name, or allow it to be replaced "
        "(--overwrite, overwrite=True)"
    )


def _holds_record(sidecar: Path) -> bool:
    try:
        return is_record(json.loads(sidecar.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return False


def write_atomically(contents: Mapping[Path, bytes], *, overwrite: bool = False) -> None:
    """Write files so that each is there whole or not at all, even on a power cut.

    Everything is written and flushed under temporary names first; only then are the names put in
    place, so a full disk leaves nothing behind.

    Args:
        contents: Target -> contents; put in place in this order.
        overwrite: Replace existing targets.

    Raises:
        OutputError: If a target exists, the folder is missing or read-only, or the disk is full.
    """
    partials: dict[Path, Path] = {}
    try:
        for target, data in contents.items():
            partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
            partials[target] = partial
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for target, partial in partials.items():
            if target.exists() and not overwrite:
                raise _exists_error(target)
            os.replace(partial, target)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{next(reversed(partials))}: cannot be written ({error.strerror}); "
            "choose a folder that exists, can be written and has space"
        ) from error
    finally:
        for partial in partials.values():
            with contextlib.suppress(OSError):
                partial.unlink()
