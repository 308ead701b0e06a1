from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 16_000


def song(seed: int, seconds: float = 6.0, rate: int = RATE, bpm: float = 120.0) -> np.ndarray:
    """A melody of decaying tones with clicks on the beat, different for each seed, (T,)."""
    rng = np.random.default_rng(seed)
    samples = 1e-3 * rng.standard_normal(round(seconds * rate))
    for number, beat_s in enumerate(np.arange(0.1, seconds - 0.4, 60 / bpm)):
        time = np.arange(round(0.4 * rate)) / rate
        pitch = 220 * 2 ** (rng.integers(0, 24) / 12)
        tone = sum(np.sin(2 * np.pi * pitch * h * time) / h for h in (1, 2, 3, 4))
        click = rng.standard_normal(len(time)) * np.exp(-time * 120)
        start = round(beat_s * rate)
        samples[start : start + len(time)] += 0.15 * tone * np.exp(-time * 6)
        samples[start : start + len(time)] += (0.4 if number % 4 == 0 else 0.2) * click
    return samples


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """Write a file into the folder `music`; returns its path."""

    def write_song(name: str, samples: np.ndarray | int, rate: int = RATE, **options) -> Path:
        path = tmp_path / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = song(samples, rate=rate) if isinstance(samples, int) else samples
        soundfile.write(path, data, rate, **options)
        return path

    return write_song


@pytest.fixture
def music(tmp_path) -> Path:
    """The folder that `write` fills."""
    return tmp_path / "music"
