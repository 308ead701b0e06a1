"""A few short synthetic clips with captions, tags and bar lines, as a manifest on disk."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import soundfile

from musicgen_ldm.data.manifest import Clip, Tags, write_manifest

RATE = 16_000
SECONDS = 2.56
GENRES = ("techno", "waltz")
INSTRUMENTS = ("piano", "flute")


def tone_clip(number: int, bpm: float) -> tuple[np.ndarray, np.ndarray]:
    """Samples of a pulsed tone and its beats."""
    rng = np.random.default_rng(number)
    time = np.arange(round(SECONDS * RATE)) / RATE
    beats = np.arange(0.05 * (number % 4), SECONDS, 60 / bpm)
    since = time - beats[np.searchsorted(beats, time, side="right").clip(1) - 1]
    tone = np.sin(2 * np.pi * (220 + 40 * number) * time) * np.exp(-8 * since.clip(0))
    return (0.4 * tone + 0.01 * rng.standard_normal(len(time))).astype(np.float32), beats


def write_tiny_music(folder: Path, *, train: int = 8, valid: int = 4) -> Path:
    """Write clips and `manifest.jsonl`; returns the manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for number in range(train + valid):
        bpm = (180.0, 240.0)[number % 2]
        genre, instrument = GENRES[number % 2], INSTRUMENTS[number // 2 % 2]
        samples, beats = tone_clip(number, bpm)
        path = folder / f"clip{number}.wav"
        soundfile.write(path, samples, RATE, subtype="FLOAT")
        clips.append(
            Clip(
                id=f"clip{number}",
                path=path.name,
                sha256=sha256(path.read_bytes()).hexdigest(),
                start_s=0.0,
                duration_s=SECONDS,
                sample_rate=RATE,
                captions=(f"A {genre} with {instrument}", f"{instrument}, {genre}, {bpm:g} bpm"),
                tags=Tags(genre=genre, instruments=(instrument,), bpm=bpm),
                beats_s=tuple(beats),
                downbeats_s=tuple(beats[::2]),
                split="train" if number < train else "valid",
                licence="CC0-1.0",
                source="synthetic",
                attribution="",
                extra={"facts": {"tempo_word": "fast" if bpm > 200 else "slow"}},
            )
        )
    write_manifest(folder / "manifest.jsonl", clips)
    return folder / "manifest.jsonl"
