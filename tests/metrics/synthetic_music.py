"""Synthetic melodies and folders of them, for the tests of the evaluation."""

import numpy as np
import soundfile

RATE = 16_000
SECONDS = 3.5


def melody(seed, *, seconds=SECONDS, harmonics=3, semitones=0):
    """Random decaying notes at 240 a minute, (T,) float32."""
    rng = np.random.default_rng(seed)
    t = np.arange(RATE // 4) / RATE
    notes = []
    for pitch in rng.integers(48, 72, size=round(seconds * 4)):
        f = 440 * 2 ** ((pitch + semitones - 69) / 12)
        tone = sum(np.sin(2 * np.pi * f * h * t) / h for h in range(1, harmonics + 1))
        notes.append(rng.uniform(0.5, 1) * tone * np.exp(-6 * t))
    return (0.2 * np.concatenate(notes)).astype(np.float32)


def write_folder(folder, clips):
    """Write {name: samples} as WAV files."""
    for name, samples in clips.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{name}.wav", samples, RATE)
    return folder
