"""Drum machines of our own: every hit is synthesised from numbers drawn for the clip.

A kit style is a row of ranges, after the circuits it recalls: swept sines for kicks and toms,
filtered noise for snares and hats, six detuned square waves for metal. Keys are those of General
MIDI percussion.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

from musicgen_ldm.corpus.score import Note
from musicgen_ldm.corpus.synth import Range, draw
from musicgen_ldm.errors import CorpusError

FloatArray = npt.NDArray[np.float32]
Signal = npt.NDArray[np.float64]
Sound = Callable[[int], FloatArray]

METAL_HZ = np.array([205.3, 304.4, 369.6, 522.7, 635.0, 811.2])  # inharmonic, TR-808-like
CLOSED_HATS = (42, 44)
OPEN_HAT = 46
CHOKE_S = 0.006  # an open hat dies this fast when the pedal closes
MAX_HIT_S = 2.5

# Keys that share a sound, and how they are tuned against each other (frequency ratio).
TOMS = {41: 0.67, 43: 0.8, 45: 1.0, 47: 1.2, 48: 1.42, 50: 1.68}
# fmt: off
SKINS = {60: 1.6, 61: 1.25, 62: 1.15, 63: 1.0, 64: 0.75, 65: 1.35, 66: 0.95, 78: 1.3, 79: 0.8,
         86: 0.55, 87: 0.36}
# fmt: on
WOODS = {37: 0.7, 75: 1.0, 76: 0.42, 77: 0.32, 85: 0.9}
BELLS = {53: 1.6, 56: 1.0, 67: 1.55, 68: 1.2, 80: 3.0, 81: 3.0}
SHAKERS = {54: 1.5, 58: 1.5, 69: 1.0, 70: 0.6, 73: 2.0, 74: 3.0, 82: 1.0, 83: 1.4}
KICKS, SNARES, CLAP = (35, 36), (38, 40), 39
CRASHES, RIDES = (49, 52, 55, 57), (51, 59)


@dataclass(frozen=True, kw_only=True)
class KitStyle:
    """Ranges of a kit; frequencies in Hz, times are decays to 1/e in seconds.

    Attributes:
        kick_hz: Where the kick's sweep ends.
        kick_sweep: Octaves it falls.
        kick_sweep_s: How fast.
        kick_s: Decay.
        click: Gain of the beater.
        kick_drive: Gain into tanh.
        snare_hz: Tone of the skin.
        snare_s: Decay of the wires.
        snare_tone: Gain of the skin against the wires.
        hat_s: Decay of the closed hat.
        open_s: Decay of the open hat.
        hat_hz: High-pass of hats and cymbals.
        metal: Share of square waves, the rest is noise.
        tom_hz: Middle tom.
        tom_s: Decay.
        crash_s: Decay of cymbals.
        cutoff: Low-pass over the kit, 0 for none.
        crush_bits: Resolution of the kit, 0 for full.
        oneshots: Share of the kit's main sounds taken from recorded one-shots.
    """

    kick_hz: Range
    kick_sweep: Range
    kick_sweep_s: Range
    kick_s: Range
    click: Range
    kick_drive: Range
    snare_hz: Range
    snare_s: Range
    snare_tone: Range
    hat_s: Range
    open_s: Range
    hat_hz: Range
    metal: Range
    tom_hz: Range
    tom_s: Range
    crash_s: Range
    cutoff: Range = 0.0
    crush_bits: Range = 0.0
    oneshots: float = 0.0


# fmt: off
KITS: dict[str, KitStyle] = {
    "kit_808": KitStyle(
        kick_hz=(40, 58), kick_sweep=(0.8, 1.8), kick_sweep_s=(0.01, 0.03), kick_s=(0.16, 0.6),
        click=(0.05, 0.3), kick_drive=(0.8, 2.0), snare_hz=(165, 215), snare_s=(0.05, 0.11),
        snare_tone=(0.5, 1.0), hat_s=(0.015, 0.04), open_s=(0.12, 0.3), hat_hz=(6000, 8000),
        metal=(0.7, 1.0), tom_hz=(85, 120), tom_s=(0.12, 0.25), crash_s=(0.4, 0.9), oneshots=0.15),
    "kit_909": KitStyle(
        kick_hz=(45, 60), kick_sweep=(1.8, 2.8), kick_sweep_s=(0.012, 0.03), kick_s=(0.09, 0.22),
        click=(0.3, 0.9), kick_drive=(1.5, 4.0), snare_hz=(175, 240), snare_s=(0.06, 0.14),
        snare_tone=(0.4, 0.8), hat_s=(0.018, 0.05), open_s=(0.1, 0.25), hat_hz=(5000, 7500),
        metal=(0.3, 0.8), tom_hz=(90, 130), tom_s=(0.1, 0.2), crash_s=(0.4, 0.9), oneshots=0.25),
    "kit_lofi": KitStyle(
        kick_hz=(45, 62), kick_sweep=(1.0, 2.0), kick_sweep_s=(0.01, 0.03), kick_s=(0.07, 0.16),
        click=(0.1, 0.4), kick_drive=(1.5, 3.0), snare_hz=(150, 220), snare_s=(0.05, 0.12),
        snare_tone=(0.3, 0.8), hat_s=(0.015, 0.04), open_s=(0.08, 0.2), hat_hz=(4000, 6000),
        metal=(0.1, 0.5), tom_hz=(80, 120), tom_s=(0.1, 0.2), crash_s=(0.3, 0.6),
        cutoff=(3500, 6500), crush_bits=(7, 10), oneshots=0.45),
    "kit_break": KitStyle(
        kick_hz=(55, 75), kick_sweep=(1.2, 2.2), kick_sweep_s=(0.006, 0.02), kick_s=(0.06, 0.12),
        click=(0.3, 0.8), kick_drive=(2.0, 4.0), snare_hz=(180, 260), snare_s=(0.05, 0.11),
        snare_tone=(0.4, 0.9), hat_s=(0.02, 0.05), open_s=(0.12, 0.25), hat_hz=(4000, 6500),
        metal=(0.1, 0.5), tom_hz=(95, 140), tom_s=(0.1, 0.2), crash_s=(0.5, 1.0), oneshots=0.55),
    "kit_chip": KitStyle(
        kick_hz=(45, 70), kick_sweep=(2.0, 3.2), kick_sweep_s=(0.02, 0.05), kick_s=(0.05, 0.1),
        click=0.0, kick_drive=(4.0, 9.0), snare_hz=(220, 320), snare_s=(0.03, 0.08),
        snare_tone=(0.1, 0.4), hat_s=(0.008, 0.02), open_s=(0.04, 0.1), hat_hz=(3000, 6000),
        metal=(0.0, 0.3), tom_hz=(110, 160), tom_s=(0.06, 0.12), crash_s=(0.2, 0.4),
        crush_bits=(3, 5)),
    "kit_cinematic": KitStyle(
        kick_hz=(32, 46), kick_sweep=(0.8, 1.8), kick_sweep_s=(0.02, 0.06), kick_s=(0.25, 0.6),
        click=(0.2, 0.7), kick_drive=(1.2, 3.0), snare_hz=(110, 170), snare_s=(0.12, 0.3),
        snare_tone=(0.6, 1.2), hat_s=(0.03, 0.08), open_s=(0.2, 0.4), hat_hz=(4500, 7000),
        metal=(0.0, 0.4), tom_hz=(60, 90), tom_s=(0.25, 0.5), crash_s=(0.9, 1.8), oneshots=0.1),
}
# fmt: on


class Kit:
    """One drum machine, drawn from a style; each key is synthesised when first hit."""

    def __init__(
        self,
        style: str,
        sample_rate: int,
        rng: np.random.Generator,
        oneshots: dict[int, FloatArray] | None = None,
    ) -> None:
        """Draw the kit's numbers.

        Args:
            style: One of `KITS`.
            sample_rate: Hz.
            rng: Draws them.
            oneshots: Recorded hits that replace keys of the kit, (T,) each.

        Raises:
            CorpusError: If no style has that name.
        """
        if style not in KITS:
            raise CorpusError(f"no drum kit is called {style!r}; known: {', '.join(KITS)}")
        ranges = KITS[style]
        self.sample_rate = sample_rate
        self.numbers = {
            key: draw(bounds, rng) for key, bounds in vars(ranges).items() if key != "oneshots"
        }
        self._seed = int(rng.integers(2**32))
        self._hits: dict[int, FloatArray] = dict(oneshots or {})

    def hit(self, key: int) -> FloatArray:
        """The sound of a percussion key at full velocity, mono (T,), peak 1."""
        if key not in self._hits:
            rng = np.random.default_rng((self._seed, key))
            self._hits[key] = self._finish(self._synthesise(key, rng))
        return self._hits[key]

    def play(self, notes: tuple[Note, ...], num_samples: int) -> FloatArray:
        """Place hits in a stereo buffer (2, T); closed hats choke open ones."""
        out = np.zeros((2, num_samples), np.float32)
        closings = [n.start_s for n in notes if n.pitch in CLOSED_HATS]
        for note in notes:
            start = int(note.start_s * self.sample_rate)
            sound = self.hit(note.pitch)
            if note.pitch == OPEN_HAT:
                later = [time for time in closings if time > note.start_s]
                sound = self._choked(sound, later[0] - note.start_s) if later else sound
            stop = min(num_samples, start + len(sound))
            if stop > start:
                gain = (note.velocity / 127) ** 1.6
                left, right = _place(note.pitch)
                out[0, start:stop] += gain * left * sound[: stop - start]
                out[1, start:stop] += gain * right * sound[: stop - start]
        return out

    def _choked(self, sound: FloatArray, after_s: float) -> FloatArray:
        time = np.arange(len(sound)) / self.sample_rate
        return (sound * np.exp(-np.maximum(0, time - after_s) / CHOKE_S)).astype(np.float32)

    def _finish(self, sound: Signal) -> FloatArray:
        """Low-pass, reduce the resolution, normalise."""
        n = self.numbers
        if n["cutoff"]:
            sound = sosfilt(butter(2, n["cutoff"], fs=self.sample_rate, output="sos"), sound)
        sound = sound / max(1e-9, np.abs(sound).max())
        if n["crush_bits"]:
            steps = 2.0 ** (n["crush_bits"] - 1)
            sound = np.round(sound * steps) / steps
        return sound.astype(np.float32)

    def _synthesise(self, key: int, rng: np.random.Generator) -> Signal:
        n = self.numbers
        if key in KICKS:
            return self._kick(rng)
        if key in SNARES:
            return self._snare(rng)
        if key == CLAP:
            return self._clap(rng)
        if key in CLOSED_HATS or key == OPEN_HAT:
            return self._metal(rng, n["open_s"] if key == OPEN_HAT else n["hat_s"], 1.0)
        if key in CRASHES:
            return self._metal(rng, n["crash_s"], 0.7)
        if key in RIDES:
            return self._metal(rng, 0.6 * n["crash_s"], 0.85)
        if key in TOMS:
            return self._skin(rng, n["tom_hz"] * TOMS[key], n["tom_s"], 0.6)
        if key in SKINS:
            return self._skin(rng, 210 * SKINS[key], 0.08, 0.15)
        if key in WOODS:
            return self._skin(rng, 2400 * WOODS[key], 0.018, 0.05)
        if key in BELLS:
            return self._bell(rng, 540 * BELLS[key])
        return self._shaker(rng, 0.025 * SHAKERS.get(key, 1.0))

    def _time(self, decay_s: float) -> Signal:
        seconds = min(MAX_HIT_S, 7 * decay_s + 0.02)
        return np.arange(int(seconds * self.sample_rate)) / self.sample_rate

    def _filtered(self, noise: Signal, low: float, high: float | None = None) -> Signal:
        edge = 0.45 * self.sample_rate
        if high is None:
            return sosfilt(
                butter(2, min(low, edge), "highpass", fs=self.sample_rate, output="sos"), noise
            )
        band = (low, min(high, edge))
        return sosfilt(butter(1, band, "bandpass", fs=self.sample_rate, output="sos"), noise)

    def _kick(self, rng: np.random.Generator) -> Signal:
        n = self.numbers
        time = self._time(n["kick_s"])
        hertz = n["kick_hz"] * 2 ** (n["kick_sweep"] * np.exp(-time / n["kick_sweep_s"]))
        body = np.sin(2 * np.pi * np.cumsum(hertz) / self.sample_rate) * np.exp(-time / n["kick_s"])
        click = self._filtered(rng.standard_normal(len(time)), 1500) * np.exp(-time / 0.004)
        return np.tanh(n["kick_drive"] * (body + 0.3 * n["click"] * click))

    def _snare(self, rng: np.random.Generator) -> Signal:
        n = self.numbers
        time = self._time(1.5 * n["snare_s"])
        bend = 1 + 0.5 * np.exp(-time / 0.01)
        phase = 2 * np.pi * np.cumsum(n["snare_hz"] * bend) / self.sample_rate
        skin = (np.sin(phase) + 0.6 * np.sin(1.59 * phase)) * np.exp(-time / (0.7 * n["snare_s"]))
        wires = self._filtered(rng.standard_normal(len(time)), 1200) * np.exp(-time / n["snare_s"])
        return np.tanh(1.2 * (n["snare_tone"] * skin + 0.7 * wires))

    def _clap(self, rng: np.random.Generator) -> Signal:
        time = self._time(0.09)
        noise = self._filtered(rng.standard_normal(len(time)), 800, 3500)
        bursts = sum(
            np.where(time >= at, np.exp(-(time - at) / fade), 0.0)
            for at, fade in ((0.0, 0.004), (0.011, 0.004), (0.022, 0.004), (0.03, 0.07))
        )
        return noise * bursts

    def _metal(self, rng: np.random.Generator, decay_s: float, tune: float) -> Signal:
        n = self.numbers
        time = self._time(decay_s)
        tones = np.sign(np.sin(2 * np.pi * tune * 1.6 * np.outer(METAL_HZ, time))).sum(axis=0) / 3
        noise = rng.standard_normal(len(time))
        mixed = n["metal"] * tones + (1 - n["metal"]) * noise
        return self._filtered(mixed, tune * n["hat_hz"]) * np.exp(-time / decay_s)

    def _skin(self, rng: np.random.Generator, hertz: float, decay_s: float, bend: float) -> Signal:
        time = self._time(decay_s)
        sweep = hertz * (1 + bend * np.exp(-time / 0.02))
        tone = np.sin(2 * np.pi * np.cumsum(sweep) / self.sample_rate) * np.exp(-time / decay_s)
        slap = rng.standard_normal(len(time)) * np.exp(-time / 0.005)
        return tone + 0.15 * slap

    def _bell(self, rng: np.random.Generator, hertz: float) -> Signal:
        time = self._time(0.12)
        ratio = 1.48 + 0.04 * rng.random()
        tones = np.sign(np.sin(2 * np.pi * np.outer((hertz, ratio * hertz), time))).sum(axis=0)
        return self._filtered(tones, 0.8 * hertz, 4 * hertz) * np.exp(-time / 0.12)

    def _shaker(self, rng: np.random.Generator, decay_s: float) -> Signal:
        time = self._time(decay_s)
        swell = np.minimum(1.0, time / (0.3 * decay_s)) * np.exp(-time / decay_s)
        return self._filtered(rng.standard_normal(len(time)), 4500) * swell


def _place(key: int) -> tuple[float, float]:
    """Left and right gain of a key; kick, snare and clap stay in the middle, toms go round."""
    if key in (*KICKS, *SNARES, CLAP):
        return 1.0, 1.0
    side = 0.6 * np.sin(2.4 * key)  # fixed, spread out places for neighbouring keys
    return float(np.sqrt(1 - side)), float(np.sqrt(1 + side))
