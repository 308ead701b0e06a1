"""Melodies: motifs of rhythm and contour, in four-bar phrases A A' A B."""

from dataclasses import dataclass
from random import Random

from musicgen_ldm.corpus.events import Event, beat_accent
from musicgen_ldm.corpus.harmony import Harmony, Span
from musicgen_ldm.corpus.patterns import Hit, Pattern
from musicgen_ldm.corpus.voicing import ladder, nearest

PHRASE_BARS = 4
# Where the bars of a phrase begin, in scale steps from its centre.
PHRASE_ARC = (0, 1, 2, 0)
# Share of equal neighbouring heights that stay equal.
REPEATED_NOTES = 0.3
# How much a bar starts from where the last one ended.
MEMORY = 0.4
# Notes this long rest on chord tones wherever they stand.
LONG_BEATS = 1.5


@dataclass(frozen=True)
class Contour:
    """The shape of a motif, heights from 0 to 1 or below at even places."""

    name: str
    heights: tuple[float, ...]

    @property
    def digest(self) -> str:
        """Name for the lists of used material."""
        return f"contour:{self.name}"


# fmt: off
CONTOURS: tuple[Contour, ...] = (
    Contour("arch", (0, 0.5, 1, 0.5, 0)),
    Contour("late-arch", (0, 0.2, 0.4, 0.7, 1, 0.3)),
    Contour("early-arch", (0, 1, 0.7, 0.4, 0.2, 0)),
    Contour("rise", (0, 0.25, 0.5, 0.75, 1)),
    Contour("fall", (1, 0.75, 0.5, 0.25, 0)),
    Contour("leap-and-fall", (0, 1, 0.8, 0.6, 0.5, 0.4)),
    Contour("dip", (0.5, 0.2, 0, 0.3, 0.6)),
    Contour("wave", (0, 0.6, 0.1, 0.7, 0.2, 0.5)),
    Contour("double-wave", (0.3, 0.8, 0.3, 0, 0.3, 0.9, 0.4)),
    Contour("turn", (0.2, 0.4, 0.2, 0, 0.2)),
    Contour("call", (0, 0, 0.8, 0.8, 0.5)),
    Contour("reciting", (0.5, 0.5, 0.5, 0.7, 0.5, 0.3)),
    Contour("zigzag-up", (0, 0.4, 0.2, 0.6, 0.4, 0.8, 0.6, 1)),
    Contour("zigzag-down", (1, 0.6, 0.8, 0.4, 0.6, 0.2, 0.4, 0)),
    Contour("pendulum", (0, 1, 0, 1, 0.2, 0.8)),
    Contour("stairs", (0, 0, 0.3, 0.3, 0.6, 0.6, 1)),
    Contour("plunge", (0.8, 1, 0.4, 0, 0.1)),
    Contour("lift", (0.2, 0, 0.1, 0.9, 1)),
    Contour("plateau", (0, 0.8, 0.8, 0.8, 0.7, 0.2)),
    Contour("sigh", (0.7, 0.6, 0.9, 0.6, 0.3, 0.2)),
)
# fmt: on


@dataclass(frozen=True)
class Motif:
    """Rhythm and heights, in scale steps from the bar's first tone, of each bar of a cell."""

    bars: tuple[tuple[tuple[Hit, int], ...], ...]


@dataclass(frozen=True, slots=True)
class Voice:
    """What a melody may use.

    Attributes:
        low: Lowest MIDI note.
        high: Highest MIDI note.
        centre: Note the phrases gather around.
        span: Semitones of a phrase.
        scale: One of `genre.MELODY_SCALES`.
        density: See `Mood.density`.
    """

    low: int
    high: int
    centre: float
    span: int
    scale: str
    density: float


def invent_motif(
    cell: Pattern, contour: Contour, beats: int, span: int, density: float, rng: Random
) -> Motif:
    """A motif with the rhythm of `cell` along `contour`.

    Args:
        cell: Of kind "lead".
        contour: Shape.
        beats: Beats a bar.
        span: Semitones from lowest to highest note, about.
        density: Below 0 leaves out weak notes, above 0 splits long ones.
        rng: Small deviations, so that two motifs of one shape differ.
    """
    reach = span * 7 / 12 * rng.uniform(0.35, 0.8)
    is_upside_down = rng.random() < 0.15
    bars = []
    for bar in range(cell.bars):
        hits = _dense(cell.bar_hits("steps", bar, beats), density, rng)
        heights: list[int] = []
        for hit in hits:
            height = _height(contour, (bar + hit.beat / beats) / cell.bars)
            height = -height if is_upside_down else height
            step = round(height * reach + rng.choice((-1, 0, 0, 0, 0, 1)))
            if heights and step == heights[-1] and rng.random() >= REPEATED_NOTES:
                step += rng.choice((-1, 1))
            heights.append(step)
        first = heights[0] if heights else 0
        bars.append(tuple((hit, h - first) for hit, h in zip(hits, heights, strict=True)))
    return Motif(tuple(bars))


def _height(contour: Contour, place: float) -> float:
    position = place * (len(contour.heights) - 1)
    index = min(int(position), len(contour.heights) - 2)
    rest = position - index
    return contour.heights[index] * (1 - rest) + contour.heights[index + 1] * rest


