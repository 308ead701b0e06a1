"""How many tests there are of each kind, as a Markdown table.

A test function counts once, whatever it is parametrised with, under the first rule that holds.
Rules look at its folder, marks, name and source; what a name does not tell, they do not know, so
the last row holds every other assertion about behaviour.

    python benchmarks/tests_by_kind.py
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
# Calls into libraries that say what is right.
REFERENCES = r"\b(librosa\.feature|scipy|sklearn|prdc|vendi_score|DiffusionPipeline)\b[.(]"


@dataclass(frozen=True)
class Test:
    """One test function."""

    area: str
    file: str
    name: str
    source: str
    marks: str


def _says(pattern: str) -> Callable[[Test], bool]:
    return lambda test: re.search(pattern, test.name) is not None


def _does(pattern: str) -> Callable[[Test], bool]:
    return lambda test: re.search(pattern, test.source) is not None


# Kind -> what it asserts, and when a test is of it.
RULES: dict[str, tuple[str, Callable[[Test], bool]]] = {
    "browser": ("the page, in headless Chromium", lambda t: "browser" in t.marks),
    "documentation": (
        "README, configurations, packaging and public names keep their promises",
        lambda t: t.area == "contract",
    ),
    "kill and resume": (
        "what was interrupted leaves no halves and ends as if it had not been",
        _says(
            r"kill|resum|interrupt|ctrl_c|goes_on|go_on|leaves_halves|unfinished|full_disk|stop_ends"
        ),
    ),
    "error": (
        "wrong input, damaged files, missing things: an error that says what to do",
        _does(r"pytest\.raises|== 2\b.*\n?.*capsys"),
    ),
    "parity": (
        "equal to another implementation, or to published numbers",
        lambda test: (
            _says(
                r"stock|published|faithful|librosa|scipy|prdc|mir_eval|mirex|textbook|_standard$|"
                r"original|brute_force|double_sum|closed_form|matrix_square_root"
            )(test)
            or _does(REFERENCES)(test)
            or "rivals" in test.file
        ),
    ),
    "same again": (
        "the same bits whatever the batch, the seed's neighbours, workers, processes or storage",
        _says(
            r"(^|_)same(_|$)|seed|determin|repeat(s|able)?($|_(exact|with))|bit_|bitwise|batch_free|"
            r"round_trip|reload|not_depend|on_epoch_and|workers_do|process(es)?_(equal|too|have)|"
            r"(blocks?|order).*_do_not_matter|slices_of|accumulation_equals|alone_in_a_batch"
        ),
    ),
    "closed form, limit, invariant": (
        "every other assertion about behaviour: known values, bounds, symmetries, what stays true",
        lambda test: True,
    ),
}


def read_tests(folder: Path = TESTS) -> Iterator[Test]:
    """Test functions and methods below a folder, without importing them."""
    for path in sorted(folder.glob("*/test_*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        module_marks = " ".join(
            ast.unparse(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
        )
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                marks = " ".join(map(ast.unparse, node.decorator_list))
                source = ast.get_source_segment(text, node) or ""
                name = node.name.removeprefix("test_")
                yield Test(path.parent.name, path.name, name, source, f"{module_marks} {marks}")


def kind_of(test: Test) -> str:
    """The first kind whose rule holds."""
    return next(kind for kind, (_, holds) in RULES.items() if holds(test))


def table() -> str:
    """Rows of kinds with their number, what they assert and the areas they lie in."""
    areas: dict[str, Counter[str]] = {kind: Counter() for kind in RULES}
    for test in read_tests():
        areas[kind_of(test)][test.area] += 1
    lines = ["| kind | tests | asserts | mostly in |", "|---|---:|---|---|"]
    for kind, (asserts, _) in RULES.items():
        most = ", ".join(f"{area} {n}" for area, n in areas[kind].most_common(4))
        lines.append(f"| {kind} | {areas[kind].total()} | {asserts} | {most} |")
    total = sum(counter.total() for counter in areas.values())
    return "\n".join([*lines, f"| all | {total} | | |"])


if __name__ == "__main__":
    print(table())
