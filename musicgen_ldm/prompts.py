"""Prompts files: JSONL with one request a line, or plain text with one sentence a line."""

import json
import re
import unicodedata
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from musicgen_ldm.config.generation import GenerateRequest, SamplingConfig
from musicgen_ldm.errors import RequestError


def file_name(given: Any, number: int, taken: Container[str]) -> str:
    """The name of a line's file: its `id`, else its number.

    Raises:
        RequestError: If the id is no file name or not the only one.
    """
    name = f"{number:04d}" if given is None else str(given)
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith(".") or name in taken:
        raise RequestError(f"id {name!r} must be unique and of letters, digits, . _ -")
    return name


def read_prompts(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and request fields of a prompts file.

    Fields that are no request fields (what an evaluation asked for, say) are left to whoever wrote
    them; `id` is kept.

    Raises:
        RequestError: With file and line number.
    """
    try:
        # "sig": editors on Windows begin a file with a byte order mark.
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: cannot be read as text ({error})") from error
    known = {"id", *GenerateRequest.__dataclass_fields__}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if any(unicodedata.category(c) == "Cc" and c != "\t" for c in line):
            raise RequestError(f"{path}:{number}: holds control characters; give a text file")
        if not line.lstrip().startswith("{"):
            yield number, {"prompt": line.strip()}
            continue
        try:
            values = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise RequestError(f"{path}:{number}: not valid JSON ({error})") from error
        if misplaced := values.keys() & SamplingConfig.__dataclass_fields__.keys():
            raise RequestError(
                f'{path}:{number}: {", ".join(sorted(misplaced))} must stand under "sampling", '
                'for example "sampling": {"steps": 50}'
            )
        yield number, {name: value for name, value in values.items() if name in known}
