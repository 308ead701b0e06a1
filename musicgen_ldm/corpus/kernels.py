"""Compiled voices of our own synthesis: subtractive, FM and additive.

Each kernel adds notes to a stereo buffer (2, T). A note is given by its first sample, the
samples it is held for, its frequency in Hz and its gain; the release follows the hold. Kernels
are pure: all chance (phases, detuning) arrives in the arguments, so the same arguments yield the
same samples on every worker.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from musicgen_ldm.errors import MissingExtraError

try:
    from numba import njit
except ImportError as error:
    raise MissingExtraError(
        "the corpus synthesiser needs numba; run `pip install 'musicgen-ldm[corpus]'`"
    ) from error

FloatArray = npt.NDArray[np.float32]

CONTROL = 16  # samples between updates of filters and modulators
TURN = 2 * math.pi
SILENT = 3e-4  # envelopes below this (-70 dB) have ended
SINE, TRIANGLE, SAW, PULSE = 0, 1, 2, 3


class Notes(NamedTuple):
    """Notes of one part, an array entry each.

    Attributes:
        starts: First samples.
        holds: Samples held.
        frequencies: Hz.
        gains: Linear.
    """

    starts: npt.NDArray[np.int64]
    holds: npt.NDArray[np.int64]
    frequencies: npt.NDArray[np.float64]
    gains: npt.NDArray[np.float64]


class Envelope(NamedTuple):
    """Attack, decay and release in seconds (time constants of decay and release), sustain 0-1."""

    attack: float
    decay: float
    sustain: float
    release: float


class Subtractive(NamedTuple):
    """Detuned oscillators into a resonant low-pass filter.

    Attributes:
        shape: SINE, TRIANGLE, SAW or PULSE.
        width: Duty cycle of PULSE, 0-1.
        detune: Spread of the unison voices, cents to each side.
        spread: Stereo spread of the unison voices, 0-1.
        sub: Gain of a sine one octave below.
        noise: Gain of white noise.
        cutoff: Filter frequency at rest, Hz, at middle C.
        tracking: How far the cutoff follows the note, 0-1.
        opening: Octaves by which the filter envelope opens the filter.
        resonance: 0 none to 1 self-oscillation.
        vibrato: Cents; fades in over the first half second.
        vibrato_hz: Its rate.
        wobble: Octaves by which a sine moves the cutoff.
        wobble_hz: Its rate.
        glide: Seconds to slide from the note before.
        drive: Gain into a tanh; 0 is clean.
    """

    shape: int
    width: float
    detune: float
    spread: float
    sub: float
    noise: float
    cutoff: float
    tracking: float
    opening: float
    resonance: float
    vibrato: float
    vibrato_hz: float
    wobble: float
    wobble_hz: float
    glide: float
    drive: float


class FM(NamedTuple):
    """Two pairs of sine operators; each pair is a carrier and its modulator.

    Attributes:
        ratio: Carrier frequency over the note's, for each pair.
        modulator: Modulator frequency over the note's, for each pair.
        depth: Modulation index at full velocity, for each pair.
        fade: Seconds in which the depth falls to 1/e, for each pair.
        second: Gain of the second pair.
        tremolo: Depth of a stereo tremolo, 0-1.
        tremolo_hz: Its rate.
    """

    ratio: tuple[float, float]
    modulator: tuple[float, float]
    depth: tuple[float, float]
    fade: tuple[float, float]
    second: float
    tremolo: float
    tremolo_hz: float


@njit(cache=True)
def _envelope(time: float, held: float, shape: Envelope) -> float:
    """Value at `time` seconds after the onset of a note held for `held` seconds."""
    inside = min(time, held)
    if inside < shape.attack:
        level = inside / shape.attack
    else:
        fall = math.exp(-(inside - shape.attack) / shape.decay)
        level = shape.sustain + (1 - shape.sustain) * fall
    if time > held:
        level *= math.exp(-(time - held) / shape.release)
    return level


@njit(cache=True)
def _poly_blep(phase: float, step: float) -> float:
    """Correction that band-limits a jump at phase 0 (Välimäki & Huovilainen 2007)."""
    if phase < step:
        x = phase / step
        return x + x - x * x - 1
    if phase > 1 - step:
        x = (phase - 1) / step
        return x * x + x + x + 1
    return 0.0


@njit(cache=True)
def _sine(phase: float) -> float:
    """Sine of `phase` turns, within 0.0011: four times as fast as the library's."""
    turn = phase - math.floor(phase + 0.5)
    bow = 8 * turn - 16 * turn * abs(turn)
    return bow + 0.225 * (bow * abs(bow) - bow)


