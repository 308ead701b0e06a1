"""Waveforms as file contents, and the hash that tells whether those contents changed.

The hash covers the audio and leaves the tags out. Where decoding is exact (WAV, FLAC) it is taken
over the decoded samples, so it survives a lossless conversion too. MP3 and Ogg Vorbis decode to
slightly different samples on different processors, so there it is taken over the coded audio.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from mutagen import MutagenError
from mutagen.ogg import OggPage

from musicgen_ldm.audio import FloatArray, Waveform, codec_reason
from musicgen_ldm.errors import AudioError, OutputError

BLOCK_FRAMES = 65_536  # coded at a time; libsndfile's Vorbis encoder keeps a block on the stack


@dataclass(frozen=True)
class FileFormat:
    """One file type that can be written.

    Attributes:
        name: libsndfile's name of the container.
        subtypes: Depth as users say it -> libsndfile's subtype; the first is the default.
    """

    name: str
    subtypes: dict[str | None, str]


FORMATS = {
    ".wav": FileFormat("WAV", {"16": "PCM_16", "24": "PCM_24", "float": "FLOAT"}),
    ".flac": FileFormat("FLAC", {"16": "PCM_16", "24": "PCM_24"}),
    ".ogg": FileFormat("OGG", {None: "VORBIS"}),
    ".mp3": FileFormat("MP3", {None: "MPEG_LAYER_III"}),
}


def choose_format(path: Path, subtype: str | None) -> tuple[FileFormat, str]:
    """The format that the suffix names and libsndfile's subtype in it.

    Raises:
        OutputError: If the suffix is unknown or the format lacks that depth.
    """
    file_format = FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise OutputError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'}; "
            f"use one of {', '.join(FORMATS)}"
        )
    if subtype is None:
        return file_format, next(iter(file_format.subtypes.values()))
    if subtype not in file_format.subtypes:
        depths = ", ".join(depth for depth in file_format.subtypes if depth)
        allowed = f"it has {depths}" if depths else "it has no sample depth, leave it out"
        raise OutputError(
            f"{path}: {file_format.name} has no depth {subtype!r}; {allowed}, or write a .wav"
        )
    return file_format, file_format.subtypes[subtype]


def depth_keeping(source: Path, target: Path) -> str | None:
    """The depth at which a target file holds a source file's samples unchanged.

    Args:
        source: Audio file that `read_audio` reads.
        target: Its suffix says the format.

    Returns:
        See `choose_format`; None where the default does, or nothing better exists.
    """
    depths = choose_format(target, None)[0].subtypes
    subtype = soundfile.info(source).subtype
    wanted = {"PCM_24": ("24",), "PCM_32": ("float", "24"), "FLOAT": ("float", "24"),
              "DOUBLE": ("float", "24")}.get(subtype, ())  # fmt: skip
    return next((depth for depth in wanted if depth in depths), None)


def encode(waveform: Waveform, path: Path, file_format: FileFormat, subtype: str) -> bytes:
    """The contents of the file, without tags.

    Args:
        waveform: Samples (channels, T), in [-1, 1].
        path: Only for messages.
        file_format: Container.
        subtype: libsndfile's subtype.

    Raises:
        OutputError: If the format cannot hold that rate or number of channels.
    """
    channels = waveform.samples.shape[0]
    frames = _quantised(waveform.samples, subtype).T
    buffer = io.BytesIO()
    try:
        with soundfile.SoundFile(
            buffer, "w", waveform.sample_rate, channels, subtype, format=file_format.name
        ) as file:
            for start in range(0, len(frames), BLOCK_FRAMES):
                file.write(frames[start : start + BLOCK_FRAMES])
    except soundfile.LibsndfileError as error:
        raise OutputError(
            f"{path}: {file_format.name} cannot hold {channels} channels at "
            f"{waveform.sample_rate} Hz ({codec_reason(error)}); write a .wav, or fewer channels "
            "at 44100 Hz"
        ) from error
    return buffer.getvalue()


def _quantised(samples: FloatArray, subtype: str) -> np.ndarray:
    """Samples as soundfile passes them on unchanged: rounded here, where libsndfile truncates."""
    if not subtype.startswith("PCM_"):
        return samples
    bits = int(subtype.removeprefix("PCM_"))
    full_scale = 2 ** (bits - 1)
    levels = np.rint(samples.astype(np.float64) * full_scale).clip(-full_scale, full_scale - 1)
    return levels.astype(np.int32) << (32 - bits)


def audio_digest(data: bytes, source: str) -> dict[str, str]:
    """Hash of the audio in a file's contents, tags apart.

    Returns:
        `sha256` (hex) and `sha256_of`: `pcm_s32le` or `pcm_f32le` for decoded interleaved
        samples, `mp3_frames` or `ogg_packets` for coded audio.

    Raises:
        AudioError: If the contents are not audio.
    """
    try:
        info = soundfile.info(io.BytesIO(data))
        if info.format == "MP3":
            return _digest("mp3_frames", _mp3_frames(data))
        if info.format == "OGG":
            return _digest("ogg_packets", _ogg_packets(data))
        return _pcm_digest(data, is_float=info.subtype in ("FLOAT", "DOUBLE"))
    except (soundfile.LibsndfileError, MutagenError, EOFError, MemoryError) as error:
        raise AudioError(
            f"{source}: cannot be read as audio ({codec_reason(error)}); "
            "give a WAV, FLAC, OGG or MP3"
        ) from error


def _pcm_digest(data: bytes, *, is_float: bool) -> dict[str, str]:
    """Hash of decoded samples, block by block: a small file of silence may unpack to gigabytes."""
    decoded = hashlib.sha256()
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        dtype = "float32" if is_float else "int32"
        while len(block := file.read(BLOCK_FRAMES, dtype=dtype, always_2d=True)):
            decoded.update(block.astype(block.dtype.newbyteorder("<"), copy=False).tobytes())
    kind = "pcm_f32le" if is_float else "pcm_s32le"
    return {"sha256": decoded.hexdigest(), "sha256_of": kind}


def _digest(kind: str, data: bytes) -> dict[str, str]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "sha256_of": kind}


def _mp3_frames(data: bytes) -> bytes:
    """MP3 contents without ID3v2 at the front and ID3v1 at the end."""
    start = 0
    while data[start : start + 3] == b"ID3":
        size = 0
        for byte in data[start + 6 : start + 10]:  # 7 bits a byte, ID3v2.4 section 6.2
            size = size << 7 | byte & 0x7F
        has_footer = bool(data[start + 5] & 0x10)
        start += 10 + size + 10 * has_footer
    end = len(data) - 128 if data[-128:-125] == b"TAG" else len(data)
    return data[start:end]


def _ogg_packets(data: bytes) -> bytes:
    """Packets of an Ogg stream without the second one, which holds the comments."""
    stream = io.BytesIO(data)
    pages = []
    while stream.tell() < len(data):
        pages.append(OggPage(stream))
    packets = OggPage.to_packets(pages)
    return b"".join(packets[:1] + packets[2:])
