"""Accompaniment: chords in rhythm, pads, arpeggios and counter lines."""

from dataclasses import dataclass
from random import Random

from musicgen_ldm.corpus.events import ACCENTS, Event, beat_accent
from musicgen_ldm.corpus.harmony import Harmony
from musicgen_ldm.corpus.patterns import Hit, Pattern
from musicgen_ldm.corpus.theory import Chord
from musicgen_ldm.corpus.voicing import fit_octave, ladder, lead_voices, nearest

STRUM_BEATS = 0.03
MUTED_BEATS = 0.1
# Chords stay out of the bass player's way (C3) unless they play the bass themselves.
BASS_REGISTER = 36


@dataclass(frozen=True, slots=True)
class Seat:
    """Where in the texture a line sits.

    Attributes:
        low: Lowest MIDI note.
        high: Highest MIDI note.
        centre: Note the chords gather around.
        voicing: Style, one of `voicing.STYLES`.
        is_strummed: Notes of a chord follow each other like strings.
    """

    low: int
    high: int
    centre: float
    voicing: str
    is_strummed: bool = False


def write_comp(
    pattern: Pattern, harmony: Harmony, bars: list[int], seat: Seat, density: float, rng: Random
) -> list[Event]:
    """Chords in the rhythm of `pattern`.

    Args:
        pattern: Of kind "comp" or "pad".
        harmony: Chords of the piece.
        bars: Bars in which the part plays.
        seat: Register and voicing.
        density: Below 0 soft and off-beat hits are left out now and then, see `Mood.density`.
        rng: Chooses what is left out.

    Returns:
        Events in beats.
    """
    beats = harmony.meter.beats
    events: list[Event] = []
    before: tuple[int, ...] = ()
    for bar in bars:
        for hit in pattern.bar_hits("steps", bar, beats):
            is_weak = hit.symbol in "oumt" or hit.beat % 1 > 0
            if is_weak and rng.random() < -0.6 * density:
                continue
            start = bar * beats + hit.beat
            for piece_start, length in _sounding(harmony, start, hit.length):
                chord = harmony.meant(piece_start, length).chord
                notes = lead_voices(
                    chord, pattern.voicing or seat.voicing, seat.low, seat.high, seat.centre, before
                )
                events += _strike(hit, piece_start, length, notes, chord, seat, harmony)
                before = notes
    return events


def _sounding(harmony: Harmony, start: float, length: float) -> list[tuple[float, float]]:
    """Pieces of a chord: re-struck at changes, unless it anticipates the change."""
    span = harmony.at(start)
    if harmony.meant(start, length) is not span:
        return [(start, length)]
    return harmony.split(start, length)


def _strike(
    hit: Hit,
    start: float,
    length: float,
    notes: tuple[int, ...],
    chord: Chord,
    seat: Seat,
    harmony: Harmony,
) -> list[Event]:
    """Notes of one symbol of a comping pattern."""
    accent = beat_accent(start % harmony.meter.beats, harmony.meter)
    force = accent * ACCENTS.get(hit.symbol, 0.78) / 0.78
    bass = max(seat.low, BASS_REGISTER)
    bass += (chord.bass - bass) % 12
    if hit.symbol == "b":
        return [Event(start, length, bass, force)]
    if hit.symbol == "B":
        fifth = chord.intervals[2] if len(chord.intervals) > 2 else 7
        low = bass + fifth - 12
        return [Event(start, length, low if low >= seat.low else low + 12, force)]
    if hit.symbol == "t":
        return [Event(start, length, note, force * 0.85) for note in notes[-1:]]
    if hit.symbol == "m":
        return [Event(start, MUTED_BEATS, note, 0.35) for note in notes[-3:]]
    if hit.symbol == "u":
        up = notes[-3:][::-1]
        return [
            Event(start + order * STRUM_BEATS, length - order * STRUM_BEATS, note, force * 0.75)
            for order, note in enumerate(up)
        ]
    delay = STRUM_BEATS if seat.is_strummed else 0.0
    delay = min(delay, length / (2 * len(notes)))
    events = [
        Event(start + order * delay, length - order * delay, note, force * 0.9)
        for order, note in enumerate(notes)
    ]
    if hit.symbol == "c" and bass < notes[0]:
        events.insert(0, Event(start, length, bass, force))
    return events


def write_arpeggio(
    pattern: Pattern, harmony: Harmony, bars: list[int], seat: Seat, density: float, rng: Random
) -> list[Event]:
    """Broken chords: digits climb the chord's tones from its root near the seat's centre."""
    beats = harmony.meter.beats
    events: list[Event] = []
    for bar in bars:
        for hit in pattern.bar_hits("steps", bar, beats):
            if hit.beat % 1 and rng.random() < -0.45 * density:
                continue
            start = bar * beats + hit.beat
            chord = harmony.meant(start, hit.length).chord
            root = nearest(ladder((chord.root,), seat.low, seat.high), seat.centre - 6)
            force = beat_accent(start % beats, harmony.meter) * 0.9
            if hit.symbol == "x":
                tones = [root + interval for interval in chord.intervals[:4]]
            elif hit.symbol == "0":
                tones = [root - 12 if root - 12 >= seat.low else root]
            else:
                tones = [root + _climb(chord, int(hit.symbol) - 1)]
            events += [
                Event(start, hit.length, fit_octave(tone, seat.low, seat.high), force)
                for tone in tones
            ]
    return events


def _climb(chord: Chord, rung: int) -> int:
    """Semitones of the chord's tone number `rung` above its root, octave upon octave."""
    tones = sorted({interval % 12 for interval in chord.intervals[:4]})
    octave, index = divmod(rung, len(tones))
    return 12 * octave + tones[index]


def write_counter(
    pattern: Pattern, harmony: Harmony, bars: list[int], seat: Seat, *, is_single: bool
) -> list[Event]:
    """A second voice: guide tones moving by step, or a section's chords in the same rhythm.

    Args:
        pattern: Of kind "counter".
        harmony: Chords of the piece.
        bars: Bars in which the part plays.
        seat: Register.
        is_single: True writes one voice, the third or seventh nearest to the one before.

    Returns:
        Events in beats.
    """
    beats = harmony.meter.beats
    events: list[Event] = []
    before: tuple[int, ...] = ()
    for bar in bars:
        for hit in pattern.bar_hits("steps", bar, beats):
            start = bar * beats + hit.beat
            for piece_start, length in _sounding(harmony, start, hit.length):
                chord = harmony.meant(piece_start, length).chord
                if is_single:
                    guides = chord.pitch_classes[1:4]
                    target = before[0] if before else seat.centre
                    notes: tuple[int, ...] = (
                        nearest(
                            ladder(guides, seat.low, seat.high), 0.8 * target + 0.2 * seat.centre
                        ),
                    )
                else:
                    notes = lead_voices(chord, "close", seat.low, seat.high, seat.centre, before)
                force = ACCENTS[hit.symbol] * 0.9
                events += [Event(piece_start, length, note, force) for note in notes]
                before = notes
    return events
