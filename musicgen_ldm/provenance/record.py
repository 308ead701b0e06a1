"""The record of a generated file: what every record holds, and its form as JSON.

A caller brings what it knows (prompt, seed, sampler, scores, ...); the fields that follow from
the package and the file are added here. `record.schema.json` beside this module describes the
whole object.
"""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from musicgen_ldm import __version__
from musicgen_ldm.errors import AudioError, OutputError
from musicgen_ldm.provenance.mark import GENERATOR, ai_mark

SCHEMA_VERSION = 1

Record = dict[str, Any]

_LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "soundfile")


def environment() -> dict[str, str | None]:
    """Versions that can change a result; None for a package that is not installed.

    Reads the installed metadata, so nothing is imported for it.
    """
    return {
        "musicgen_ldm": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    } | {name: _installed_version(name) for name in _LIBRARIES}


def _installed_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def complete_record(record: Mapping[str, Any], audio: Mapping[str, Any], *, mark: bool) -> Record:
    """The full record of a file.

    Args:
        record: What the caller knows. `environment` is kept when given (a record that is written
            again elsewhere), and measured otherwise.
        audio: The file's own facts: format, rate, length, gain and the hash of its audio.
        mark: Whether the AI-generated mark is part of it; `mark` is null otherwise.
    """
    return {
        "environment": environment(),
        **record,
        "schema": SCHEMA_VERSION,
        "generator": {"name": GENERATOR, "version": __version__},
        "audio": dict(audio),
        "mark": ai_mark() if mark else None,
    }


def how_loaded(record: Mapping[str, Any]) -> dict[str, Any]:
    """Precision and heads that the checkpoint was read with; older records do not say so."""
    return {"precision": "fp32", "reference_heads": True} | dict(record.get("loaded", {}))


def to_json(record: Mapping[str, Any], *, indent: int | None = None) -> str:
    """JSON with sorted keys; NumPy scalars and arrays become numbers and lists.

    Raises:
        OutputError: If a value is not finite or has no JSON form.
    """
    try:
        return json.dumps(
            record,
            indent=indent,
            sort_keys=True,
            ensure_ascii=False,
            allow_nan=False,
            default=_plain,
        )
    except (TypeError, ValueError) as error:
        raise OutputError(
            f"the record cannot be written as JSON ({error}); "
            "use text, finite numbers, lists and mappings"
        ) from error


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def from_json(text: str, source: str) -> Record:
    """Parse and check a record.

    Args:
        text: JSON.
        source: Where it came from, for the message.

    Raises:
        AudioError: If `text` is not a record, or one of a newer schema.
    """
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise AudioError(f"{source}: the record is damaged ({error}); it cannot be used") from error
    if not is_record(record):
        raise AudioError(f"{source}: holds JSON, but no {GENERATOR} record")
    if record["schema"] > SCHEMA_VERSION:
        raise AudioError(
            f"{source}: record schema {record['schema']}, this version reads up to "
            f"{SCHEMA_VERSION}; install a newer musicgen-ldm"
        )
    return record


def is_record(value: object) -> bool:
    """Whether parsed JSON is a record of this package."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("schema"), int)
        and isinstance(value.get("audio"), dict)
        and isinstance(value.get("generator"), dict)
        and value["generator"].get("name") == GENERATOR
    )
