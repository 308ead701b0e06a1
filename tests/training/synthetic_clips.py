"""A small folder of rhythmic tones with a manifest, for stages that train on sound."""

import numpy as np
import soundfile

from musicgen_ldm.data.manifest import Clip, Tags, write_manifest

RATE = 16_000


def pulsed_tone(pitch_hz, seconds, seed):
    """A decaying harmonic tone struck four times a second over faint noise, (T,) in [-1, 1]."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    envelope = np.exp(-8 * (time % 0.25))
    tone = sum(np.sin(2 * np.pi * pitch_hz * k * time) / k for k in (1, 2, 3))
    noise = 0.003 * rng.standard_normal(len(time))
    return (0.3 * envelope * tone + noise).astype(np.float32)


def write_clips(folder, num_train=8, num_valid=4, seconds=1.5):
    """Write the sounds and their manifest; returns the manifest's path."""
    clips = []
    for i in range(num_train + num_valid):
        samples = pulsed_tone(110 * 2 ** (i / 6), seconds, seed=i)
        soundfile.write(folder / f"{i}.wav", samples, RATE)
        clips.append(
            Clip(
                id=f"clip{i}", path=f"{i}.wav", sha256=str(i), start_s=0.0, duration_s=seconds,
                sample_rate=RATE, captions=("a pulsed tone", f"tone number {i}"),
                tags=Tags(bpm=120.0), beats_s=(0.0, 0.5, 1.0), downbeats_s=(0.0, 1.0),
                licence="CC0-1.0", split="train" if i < num_train else "valid",
                source="synthetic", attribution="",
            )
        )  # fmt: skip
    write_manifest(folder / "manifest.jsonl", clips)
    return folder / "manifest.jsonl"
