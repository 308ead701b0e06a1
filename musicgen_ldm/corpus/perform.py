"""From events in beats to notes in seconds: articulation, dynamics, human touch."""

from dataclasses import replace
from random import Random

from musicgen_ldm.corpus.arrange import SECTION_FORCE, Bar
from musicgen_ldm.corpus.events import Event
from musicgen_ldm.corpus.instruments import Instrument, get_instrument
from musicgen_ldm.corpus.piece import Plan
from musicgen_ldm.corpus.score import Note, Part, Role
from musicgen_ldm.corpus.voicing import fit_octave

# Drummers keep stricter time than the players around them.
DRUM_TIMING = 0.5
PLAYER_LAG_S = 0.004
# Shortest note that is heard as one.
SHORTEST_S = 0.04
# MIDI velocity is the first number plus force times the second.
FORCE_RANGE = (18.0, 100.0)
DYNAMICS = 0.32
DRUM_ROLES: tuple[Role, ...] = ("drums", "percussion")
# Roles whose note lengths are the sound itself; articulation leaves them alone.
HELD_ROLES: tuple[Role, ...] = (*DRUM_ROLES, "pad", "fx")


def perform(plan: Plan, role: Role, events: list[Event], name: str | None = None) -> Part:
    """Play `events` on the role's instrument.

    Args:
        plan: The piece.
        role: Function of the part.
        events: In beats, any order.
        name: Instrument, if another than the plan's player of the role.

    Returns:
        Part in order of onset, within the instrument's range; one note at a time where the
        instrument can do no more.
    """
    instrument = get_instrument(name or plan.players[role])
    rng = plan.dice.roll("touch", role)
    lag = rng.uniform(-PLAYER_LAG_S, PLAYER_LAG_S)
    notes = [_note(plan, role, instrument, event, lag, rng) for event in sorted(events)]
    notes.sort(key=lambda note: (note.start_s, note.pitch))
    if instrument.is_monophonic:
        notes = single_voice(notes)
    mood = plan.mood
    return Part(
        role=role,
        instrument=instrument.name,
        notes=tuple(notes),
        articulation=mood.articulation,
        brightness=mood.brightness,
        gain_db=3.0 if plan.genre.kind == "solo" else 0.0,
    )


def _note(
    plan: Plan, role: Role, instrument: Instrument, event: Event, lag: float, rng: Random
) -> Note:
    genre, mood = plan.genre, plan.mood
    is_drum = role in DRUM_ROLES
    sigma = genre.timing_ms / 1000 * (DRUM_TIMING if is_drum else 1.0)
    start = plan.clock.seconds(event.beat)
    length = event.length if role in HELD_ROLES else event.length * _held(mood.articulation)
    end = plan.clock.seconds(event.beat + length)
    force = event.force * _section_force(plan.bars, event.beat, genre.meter.beats)
    force *= 1 + DYNAMICS * mood.dynamics
    velocity = FORCE_RANGE[0] + FORCE_RANGE[1] * force + rng.gauss(0, genre.velocity_spread)
    touched = start + lag + max(-2.5, min(2.5, rng.gauss(0, 1))) * sigma
    return Note(
        start_s=max(0.0, touched),
        duration_s=max(SHORTEST_S, end - start),
        pitch=fit_octave(event.pitch, instrument.low, instrument.high),
        velocity=max(1, min(127, round(velocity))),
    )


def _held(articulation: float) -> float:
    """Part of its written length a note sounds: 0.4 staccato, 0.92 plain, 1.02 legato."""
    return 0.92 + 0.1 * articulation if articulation > 0 else 0.92 + 0.52 * articulation


def _section_force(bars: list[Bar], beat: float, beats: int) -> float:
    index = min(int(beat // beats), len(bars) - 1)
    return SECTION_FORCE[bars[index].section]


def single_voice(notes: list[Note]) -> list[Note]:
    """One note at a time: the highest of simultaneous ones, each ending as the next begins."""
    line: list[Note] = []
    for note in notes:
        # Chords spread by a human hand still count as simultaneous.
        if line and note.start_s - line[-1].start_s < SHORTEST_S:
            if note.pitch > line[-1].pitch:
                line[-1] = replace(note, start_s=line[-1].start_s)
            continue
        if line:
            room = note.start_s - line[-1].start_s
            line[-1] = replace(line[-1], duration_s=min(line[-1].duration_s, room))
        line.append(note)
    return line


def recast(part: Part, name: str) -> Part:
    """The same line on another instrument, folded into its range and number of voices."""
    instrument = get_instrument(name)
    notes = [
        replace(note, pitch=fit_octave(note.pitch, instrument.low, instrument.high))
        for note in part.notes
    ]
    if instrument.is_monophonic:
        notes = single_voice(notes)
    return replace(part, instrument=name, notes=tuple(notes))
