"""The record inside a file's own tags: ID3 frames in MP3 and WAV, Vorbis comments in FLAC and OGG.

Beside the whole record as JSON, the mark goes into fields that other programs show: a comment,
the encoder, and the IPTC digital source type.
"""

import io

import mutagen
from mutagen.flac import FLAC
from mutagen.id3 import COMM, ID3, TSSE, TXXX, ID3NoHeaderError
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from musicgen_ldm import __version__
from musicgen_ldm.errors import AudioError
from musicgen_ldm.provenance.mark import COMMENT, DIGITAL_SOURCE_TYPE, GENERATOR

RECORD_FIELD = "MUSICGEN_LDM_RECORD"
SOURCE_TYPE_FIELD = "DIGITALSOURCETYPE"
ENCODER = f"{GENERATOR} {__version__}"


def embed(data: bytes, format_name: str, record_json: str, *, mark: bool) -> bytes:
    """File contents with the record, and with the mark unless it is switched off.

    Args:
        data: Contents of a WAV, FLAC, OGG or MP3 without tags.
        format_name: libsndfile's name of the container.
        record_json: The record.
        mark: Whether the fields of the AI-generated mark are written.
    """
    stream = io.BytesIO(data)
    if format_name in ("WAV", "MP3"):
        _embed_id3(stream, format_name, record_json, mark)
    else:
        _embed_vorbis(stream, format_name, record_json, mark)
    return stream.getvalue()


def _embed_id3(stream: io.BytesIO, format_name: str, record_json: str, mark: bool) -> None:
    frames = [
        TXXX(encoding=3, desc=RECORD_FIELD, text=[record_json]),
        TSSE(encoding=3, text=[ENCODER]),
    ]
    if mark:
        frames.append(COMM(encoding=3, lang="eng", desc="", text=[COMMENT]))
        frames.append(TXXX(encoding=3, desc=SOURCE_TYPE_FIELD, text=[DIGITAL_SOURCE_TYPE]))
    if format_name == "WAV":
        file = WAVE(stream)
        file.add_tags()
        for frame in frames:
            file[frame.HashKey] = frame
        stream.seek(0)
        file.save(stream)
    else:
        tags = ID3()
        for frame in frames:
            tags.add(frame)
        tags.save(stream, v1=0)


def _embed_vorbis(stream: io.BytesIO, format_name: str, record_json: str, mark: bool) -> None:
    file = FLAC(stream) if format_name == "FLAC" else OggVorbis(stream)
    if file.tags is None:
        file.add_tags()
    file[RECORD_FIELD] = record_json
    file["ENCODER"] = ENCODER
    if mark:
        file["COMMENT"] = COMMENT
        file[SOURCE_TYPE_FIELD] = DIGITAL_SOURCE_TYPE
    stream.seek(0)
    file.save(stream)


def extract(data: bytes, source: str) -> str | None:
    """The record's JSON from a file's contents, None if its tags hold none.

    Raises:
        AudioError: If the tags are there and cannot be read.
    """
    try:
        if data[:3] == b"ID3":
            return _from_id3(ID3(io.BytesIO(data)))
        file = mutagen.File(io.BytesIO(data))
    except ID3NoHeaderError:
        return None
    except mutagen.MutagenError as error:
        raise AudioError(
            f"{source}: its tags cannot be read ({error}); the file is damaged"
        ) from error
    if file is None or file.tags is None:
        return None
    if isinstance(file.tags, ID3):
        return _from_id3(file.tags)
    values = file.tags.get(RECORD_FIELD) if isinstance(file, FLAC | OggVorbis) else None
    return values[0] if values else None


def _from_id3(tags: ID3) -> str | None:
    frame = tags.get(f"TXXX:{RECORD_FIELD}")
    return str(frame.text[0]) if frame else None