@njit(cache=True)
def _oscillator(shape: int, phase: float, step: float, width: float) -> float:
    """One sample in [-1, 1] of a waveform at `phase` in [0, 1)."""
    if shape == 0:
        return _sine(phase)
    if shape == 1:
        return 4 * abs(phase - 0.5) - 1
    saw = 2 * phase - 1 - _poly_blep(phase, step)
    if shape == 2:
        return saw
    other = (phase + width) % 1.0
    return saw - (2 * other - 1 - _poly_blep(other, step)) + 2 * width - 1


@njit(cache=True)
def play_subtractive(
    out: FloatArray,
    notes: Notes,
    sample_rate: int,
    patch: Subtractive,
    amplitude: Envelope,
    opening: Envelope,
    phases: npt.NDArray[np.float64],
) -> None:
    """Add subtractive notes to `out` (2, T); `phases` (notes, unison voices) in [0, 1).

    The filter is the zero-delay state-variable filter (Zavalishin, The Art of VA Filter Design).
    """
    unison = phases.shape[1]
    ratio = np.empty(unison)
    left = np.empty(unison)
    right = np.empty(unison)
    for voice in range(unison):
        place = 0.0 if unison == 1 else 2.0 * voice / (unison - 1) - 1.0
        ratio[voice] = 2 ** (place * patch.detune / 1200)
        side = patch.spread * place * (1 if voice % 2 else -1)
        left[voice] = math.cos((1 + side) * math.pi / 4) / math.sqrt(unison)
        right[voice] = math.sin((1 + side) * math.pi / 4) / math.sqrt(unison)
    damping = 2 - 1.96 * patch.resonance
    noise_state = np.uint32(22222)
    before = notes.frequencies[0] if len(notes.frequencies) else 0.0
    step = np.empty(unison)
    for note in range(len(notes.starts)):
        phase = phases[note].copy()
        sub_phase = 0.0
        held = notes.holds[note] / sample_rate
        s1l = s2l = s1r = s2r = 0.0
        a1 = a2 = a3 = level = level_step = frequency = 0.0
        num_samples = out.shape[1] - notes.starts[note]
        for n in range(num_samples):
            if n % CONTROL == 0:
                time = n / sample_rate
                target = _envelope(time + CONTROL / sample_rate, held, amplitude)
                if n == 0:
                    level = _envelope(0.0, held, amplitude)
                if time > amplitude.attack and target < SILENT:
                    break
                level_step = (target - level) / CONTROL
                frequency = notes.frequencies[note]
                if patch.glide > 0:
                    frequency *= (before / frequency) ** math.exp(-time / patch.glide)
                swing = math.sin(2 * math.pi * patch.vibrato_hz * time) * min(1.0, 2 * time)
                frequency *= 2 ** (patch.vibrato * swing / 1200)
                for voice in range(unison):
                    step[voice] = min(0.45, frequency * ratio[voice] / sample_rate)
                octaves = patch.opening * _envelope(time, held, opening)
                octaves += patch.wobble * math.sin(2 * math.pi * patch.wobble_hz * time)
                octaves += patch.tracking * math.log2(frequency / 261.63)
                cutoff = min(0.45 * sample_rate, max(30.0, patch.cutoff * 2**octaves))
                g = math.tan(math.pi * cutoff / sample_rate)
                a1 = 1 / (1 + g * (g + damping))
                a2 = g * a1
                a3 = g * a2
            level += level_step
            xl = xr = 0.0
            for voice in range(unison):
                value = _oscillator(patch.shape, phase[voice], step[voice], patch.width)
                xl += left[voice] * value
                xr += right[voice] * value
                phase[voice] += step[voice]
                if phase[voice] >= 1:
                    phase[voice] -= 1
            if patch.sub > 0:
                value = patch.sub * _sine(sub_phase)
                sub_phase = (sub_phase + 0.5 * frequency / sample_rate) % 1.0
                xl += value
                xr += value
            if patch.noise > 0:
                noise_state = np.uint32(noise_state * np.uint32(1664525) + np.uint32(1013904223))
                value = patch.noise * (noise_state / 2147483648.0 - 1)
                xl += value
                xr += value
            v3 = xl - s2l
            v1 = a1 * s1l + a2 * v3
            yl = s2l + a2 * s1l + a3 * v3
            s1l = 2 * v1 - s1l
            s2l = 2 * yl - s2l
            v3 = xr - s2r
            v1 = a1 * s1r + a2 * v3
            yr = s2r + a2 * s1r + a3 * v3
            s1r = 2 * v1 - s1r
            s2r = 2 * yr - s2r
            if patch.drive > 0:
                yl = math.tanh(patch.drive * yl)
                yr = math.tanh(patch.drive * yr)
            gain = notes.gains[note] * level
            out[0, notes.starts[note] + n] += gain * yl
            out[1, notes.starts[note] + n] += gain * yr
        before = notes.frequencies[note]


