"""Which files are evaluated, what they were asked to be, and which belongs to which.

Pairing is by id, never by the order of a listing. The id of a file is its path inside the folder
without the suffix; `generate --takes` appends `-take<k>`, and all takes of an id share its prompt
and its reference.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from musicgen_ldm.config.tempo_words import TempoWord
from musicgen_ldm.data.manifest import Clip, read_manifest
from musicgen_ldm.errors import MetricError, MusicGenError
from musicgen_ldm.measure import Key, parse_key
from musicgen_ldm.provenance.record import is_record

# Also what libsndfile may not read: a clip must be counted or refused, not overlooked.
AUDIO_SUFFIXES = (
    ".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".m4a", ".aac", ".wma",
)  # fmt: skip
PROMPT_FIELDS = ("prompt", "caption", "text")
MANIFEST_NAME = "manifest.jsonl"
TAKE = re.compile(r"-take\d+$")


class PairingError(MetricError):
    """Some clips lack a partner: the whole run stops, since its numbers would mislead."""


@dataclass(frozen=True)
class AudioFile:
    """One file of a folder, or a stretch of one named by a manifest.

    Attributes:
        id: Path inside the folder without suffix, with forward slashes; or the manifest's id.
        path: Where it is.
        start_s: Where the stretch begins, in seconds.
        duration_s: How long it is; None is to the end.
    """

    id: str
    path: Path
    start_s: float = 0.0
    duration_s: float | None = None

    @property
    def prompt_id(self) -> str:
        """The id without its take number."""
        return prompt_id(self.id)


@dataclass(frozen=True)
class Source:
    """A set of recordings.

    Attributes:
        files: What to hear.
        records: Manifest lines by id; empty for a bare folder.
        root: Folder that entries' paths are relative to.
    """

    files: list[AudioFile]
    records: Mapping[str, Clip]
    root: Path


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a clip was asked to be; None or empty where nothing was said.

    Attributes:
        text: The sentence.
        bpm: Beats per minute.
        key: Tonic and mode.
        instruments: All that shall be heard.
        genre: Name of the genre.
        lead: Instrument that shall carry the melody.
        drums: With a drum kit, or without.
        solo: One instrument alone, or a band.
        electronic: Electronic, or acoustic.
        tempo_word: "slow", "medium" or "fast".
        felt: Pulse that a listener taps, relative to the beat of such music: 0.5, 1 or 2.
        clip: Id of the real clip that the prompt describes.
    """

    text: str
    bpm: float | None = None
    key: Key | None = None
    instruments: tuple[str, ...] = ()
    genre: str | None = None
    lead: str | None = None
    drums: bool | None = None
    solo: bool | None = None
    electronic: bool | None = None
    tempo_word: TempoWord | None = None
    felt: float = 1.0
    clip: str | None = None


def prompt_id(file_id: str) -> str:
    """Id of the prompt of a generated file: without its take number."""
    return TAKE.sub("", file_id)


