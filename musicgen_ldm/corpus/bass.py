"""Bass lines: degrees of the sounding chord, walks and approaches to the next one."""

from random import Random

from musicgen_ldm.corpus.events import Event, beat_accent
from musicgen_ldm.corpus.harmony import Harmony, Span
from musicgen_ldm.corpus.patterns import Pattern
from musicgen_ldm.corpus.voicing import fit_octave, ladder, nearest

DEAD_NOTE_BEATS = 0.2


def write_bass(
    pattern: Pattern, harmony: Harmony, bars: list[int], floor: int, ceiling: int, rng: Random
) -> list[Event]:
    """The line of `pattern` over `harmony`.

    Args:
        pattern: Of kind "bass".
        harmony: Chords of the piece.
        bars: Bars in which the bass plays.
        floor: Lowest MIDI note of the line; roots lie within an octave above it.
        ceiling: Highest MIDI note.
        rng: Chooses walks and approaches.

    Returns:
        Events in beats. A held note stops where its chord ends, and the new root is struck.
    """
    beats = harmony.meter.beats
    events: list[Event] = []
    before = floor + 5
    for bar in bars:
        for hit in pattern.bar_hits("steps", bar, beats):
            start = bar * beats + hit.beat
            for piece_start, length in harmony.split(start, hit.length):
                is_struck_again = piece_start > start
                symbol = "1" if is_struck_again else hit.symbol
                span = harmony.at(piece_start)
                pitch = _pitch(symbol, span, harmony, before, floor, rng, piece_start)
                pitch = fit_octave(pitch, floor - 7, ceiling)
                accent = beat_accent(piece_start % beats, harmony.meter)
                if symbol == "x":
                    events.append(Event(piece_start, DEAD_NOTE_BEATS, pitch, 0.35))
                else:
                    events.append(Event(piece_start, length, pitch, accent))
                    before = pitch
    return events


def _pitch(
    symbol: str, span: Span, harmony: Harmony, before: int, floor: int, rng: Random, beat: float
) -> int:
    chord = span.chord
    root = floor + (chord.bass - floor) % 12
    upcoming = harmony.following(span)
    if symbol == "w":
        return _walk(span, upcoming, harmony, before, floor, rng, beat)
    if symbol == "a":
        return _approach(floor + (upcoming.chord.bass - floor) % 12, before, harmony, span, rng)
    if symbol == "n":
        return nearest(ladder((upcoming.chord.bass,), floor - 7, floor + 19), before)
    if symbol in "1x":
        return root
    if symbol == "8":
        return root + 12
    fifth = chord.intervals[2] if len(chord.intervals) > 2 else 7
    chord_root = floor + (chord.root - floor) % 12
    if symbol == "L":
        return chord_root + fifth - 12
    return chord_root + _interval(symbol, span, harmony)


def _interval(symbol: str, span: Span, harmony: Harmony) -> int:
    """Semitones of a degree above the chord's root: its own tone, or the scale's."""
    tones = span.chord.intervals
    own = {"3": 1, "5": 2, "7": 3}.get(symbol)
    if own is not None and own < len(tones) and (symbol != "7" or tones[3] in (9, 10, 11)):
        return tones[own] if tones[own] < 12 else tones[own] - 12
    steps = sorted((pc - span.chord.root) % 12 for pc in harmony.scale(span))
    wanted = {"2": 2, "3": 4, "4": 5, "5": 7, "6": 9, "7": 10}[symbol]
    return min(steps, key=lambda step: abs(step - wanted))


def _walk(
    span: Span,
    upcoming: Span,
    harmony: Harmony,
    before: int,
    floor: int,
    rng: Random,
    beat: float,
) -> int:
    """One note of a walk: the root on the change, an approach before the next, steps between."""
    if beat < span.start + 0.5:
        return nearest(ladder((span.chord.bass,), floor - 5, floor + 16), before)
    goal = nearest(ladder((upcoming.chord.bass,), floor - 5, floor + 16), before)
    remaining = span.end - beat
    if remaining <= 1:
        return _approach(goal, before, harmony, span, rng)
    tones = span.chord.pitch_classes if rng.random() < 0.55 else harmony.scale(span)
    rungs = [note for note in ladder(tones, floor - 5, floor + 16) if note != before]
    # Head for the goal by way of a detour that leaves room for an approach.
    target = before + (goal - before) / remaining + rng.choice((-3, -2, 2, 3))
    return nearest(tuple(rungs), target)


def _approach(goal: int, before: int, harmony: Harmony, span: Span, rng: Random) -> int:
    """A note a step away from `goal`, on the side the line comes from when it can."""
    side = 1 if before > goal else -1
    chromatic = goal + side
    diatonic = nearest(ladder(harmony.scale(span), goal - 3, goal + 3), goal + 2 * side)
    choices = [chromatic, diatonic if diatonic != goal else chromatic, goal - side]
    fresh = [note for note in choices if note != before] or choices
    return rng.choice(fresh)
