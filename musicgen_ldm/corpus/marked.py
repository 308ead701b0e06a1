"""YAML that remembers where it was written, so that every complaint names file and line."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from musicgen_ldm.errors import CorpusError


@dataclass(frozen=True)
class Marked:
    """A YAML value with its place.

    Attributes:
        value: A dict of text to `Marked`, a list of `Marked`, or a scalar.
        path: File it came from.
        line: One-based line.
    """

    value: Any
    path: Path
    line: int

    def fail(self, message: str) -> NoReturn:
        """Raise CorpusError with file and line before `message`."""
        raise CorpusError(f"{self.path}:{self.line}: {message}")

    @property
    def _said(self) -> str:
        kinds: dict[type, str] = {dict: "`key: value` lines", list: "a list"}
        return kinds.get(type(self.value), repr(self.value))

    def mapping(
        self, required: Iterable[str] = (), optional: Iterable[str] | None = None
    ) -> dict[str, "Marked"]:
        """The value as a mapping; `optional` None allows any further key."""
        if not isinstance(self.value, dict):
            self.fail(f"expected `key: value` lines, got {self._said}")
        required = tuple(required)
        for key in required:
            if key not in self.value:
                self.fail(f"`{key}` is missing")
        if optional is not None:
            known = (*required, *optional)
            for key, entry in self.value.items():
                if key not in known:
                    entry.fail(f"`{key}` is not known here; known: {', '.join(known)}")
        return self.value

    def sequence(self, *, at_least: int = 0) -> list["Marked"]:
        """The value as a list with `at_least` entries."""
        if not isinstance(self.value, list):
            self.fail(f"expected a list, got {self._said}")
        if len(self.value) < at_least:
            self.fail(f"{len(self.value)} entries, at least {at_least} are needed")
        return self.value

    def text(self) -> str:
        """The value as text, which may not be empty."""
        if not isinstance(self.value, str) or not self.value.strip():
            self.fail(f"expected text, got {repr(self.value) if self.value else 'nothing'}")
        return self.value

    def number(self, low: float, high: float) -> float:
        """The value as a number within [low, high]."""
        try:
            number = float(self.value)
        except (TypeError, ValueError):
            self.fail(f"expected a number, got {self._said}")
        if not low <= number <= high:
            self.fail(f"{number:g} is outside {low:g} to {high:g}")
        return number

    def whole(self, low: int, high: int) -> int:
        """The value as a whole number within [low, high]."""
        number = self.number(low, high)
        if not number.is_integer():
            self.fail(f"{number:g} is not a whole number")
        return int(number)

    def choice(self, allowed: Iterable[str]) -> str:
        """The value as one of `allowed`."""
        allowed = tuple(allowed)
        if self.value not in allowed:
            self.fail(f"{self.value!r} is not one of {', '.join(allowed)}")
        return str(self.value)

    def __iter__(self) -> Iterator["Marked"]:
        return iter(self.sequence())


def read_marked(path: str | Path) -> Marked:
    """The single document of a YAML file; all scalars are text.

    Raises:
        CorpusError: If the file is missing, empty or no YAML.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: cannot be read: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CorpusError(f"{path}:{line}: not valid YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        character = f"#x{error.character:04x}"
        raise CorpusError(f"{path}:{line}: not valid YAML: {character}: {error.reason}") from error
    if node is None:
        raise CorpusError(f"{path}:1: the file is empty")
    return _mark(node, path)


def _mark(node: yaml.Node, path: Path) -> Marked:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        entries: dict[str, Marked] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in entries:
                Marked(None, path, key_node.start_mark.line + 1).fail(f"`{key}` appears twice")
            # A block value starts a line below its key; the key's line is where one looks.
            marked = _mark(value_node, path)
            entries[key] = Marked(marked.value, path, key_node.start_mark.line + 1)
        return Marked(entries, path, line)
    if isinstance(node, yaml.SequenceNode):
        return Marked([_mark(child, path) for child in node.value], path, line)
    return Marked(node.value, path, line)