def _dense(hits: list[Hit], density: float, rng: Random) -> list[Hit]:
    """Leave out weak notes (the note before lasts longer), or split long ones."""
    result: list[Hit] = []
    for hit in hits:
        is_weak = hit.symbol != "X" and hit.beat % 1 > 0
        if result and density < 0 and rng.random() < -density * (0.8 if is_weak else 0.3):
            last = result[-1]
            result[-1] = Hit(last.beat, hit.beat + hit.length - last.beat, last.symbol)
        elif hit.length >= 0.75 and rng.random() < 0.7 * density:
            half = hit.length / 2
            result += [Hit(hit.beat, half, hit.symbol), Hit(hit.beat + half, half, "x")]
        else:
            result.append(hit)
    return result


def write_melody(
    motifs: tuple[Motif, Motif], harmony: Harmony, bars: list[tuple[int, int]], voice: Voice
) -> list[Event]:
    """A melody over `harmony`.

    Args:
        motifs: A and B.
        harmony: Chords of the piece.
        bars: (bar of the piece, bar within its section) of each bar in which the melody plays.
        voice: Register and scale.

    Returns:
        Events in beats. Chord tones stand on strong beats; every fourth bar closes on a long one.
    """
    beats = harmony.meter.beats
    events: list[Event] = []
    for bar, position in bars:
        place = position % PHRASE_BARS
        motif = motifs[1] if place == PHRASE_BARS - 1 else motifs[0]
        notes = motif.bars[position % len(motif.bars)]
        if place == 1 and notes:  # A': the same, with another ending
            notes = (*notes[:-1], (notes[-1][0], notes[-1][1] - 2))
        if place == PHRASE_BARS - 1:
            notes = _cadence(notes, beats)
        before = events[-1].pitch if events else None
        events += _sing(notes, bar * beats, PHRASE_ARC[place], harmony, voice, before)
    return events


def _cadence(notes: tuple[tuple[Hit, int], ...], beats: int) -> tuple[tuple[Hit, int], ...]:
    """The bar with its second half drawn out into one long note."""
    early = [(hit, height) for hit, height in notes if hit.beat < beats / 2]
    if not early:
        return notes[:1]
    hit, height = early[-1]
    return (*early[:-1], (Hit(hit.beat, beats - hit.beat - 0.5, "X"), height))


def _sing(
    notes: tuple[tuple[Hit, int], ...],
    offset: float,
    lift: int,
    harmony: Harmony,
    voice: Voice,
    before: int | None,
) -> list[Event]:
    """One bar, starting near the phrase's arc and the last note `before`."""
    events: list[Event] = []
    arc = voice.centre + 1.7 * lift
    target = arc if before is None else (1 - MEMORY) * arc + MEMORY * before
    anchor: int | None = None
    last: tuple[int, int] | None = None  # pitch and height
    for hit, height in notes:
        start = offset + hit.beat
        span = harmony.meant(start, hit.length)
        rungs = ladder(melody_tones(span, harmony, voice.scale), voice.low, voice.high)
        tones = ladder(span.chord.pitch_classes, voice.low, voice.high)
        if anchor is None:
            anchor = nearest(tones, target)
        here = rungs.index(nearest(rungs, anchor)) + height
        pitch = rungs[max(0, min(here, len(rungs) - 1))]
        is_stressed = hit.beat in harmony.meter.strong_beats or hit.symbol == "X"
        choice = tones if is_stressed or hit.length >= LONG_BEATS else rungs
        pitch = nearest(choice, pitch)
        if last is not None and height != last[1] and pitch == last[0]:
            pitch = _onward(choice, pitch, height - last[1])
        force = beat_accent(start % harmony.meter.beats, harmony.meter)
        events.append(Event(start, hit.length, pitch, min(1.0, force + 0.08)))
        last = pitch, height
    return events


def _onward(notes: tuple[int, ...], pitch: int, direction: int) -> int:
    """The neighbour of `pitch` in `notes`, so that a moving contour does not stand still."""
    index = notes.index(pitch) + (1 if direction > 0 else -1)
    return notes[index] if 0 <= index < len(notes) else pitch


def melody_tones(span: Span, harmony: Harmony, scale: str) -> tuple[int, ...]:
    """Pitch classes a melody in `scale` uses over `span`; chord tones are always among them."""
    chord = span.chord.pitch_classes
    if scale == "chord":
        return chord
    if scale == "mode":
        return harmony.scale(span)
    is_minor = harmony.mode in ("minor", "dorian", "phrygian")
    if scale == "blues":
        steps: tuple[int, ...] = (0, 3, 5, 6, 7, 10)
    else:
        steps = (0, 3, 5, 7, 10) if is_minor else (0, 2, 4, 7, 9)
    own = {(harmony.tonic + step) % 12 for step in steps}
    # A chord tone a semitone off a pentatonic tone takes its place.
    clear = {pc for pc in own if not any((pc - tone) % 12 in (1, 11) for tone in chord)}
    return tuple(sorted(clear | set(chord)))
