"""Functions of published evaluation packages, as they are in the files that pip installs.

    pip install --no-deps --target rivals fadtk kadtk frechet-audio-distance audioldm-eval prdc \
        vendi-score faiss-cpu

The packages cannot all be imported (TensorFlow, torchaudio, other NumPy), so a wanted function is
parsed out of its file and run alone; nothing of them is kept here.
"""

import ast
import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path


class Muted:
    """Stands for an object whose calls do not matter, such as a logger."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


def lift(folder: Path, file: str, name: str, **namespace: object) -> Callable:
    """The function `name` of an installed file, run with the given names in scope."""
    tree = ast.parse((folder / file).read_text(encoding="utf-8"))
    function = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == name)
    function.decorator_list = []
    exec(compile(ast.Module([function], []), file, "exec"), namespace)
    return namespace[name]


def quietly(function: Callable, *arguments: object) -> object:
    """What the function returns, without what it prints and warns of."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return function(*arguments)
