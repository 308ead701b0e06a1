"""Fixtures that every area shares: a random tiny checkpoint, short sounds, no network."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_ldm.checkpoint import Checkpoint, initialise, save
from musicgen_ldm.pipeline import MusicLDM

# Test workers that compile at the same time overwrite each other's machine code in numba's shared
# cache, and crash. Nothing imported above has loaded numba, which reads this once.
_CACHE = Path(__file__).parents[1] / ".pytest_cache" / "numba"
os.environ["NUMBA_CACHE_DIR"] = str(_CACHE / os.environ.get("PYTEST_XDIST_WORKER", "alone"))

# Jobs in the background of a shell ignore Ctrl-C, and so would every test of it and its children.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def tiny_checkpoint() -> Checkpoint:
    return initialise("tiny")


@pytest.fixture(scope="session")
def tiny_folder(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tiny_checkpoint, tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> MusicLDM:
    return MusicLDM.from_pretrained(tiny_folder, device="cpu")


@pytest.fixture
def rng() -> Iterator[np.random.Generator]:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def stereo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of two decaying notes a second at 44.1 kHz, stereo, float."""
    rate = 44_100
    time = np.arange(4 * rate) / rate
    envelope = np.exp(-6 * (time % 0.5))
    left = 0.4 * np.sin(2 * np.pi * 220 * time) * envelope
    right = 0.3 * np.sin(2 * np.pi * 331 * time) * envelope
    path = tmp_path_factory.mktemp("sounds") / "stereo.wav"
    soundfile.write(path, np.stack([left, right], axis=1), rate, subtype="FLOAT")
    return path