def list_audio(folder: str | Path) -> list[AudioFile]:
    """The audio files under a folder, sorted by id.

    Raises:
        MetricError: If there are none, or two share an id.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MetricError(f"{folder}: no such folder; give a folder with audio files")
    found: dict[str, AudioFile] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in relative.parts)
        if is_hidden or path.suffix.lower() not in AUDIO_SUFFIXES:
            continue
        name = relative.with_suffix("").as_posix()
        if name in found:
            raise MetricError(
                f"{path} and {found[name].path} share the id {name!r}; rename one of them"
            )
        found[name] = AudioFile(name, path)
    if not found:
        raise MetricError(f"{folder}: holds no {', '.join(AUDIO_SUFFIXES)} file")
    return [found[name] for name in sorted(found)]


def manifest_audio(path: str | Path, split: str | None = None) -> dict[str, tuple[AudioFile, Clip]]:
    """The clips of a manifest with their records, sorted by id: groups and draws follow the order.

    Args:
        path: JSONL; audio paths are relative to its folder or absolute.
        split: Only clips of this split; None takes all.

    Raises:
        ManifestError: If a line is bad.
        MetricError: If no clip is of that split.
    """
    path = Path(path)
    found = {
        clip.id: (AudioFile(clip.id, path.parent / clip.path, clip.start_s, clip.duration_s), clip)
        for clip in sorted(read_manifest(path), key=lambda clip: clip.id)
        if split in (None, clip.split)
    }
    if not found:
        raise MetricError(f"{path}: holds no clip of split {split or 'any'}")
    return found


def open_source(path: Path, split: str | None = None) -> Source:
    """Audio from a manifest, from a folder with one, or from a bare folder.

    Args:
        path: JSONL or folder.
        split: Of a manifest; None takes every clip.

    Raises:
        MetricError: If there is no audio.
    """
    manifest = path if path.suffix == ".jsonl" else path / MANIFEST_NAME
    if manifest.is_file():
        clips = manifest_audio(manifest, split)
        files = [file for file, _ in clips.values()]
        return Source(files, {name: clip for name, (_, clip) in clips.items()}, manifest.parent)
    return Source(list_audio(path), {}, path)


def read_prompts(path: str | Path) -> dict[str, Prompt]:
    """Prompts by id from JSONL: `id`, `prompt`, and what it asks for.

    What is asked for (the fields of `Prompt`) may stand in the line itself, in `asked` or in
    `tags`; a line of a manifest is also read, with its first caption as the prompt.

    Raises:
        MetricError: With file and line number, for a line without id or text, or a repeated id.
    """
    path = Path(path)
    if not path.is_file():
        raise MetricError(
            f"{path}: no such prompts file; give JSONL with an id and a prompt a line"
        )
    prompts: dict[str, Prompt] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            name, prompt = str(record["id"]), parse_prompt(record)
        except (ValueError, KeyError, TypeError, MusicGenError) as error:
            what = f"no field {error}" if isinstance(error, KeyError) else str(error)
            raise MetricError(f"{path}:{number}: {what}") from error
        if name in prompts:
            raise MetricError(f"{path}:{number}: id {name!r} appears twice")
        prompts[name] = prompt
    return prompts


def parse_prompt(record: dict[str, Any]) -> Prompt:
    """A prompt from a JSON object.

    Raises:
        MetricError: If it holds no text, or an attribute has an impossible value.
        RequestError: If its key is not a key.
    """
    text = next((record[name] for name in PROMPT_FIELDS if record.get(name)), None)
    if text is None and record.get("captions"):
        text = record["captions"][0]
    if not text:
        raise MetricError(f"no text; give one of {', '.join(PROMPT_FIELDS)}")
    asked = {**(record.get("tags") or {}), **(record.get("asked") or {}), **record}
    key = _text(asked, "key")
    if key and asked.get("mode") in ("major", "minor") and " " not in key:
        key = f"{key} {asked['mode']}"
    elif key and asked.get("mode"):
        key = None  # a church mode: the measurement knows major and minor only
    return Prompt(
        text=str(text),
        bpm=_positive(asked, "bpm"),
        key=parse_key(key) if key else None,
        instruments=_names(asked, "instruments"),
        genre=_text(asked, "genre"),
        lead=_text(asked, "lead"),
        drums=_flag(asked, "drums"),
        solo=_flag(asked, "solo"),
        electronic=_flag(asked, "electronic"),
        tempo_word=_tempo_word(asked),
        felt=_positive(asked, "felt") or 1.0,
        clip=_text(record, "clip"),
    )


def _text(asked: dict[str, Any], name: str) -> str | None:
    value = asked.get(name)
    if value is not None and not isinstance(value, str):
        raise MetricError(f"{name} is {value!r}; give text or null")
    return value


def _positive(asked: dict[str, Any], name: str) -> float | None:
    value = asked.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < np.inf:
        raise MetricError(f"{name} is {value!r}; give a number above 0")
    return float(value)


def _names(asked: dict[str, Any], name: str) -> tuple[str, ...]:
    value = asked.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise MetricError(f'{name} is {value!r}; give a list like ["piano", "drums"]')
    return tuple(value)


def _flag(asked: dict[str, Any], name: str) -> bool | None:
    value = asked.get(name)
    if value not in (None, True, False):
        raise MetricError(f"{name} is {value!r}; give true, false or null")
    return value


def _tempo_word(asked: dict[str, Any]) -> TempoWord | None:
    word: TempoWord | None = asked.get("tempo_word")
    if word not in (None, *get_args(TempoWord)):
        raise MetricError(f"tempo_word is {word!r}; give one of {', '.join(get_args(TempoWord))}")
    return word


def recorded_prompts(files: list[AudioFile]) -> dict[str, Prompt]:
    """Prompts from the records that `generate` writes beside its files, by prompt id.

    Other JSON beside a sound is none of our business and is passed over.
    """
    prompts = {}
    for file in files:
        path = file.path.with_suffix(".json")
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
            continue
        request = record.get("request") if is_record(record) else None
        if request and request.get("prompt"):
            prompts[file.prompt_id] = parse_prompt(request)
    return prompts


def check_prompts(
    files: Sequence[AudioFile],
    prompts: Mapping[str, Prompt],
    path: Path | None,
    *,
    allow_missing: bool,
) -> None:
    """Refuse clips without a prompt before anything is computed.

    Args:
        files: Generated.
        prompts: By prompt id.
        path: Of the prompts file; None where they come from records.
        allow_missing: Leave unpaired clips out instead of refusing.

    Raises:
        PairingError: If some clips have no prompt and that is not allowed, or the file has none
            for any.
    """
    ids = [file.prompt_id for file in files]
    paired = check_pairs("prompt", ids, set(prompts), allow_missing=allow_missing)
    if path and not paired:
        raise PairingError(
            f"{path}: names none of the clips ({ids[0]}, …); an id is a file's path inside the "
            "folder without suffix and take"
        )


def reference_id(
    prompt_id: str, prompts: Mapping[str, Prompt], known: Collection[str]
) -> str | None:
    """Id of a prompt's reference clip: of the same name, or the clip that the prompt names."""
    if prompt_id in known:
        return prompt_id
    named = prompts[prompt_id].clip if prompt_id in prompts else None
    return named if named in known else None


def check_pairs(what: str, ids: list[str], known: set[str], *, allow_missing: bool) -> list[str]:
    """The ids that have a partner.

    Args:
        what: The partner, for the message.
        ids: Ids of the generated clips.
        known: Ids that have one.
        allow_missing: Leave unpaired clips out instead of refusing.

    Raises:
        PairingError: If some, but not all, ids lack a partner and that is not allowed.
    """
    missing = sorted(set(ids) - known)
    if missing and len(missing) < len(set(ids)) and not allow_missing:
        raise PairingError(
            f"{len(missing)} of {len(set(ids))} generated ids have no {what} "
            f"({', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}); "
            "complete them or pass --allow-missing"
        )
    return [name for name in ids if name in known]
