"""Parts of the page in a test, and the whole of it in a browser."""

import asyncio
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from demo_driver import chromium, find_chromium, opened, serving

from musicgen_ldm.bank import build
from musicgen_ldm.checkpoint import Checkpoint, save
from musicgen_ldm.provenance import read_record

MAX_UPLOAD_MB = 1
RATE = 16_000
Made = Callable[[], list[tuple[Path, dict[str, Any]]]]


@pytest.fixture(scope="session")
def built() -> Callable[[Callable[[], Any]], Any]:
    """Calls a function inside an event loop; outside, gradio opens one and never closes it."""

    def build(make: Callable[[], Any]) -> Any:
        async def inside() -> Any:
            return make()

        return asyncio.run(inside())

    return build


# --- in a browser ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def told_of(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that brings examples, a card and two training clips, one of them with a file.

    The clip is the seconds 2 to 4 of `audio/steps.wav`, from the folder that holds the checkpoint.
    """
    root = tmp_path_factory.mktemp("checkpoints")
    folder = save(
        tiny_checkpoint, root / "tiny", metadata={"examples": ["slow ideas", "fast ideas"]}
    )
    (folder / "README.md").write_text("**Licence.** CC0-1.0")
    steps = root / "audio" / "steps.wav"
    steps.parent.mkdir()
    soundfile.write(steps, np.repeat([0.0, 0.1, 0.2, 0.3, 0.4], RATE), RATE)
    known = {"licence": "CC0-1.0", "source": "tests", "attribution": None}
    digest = sha256(steps.read_bytes()).hexdigest()
    place = {"path": "audio/steps.wav", "sha256": digest, "start_s": 2.0, "duration_s": 2.0}
    clips = (
        {"id": "steps", "captions": ["a steady tone"]} | known | place,
        {"id": "elsewhere", "captions": ["a lost tone"]} | known,
    )
    rows = [(sign * np.ones(32), clip) for sign, clip in zip((1, -1), clips, strict=True)]
    build(folder / "novelty", rows, embedder="clap-tiny", identity="x", dim=32)
    return folder


@pytest.fixture(scope="module")
def address(told_of: Path, outputs: Path) -> Iterator[str]:
    flags = ("--max-upload-mb", str(MAX_UPLOAD_MB), "--train-audio", str(told_of.parent))
    with serving(told_of, outputs, *flags) as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if find_chromium() is None:
        pytest.skip("needs Chromium: apt install chromium")
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    page = opened(browser, address, viewport={"width": 1200, "height": 900})
    yield page
    page.context.close()


@pytest.fixture
def made(outputs: Path) -> Made:
    """Files that the test has made on the page so far, oldest first, with what their tags say."""
    before = set(outputs.rglob("*.flac"))

    def look() -> list[tuple[Path, dict[str, Any]]]:
        new = sorted(set(outputs.rglob("*.flac")) - before, key=lambda path: path.stat().st_mtime)
        return [(path, read_record(path)) for path in new]

    return look


@pytest.fixture
def tone(tmp_path: Path) -> Callable[[str, float], Path]:
    """Writes so many seconds of a tone."""

    def write(name: str, seconds: float) -> Path:
        path = tmp_path / name
        soundfile.write(path, 0.1 * np.sin(np.arange(int(RATE * seconds))), RATE)
        return path

    return write
