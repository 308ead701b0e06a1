"""Which soundfont renderer: TinySoundFont or FluidSynth? Speed, repeatability, likeness.

    pip install --no-deps tinysoundfont && pip install pyfluidsynth
    apt install libfluidsynth3 fluid-soundfont-gm
    python benchmarks/corpus_renderers.py [--soundfont FILE.sf2 ...]

Both play the same four seconds on every General MIDI program at 32 kHz, without reverberation
or chorus. "Repeats" plays a program twice with all others in between; "level" is TinySoundFont's
less FluidSynth's, the median over programs taken away: outliers rely on modulators.
"""

import argparse
import ctypes
import time
from pathlib import Path

import fluidsynth
import numpy as np
import numpy.typing as npt

from musicgen_ldm.corpus.score import Note
from musicgen_ldm.corpus.soundfont import SOUNDFONTS, open_soundfonts

RATE = 32_000
BLOCK = 64  # FluidSynth advances in blocks of this many samples
SECONDS = 4.0
NOTES = tuple(Note(0.5 * i, 0.4, pitch, 102) for i in range(6) for pitch in (48, 60, 67))
OUTLIER_DB = 10.0
FRAME = 2000
Stem = npt.NDArray[np.float32]


class Fluid:
    """FluidSynth behind the same call as our player; float output has no dither."""

    def __init__(self, path: Path) -> None:
        self.synth = fluidsynth.Synth(samplerate=float(RATE))
        self.synth.setting("synth.reverb.active", 0)
        self.synth.setting("synth.chorus.active", 0)
        self.font = self.synth.sfload(str(path))
        self.write = fluidsynth._fl.fluid_synth_write_float
        void, integer = ctypes.c_void_p, ctypes.c_int
        self.write.argtypes = [void, integer, void, integer, integer, void, integer, integer]

    def play(self, program: int) -> Stem:
        """Six chords on `program`, after a reset."""
        self.synth.system_reset()
        self.synth.program_select(0, self.font, 0, program)
        events = sorted(
            [(n.start_s, 1, n.pitch) for n in NOTES]
            + [(n.start_s + n.duration_s, 0, n.pitch) for n in NOTES]
        )
        out, done = [], 0
        for at, kind, pitch in [*events, (SECONDS, 2, 0)]:
            count = int(at * RATE) // BLOCK * BLOCK - done
            if count:
                block = np.empty((2, count), np.float32)
                left = block.ctypes.data
                self.write(self.synth.synth, count, left, 0, 1, left + 4 * count, 0, 1)
                out.append(block)
                done += count
            if kind == 1:
                self.synth.noteon(0, pitch, 102)
            elif kind == 0:
                self.synth.noteoff(0, pitch)
        return np.concatenate(out, axis=1)


def level_db(stem: Stem) -> float:
    """RMS in dB."""
    return 10 * np.log10(np.mean(np.square(stem, dtype=float)) + 1e-12)


def log_spectra(stem: Stem) -> Stem:
    """Log magnitudes of 1/16 s frames, flat, levelled to RMS 1."""
    mono = stem.mean(axis=0) / max(1e-9, stem.std())
    frames = mono[: len(mono) // FRAME * FRAME].reshape(-1, FRAME) * np.hanning(FRAME)
    return np.log(np.abs(np.fft.rfft(frames)) + 0.03).ravel()


def compare(path: Path) -> None:
    """Print one soundfont's row of numbers."""
    start = time.process_time()
    (tiny,) = open_soundfonts((path,))
    tiny.plays(0)
    loads = {"TinySoundFont": time.process_time() - start}
    start = time.process_time()
    fluid = Fluid(path)
    loads["FluidSynth"] = time.process_time() - start

    def play_tiny(program: int) -> Stem:
        return tiny.play(NOTES, program, num_samples=int(SECONDS * RATE), sample_rate=RATE)

    levels: dict[str, list[float]] = {}
    spectra: dict[str, list[Stem]] = {}
    print(path.name)
    for name, play in (("TinySoundFont", play_tiny), ("FluidSynth", fluid.play)):
        start = time.process_time()
        first = [play(program) for program in range(128)]
        speed = 128 * SECONDS / (time.process_time() - start)
        repeats = sum(np.array_equal(play(p), first[p]) for p in range(127, -1, -1))
        levels[name] = [level_db(stem) for stem in first]
        spectra[name] = [log_spectra(stem) for stem in first]
        print(
            f"  {name:14} load {loads[name]:5.1f} s  {speed:5.0f}x real time  "
            f"repeats exactly on {repeats} of 128 programs"
        )
    difference = np.array(levels["TinySoundFont"]) - np.array(levels["FluidSynth"])
    difference -= np.median(difference)
    outliers = {
        p: round(float(difference[p])) for p in range(128) if abs(difference[p]) >= OUTLIER_DB
    }
    alike = [
        np.corrcoef(one, two)[0, 1]
        for one, two in zip(spectra["TinySoundFont"], spectra["FluidSynth"], strict=True)
    ]
    print(f"  spectra correlate with {np.median(alike):.2f} (median over programs)")
    print(f"  level differs by {OUTLIER_DB:.0f} dB or more on programs {outliers}")


def main() -> None:
    """Compare the renderers on each soundfont."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--soundfont", nargs="+", type=Path, default=[info.path for info in SOUNDFONTS]
    )
    for path in parser.parse_args().soundfont:
        compare(path)


if __name__ == "__main__":
    main()
