"""Our own synthesiser: patches as ranges, drawn anew for every part, so no two basses are twins."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from musicgen_ldm.corpus.kernels import (
    FM,
    PULSE,
    SAW,
    SINE,
    TRIANGLE,
    Envelope,
    Notes,
    Subtractive,
    play_additive,
    play_fm,
    play_subtractive,
)
from musicgen_ldm.corpus.score import Note
from musicgen_ldm.errors import CorpusError

FloatArray = npt.NDArray[np.float32]
Range = float | tuple[float, float]  # a number, or bounds to draw between
Shape = tuple[Range, Range, Range, Range]  # attack, decay, sustain, release

WHOLE_NOTE_WOBBLES = (2.0, 3.0, 4.0, 6.0, 8.0)  # turns of the wobble in four beats


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A sound as ranges.

    Attributes:
        kind: Which kernel plays it.
        amplitude: Loudness envelope.
        opening: Filter envelope of subtractive patches.
        waves: Waveforms to choose from, subtractive only.
        unison: Numbers of detuned voices to choose from, subtractive only.
        values: Ranges of the kernel's numbers by name; what is not named is 0.
        pairs: FM pairs to choose from: ((ratios), (modulators), (depths)).
        partials: Harmonic sets to choose from, additive only: (ratio, gain, fade in seconds).
    """

    kind: Literal["subtractive", "fm", "additive"] = "subtractive"
    amplitude: Shape
    opening: Shape = (0.002, 0.2, 0.2, 0.2)
    waves: tuple[int, ...] = (SAW,)
    unison: tuple[int, ...] = (1,)
    values: dict[str, Range] = field(default_factory=dict)
    pairs: tuple[tuple[tuple[float, float], ...], ...] = ()
    partials: tuple[tuple[tuple[float, float, float], ...], ...] = ()