@njit(cache=True)
def play_fm(
    out: FloatArray,
    notes: Notes,
    sample_rate: int,
    patch: FM,
    amplitude: Envelope,
) -> None:
    """Add frequency-modulated notes to `out` (2, T) (Chowning 1973, in phase form).

    Louder notes are brighter: the modulation grows with the gain.
    """
    for note in range(len(notes.starts)):
        held = notes.holds[note] / sample_rate
        step = notes.frequencies[note] / sample_rate
        level = 0.0
        level_step = depth_0 = depth_1 = left = right = 0.0
        for n in range(out.shape[1] - notes.starts[note]):
            if n % CONTROL == 0:
                time = n / sample_rate
                target = _envelope(time + CONTROL / sample_rate, held, amplitude)
                if time > amplitude.attack and target < SILENT:
                    break
                level_step = (target - level) / CONTROL
                depth_0 = notes.gains[note] * patch.depth[0] * math.exp(-time / patch.fade[0])
                depth_1 = notes.gains[note] * patch.depth[1] * math.exp(-time / patch.fade[1])
                swing = patch.tremolo * _sine(patch.tremolo_hz * time)
                left = notes.gains[note] * (1 + swing)
                right = notes.gains[note] * (1 - swing)
            level += level_step
            phase = step * n
            bend = depth_0 / TURN * _sine(patch.modulator[0] * phase)
            value = _sine(patch.ratio[0] * phase + bend)
            if patch.second > 0:
                bend = depth_1 / TURN * _sine(patch.modulator[1] * phase)
                value += patch.second * _sine(patch.ratio[1] * phase + bend)
            out[0, notes.starts[note] + n] += left * level * value
            out[1, notes.starts[note] + n] += right * level * value


@njit(cache=True)
def play_additive(
    out: FloatArray,
    notes: Notes,
    sample_rate: int,
    partials: npt.NDArray[np.float64],
    amplitude: Envelope,
    rotor_hz: float,
) -> None:
    """Add sums of partials to `out` (2, T).

    Args:
        out: Buffer.
        notes: What to play.
        sample_rate: Hz.
        partials: (K, 3): frequency ratio, gain, seconds in which it falls to 1/e.
        amplitude: Envelope of the whole.
        rotor_hz: Rate at which the sound turns between the channels; 0 stands still.
    """
    for note in range(len(notes.starts)):
        held = notes.holds[note] / sample_rate
        for k in range(partials.shape[0]):
            frequency = notes.frequencies[note] * partials[k, 0]
            if frequency > 0.45 * sample_rate:
                continue
            step = TURN * frequency / sample_rate
            # A rotating phasor: one complex multiplication a sample in place of a sine.
            cosine, sine = math.cos(step), math.sin(step)
            x, y = 0.0, 1.0
            level = level_step = left = right = 0.0
            for n in range(out.shape[1] - notes.starts[note]):
                if n % CONTROL == 0:
                    time = n / sample_rate
                    late = time + CONTROL / sample_rate
                    target = _envelope(late, held, amplitude) * math.exp(-late / partials[k, 2])
                    if time > amplitude.attack and target < SILENT:
                        break
                    level_step = (target - level) / CONTROL
                    swing = 0.0 if rotor_hz == 0 else 0.4 * math.sin(TURN * rotor_hz * time)
                    left = notes.gains[note] * partials[k, 1] * (1 + swing)
                    right = notes.gains[note] * partials[k, 1] * (1 - swing)
                level += level_step
                x, y = x * cosine + y * sine, y * cosine - x * sine
                out[0, notes.starts[note] + n] += left * level * x
                out[1, notes.starts[note] + n] += right * level * x