def _drawbars(*levels: int) -> tuple[tuple[float, float, float], ...]:
    """Organ partials from nine drawbar positions 0-8, 3 dB a step."""
    ratios = (0.5, 1.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    return tuple(
        (ratio, 10 ** ((level - 8) * 3 / 20), 60.0)
        for ratio, level in zip(ratios, levels, strict=True)
        if level
    )


# fmt: off
PATCHES: dict[str, Patch] = {
    "saw_bass": Patch(
        amplitude=(0.003, (0.2, 0.8), (0.4, 0.9), (0.03, 0.1)), waves=(SAW, SAW, PULSE),
        unison=(1, 2), opening=(0.002, (0.08, 0.4), (0.0, 0.4), 0.1),
        values={"width": (0.3, 0.5), "detune": (3, 9), "sub": (0.2, 0.7), "cutoff": (220, 700),
                "tracking": 0.5, "opening": (1.0, 3.2), "resonance": (0.1, 0.6),
                "drive": (0.8, 2.0)}),
    "sub_bass": Patch(
        amplitude=((0.004, 0.012), (0.5, 2.0), (0.5, 0.95), (0.06, 0.2)), waves=(SINE, TRIANGLE),
        opening=(0.002, (0.05, 0.15), 0.0, 0.1),
        values={"cutoff": (250, 900), "opening": (0.5, 2.0), "drive": (1.0, 3.0),
                "glide": (0.001, 0.05)}),
    "acid_bass": Patch(
        amplitude=(0.002, (0.15, 0.4), (0.2, 0.5), (0.02, 0.05)), waves=(SAW, PULSE),
        opening=(0.002, (0.06, 0.25), 0.0, 0.05),
        values={"width": 0.5, "cutoff": (180, 500), "tracking": 0.3, "opening": (2.2, 4.2),
                "resonance": (0.75, 0.93), "glide": (0.001, 0.04), "drive": (1.0, 2.5)}),
    "reese_bass": Patch(
        amplitude=((0.005, 0.02), 1.0, (0.8, 1.0), (0.05, 0.12)), unison=(3, 4, 5),
        opening=(0.1, (0.3, 1.0), 0.4, 0.1),
        values={"detune": (14, 34), "spread": (0.2, 0.6), "sub": (0.3, 0.8), "cutoff": (250, 900),
                "opening": (0.3, 1.5), "resonance": (0.0, 0.4), "wobble": (0.2, 0.8),
                "wobble_hz": (0.1, 0.6), "drive": (1.2, 2.5)}),
    "wobble_bass": Patch(
        amplitude=(0.004, 1.0, (0.85, 1.0), (0.03, 0.08)), waves=(SAW, PULSE), unison=(2, 3),
        values={"width": (0.3, 0.5), "detune": (6, 18), "spread": 0.3, "sub": (0.3, 0.7),
                "cutoff": (350, 900), "resonance": (0.35, 0.75), "wobble": (1.3, 2.3),
                "drive": (1.5, 4.0)}),
    "fm_bass": Patch(
        kind="fm", amplitude=(0.003, (0.3, 0.9), (0.2, 0.6), (0.03, 0.1)),
        values={"fade_0": (0.08, 0.4), "fade_1": (0.03, 0.1), "second": (0.1, 0.4)},
        pairs=(((1, 1), (1, 3), (2.5, 2)), ((1, 2), (2, 1), (2, 1.5)), ((1, 1), (0.5, 7), (3, 1)))),
    "supersaw": Patch(
        amplitude=((0.004, 0.03), (0.5, 1.5), (0.7, 0.95), (0.03, 0.14)), unison=(5, 7),
        opening=(0.005, (0.3, 1.0), (0.3, 0.7), 0.3),
        values={"detune": (12, 28), "spread": (0.6, 1.0), "cutoff": (1800, 6000), "tracking": 0.4,
                "opening": (0.3, 1.5), "resonance": (0.0, 0.25)}),
    "stab": Patch(
        amplitude=(0.002, (0.09, 0.3), (0.0, 0.2), (0.03, 0.1)), waves=(SAW, PULSE, SAW),
        unison=(2, 3), opening=(0.002, (0.05, 0.22), 0.0, 0.1),
        values={"width": (0.2, 0.5), "detune": (5, 16), "spread": (0.3, 0.8), "cutoff": (500, 1600),
                "tracking": 0.4, "opening": (1.5, 3.2), "resonance": (0.1, 0.55)}),
    "pluck": Patch(
        amplitude=(0.002, (0.1, 0.35), 0.0, (0.05, 0.18)), waves=(SAW, PULSE, TRIANGLE),
        unison=(1, 2, 3), opening=(0.001, (0.04, 0.2), 0.0, 0.1),
        values={"width": (0.2, 0.5), "detune": (3, 12), "spread": (0.2, 0.8), "cutoff": (500, 2000),
                "tracking": 0.6, "opening": (1.5, 3.5), "resonance": (0.05, 0.5)}),
    "saw_lead": Patch(
        amplitude=((0.004, 0.03), 0.6, (0.6, 0.9), (0.03, 0.09)), waves=(SAW, PULSE, PULSE),
        unison=(1, 2, 3), opening=(0.005, (0.2, 0.6), (0.3, 0.7), 0.2),
        values={"width": (0.15, 0.5), "detune": (4, 14), "spread": (0.2, 0.7),
                "cutoff": (1200, 4500), "tracking": 0.5, "opening": (0.5, 1.8),
                "resonance": (0.05, 0.5), "vibrato": (4, 22), "vibrato_hz": (4.5, 6.2),
                "glide": (0.001, 0.06), "drive": (0.6, 1.4)}),
    "synth_brass": Patch(
        amplitude=((0.02, 0.06), 0.6, (0.7, 0.95), (0.03, 0.08)), unison=(2, 3),
        opening=((0.03, 0.1), (0.3, 0.8), (0.4, 0.7), 0.2),
        values={"detune": (5, 11), "spread": (0.3, 0.7), "cutoff": (450, 1100), "tracking": 0.5,
                "opening": (1.4, 2.6), "resonance": (0.0, 0.25), "vibrato": (0, 8),
                "vibrato_hz": 5.2}),
    "fm_bell": Patch(
        kind="fm", amplitude=(0.002, (0.25, 0.8), 0.0, (0.12, 0.4)),
        values={"fade_0": (0.3, 1.0), "fade_1": (0.1, 0.4), "second": (0.2, 0.5),
                "tremolo": (0.0, 0.25), "tremolo_hz": (2.0, 5.0)},
        pairs=(((1, 2), (3.5, 7), (1.5, 0.8)), ((1, 3), (1.41, 5), (1.8, 0.6)),
               ((1, 4), (2.76, 9), (1.2, 0.5)))),
    "fm_piano": Patch(
        kind="fm", amplitude=(0.002, (0.5, 1.2), 0.0, (0.04, 0.1)),
        values={"fade_0": (0.3, 0.9), "fade_1": (0.04, 0.12), "second": (0.15, 0.4),
                "tremolo": (0.0, 0.35), "tremolo_hz": (3.0, 6.5)},
        pairs=(((1, 1), (1, 14), (1.1, 0.9)), ((1, 2), (1, 11), (1.4, 0.6)),
               ((1, 1), (2, 13), (0.7, 0.8)))),
    "saw_pad": Patch(
        amplitude=((0.15, 0.7), 1.0, (0.85, 1.0), (0.1, 0.35)), waves=(SAW, SAW, PULSE),
        unison=(3, 4), opening=((0.4, 1.5), 2.0, 0.7, 0.8),
        values={"width": (0.25, 0.5), "detune": (7, 18), "spread": (0.6, 1.0),
                "cutoff": (350, 1300), "tracking": 0.5, "opening": (0.5, 1.6),
                "resonance": (0.0, 0.3), "wobble": (0.0, 0.5), "wobble_hz": (0.08, 0.35)}),
    "glass_pad": Patch(
        kind="additive", amplitude=((0.2, 0.6), 1.5, 0.8, (0.15, 0.45)),
        values={"rotor": (0.1, 0.5)},
        partials=(((1, 1, 20), (2.003, 0.35, 20), (3.01, 0.25, 6), (5.02, 0.16, 3), (8.1, 0.08, 2)),
                  ((1, 1, 20), (1.004, 0.7, 20), (4.01, 0.22, 5), (6.03, 0.12, 3)),
                  ((1, 0.8, 20), (2.0, 0.6, 20), (2.997, 0.35, 9), (7.05, 0.12, 3)))),
    "drone": Patch(
        amplitude=((0.4, 1.5), 1.0, 1.0, (0.2, 0.5)), waves=(SAW, PULSE, TRIANGLE), unison=(3, 5),
        opening=(1.0, 3.0, 0.8, 1.0),
        values={"width": 0.4, "detune": (5, 14), "spread": (0.5, 1.0), "sub": (0.3, 0.8),
                "noise": (0.0, 0.03), "cutoff": (250, 900), "resonance": (0.1, 0.6),
                "wobble": (0.5, 1.6), "wobble_hz": (0.05, 0.25)}),
    "chip_lead": Patch(
        amplitude=(0.001, (0.2, 0.9), (0.3, 0.9), (0.005, 0.03)), waves=(PULSE,),
        values={"width": (0.12, 0.5), "cutoff": 14000.0, "vibrato": (0, 30), "vibrato_hz": (5, 7)}),
    "chip_bass": Patch(
        amplitude=(0.001, (0.3, 1.0), (0.5, 1.0), (0.005, 0.03)), waves=(TRIANGLE, PULSE, TRIANGLE),
        values={"width": (0.25, 0.5), "cutoff": 9000.0}),
    "noise_sweep": Patch(
        amplitude=((0.3, 1.0), 2.0, 1.0, (0.1, 0.3)), waves=(SINE,),
        opening=((1.5, 3.5), 1.0, 1, 0.5),
        values={"noise": (2.0, 4.0), "cutoff": (250, 500), "opening": (2.5, 4.2),
                "resonance": (0.2, 0.6)}),
    "drawbar_organ": Patch(
        kind="additive", amplitude=(0.006, 1.0, 1.0, (0.02, 0.05)), values={"rotor": (0.6, 6.8)},
        partials=(_drawbars(8, 8, 8, 0, 0, 0, 0, 0, 0), _drawbars(8, 3, 8, 8, 0, 0, 0, 0, 6),
                  _drawbars(6, 8, 8, 6, 0, 0, 0, 0, 0), _drawbars(0, 0, 8, 8, 4, 6, 2, 2, 4),
                  _drawbars(8, 6, 8, 8, 5, 3, 2, 4, 5))),
}
# fmt: on

# Sampled instruments whose sound our synthesis can stand in for, now and then, for variety.
ALTERNATIVES = {
    "electric piano": "fm_piano",
    "organ": "drawbar_organ",
    "rock organ": "drawbar_organ",
}


def draw(bounds: Range, rng: np.random.Generator) -> float:
    """A number within `bounds`; positive bounds are drawn evenly in ratio, as ears hear."""
    if not isinstance(bounds, tuple):
        return float(bounds)
    low, high = bounds
    if low > 0:
        return float(low * (high / low) ** rng.random())
    return float(low + (high - low) * rng.random())


def midi_to_hz(pitch: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Equal temperament, A4 = 440 Hz."""
    return 440.0 * 2 ** ((pitch - 69) / 12)


def play_patch(
    name: str,
    notes: tuple[Note, ...],
    *,
    num_samples: int,
    sample_rate: int,
    bpm: float,
    brightness: float,
    articulation: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Play notes with one sound drawn from a patch.

    Args:
        name: One of `PATCHES`.
        notes: Onsets in seconds from the first sample, none negative.
        num_samples: T.
        sample_rate: Hz.
        bpm: Tempo that wobbles follow.
        brightness: -1 closes the filter by an octave, +1 opens it by one.
        articulation: -1 halves the release, +1 doubles it.
        rng: Draws the sound.

    Returns:
        Stereo buffer (2, T); its level is arbitrary.

    Raises:
        CorpusError: If no patch has that name.
    """
    if name not in PATCHES:
        raise CorpusError(f"no synth patch is called {name!r}; known: {', '.join(PATCHES)}")
    patch = PATCHES[name]
    out = np.zeros((2, num_samples), np.float32)
    audible = [note for note in notes if note.start_s * sample_rate < num_samples]
    arrays = Notes(
        starts=np.array([int(note.start_s * sample_rate) for note in audible], np.int64),
        holds=np.array([int(note.duration_s * sample_rate) for note in audible], np.int64),
        frequencies=midi_to_hz(np.array([note.pitch for note in audible], np.float64)),
        gains=np.array([(note.velocity / 127) ** 1.5 for note in audible], np.float64),
    )
    voice = {key: draw(bounds, rng) for key, bounds in patch.values.items()}
    amplitude = _envelope(patch.amplitude, articulation, rng)
    if patch.kind == "fm":
        ratio, modulator, depth = patch.pairs[rng.integers(len(patch.pairs))]
        bright = 2 ** (0.6 * brightness) * (0.7 + 0.6 * rng.random())
        fm = FM(
            ratio=_pair(ratio), modulator=_pair(modulator),
            depth=_pair(tuple(bright * value for value in depth)),
            fade=(voice["fade_0"], voice["fade_1"]), second=voice["second"],
            tremolo=voice.get("tremolo", 0.0), tremolo_hz=voice.get("tremolo_hz", 0.0),
        )  # fmt: skip
        play_fm(out, arrays, sample_rate, fm, amplitude)
    elif patch.kind == "additive":
        partials = np.array(patch.partials[rng.integers(len(patch.partials))], np.float64)
        partials[:, 1] *= partials[:, 0] ** (0.5 * brightness)
        play_additive(out, arrays, sample_rate, partials, amplitude, voice["rotor"])
    else:
        drawn = _draw_subtractive(patch, voice, bpm, brightness, rng)
        opening = _envelope(patch.opening, 0.0, rng)
        phases = rng.random((len(audible), int(rng.choice(patch.unison))))
        play_subtractive(out, arrays, sample_rate, drawn, amplitude, opening, phases)
    return out


def _pair(values: tuple[float, ...]) -> tuple[float, float]:
    """Two floats, whatever integers the table holds: the compiled kernel wants one type."""
    return float(values[0]), float(values[1])


def _envelope(shape: Shape, articulation: float, rng: np.random.Generator) -> Envelope:
    attack, decay, sustain, release = (draw(bounds, rng) for bounds in shape)
    return Envelope(attack, decay, sustain, release * 2**articulation)


def _draw_subtractive(
    patch: Patch,
    voice: dict[str, float],
    bpm: float,
    brightness: float,
    rng: np.random.Generator,
) -> Subtractive:
    """The kernel's numbers, with the tempo of wobbles and the mood's brightness."""
    numbers = {key: voice.get(key, 0.0) for key in Subtractive._fields if key != "shape"}
    numbers["cutoff"] *= 2**brightness
    if numbers["wobble"] and "wobble_hz" not in voice:
        numbers["wobble_hz"] = bpm / 240 * float(rng.choice(WHOLE_NOTE_WOBBLES))
    return Subtractive(shape=int(rng.choice(patch.waves)), **numbers)
