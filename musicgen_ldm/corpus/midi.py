"""Scores as standard MIDI files, to look into or to play on other instruments."""

from pathlib import Path

import mido

from musicgen_ldm.corpus.instruments import get_instrument
from musicgen_ldm.corpus.rhythm import parse_meter
from musicgen_ldm.corpus.score import Part, Score
from musicgen_ldm.whole_file import whole_file

TICKS = 480  # per quarter note
DRUM_CHANNEL = 9
# General MIDI programs that come nearest to our own patches, by role.
NEAREST_PROGRAM = {"bass": 38, "lead": 81, "pad": 89, "arpeggio": 88, "comp": 90, "counter": 80}
DEFAULT_PROGRAM = 88


def write_midi(score: Score, path: Path) -> None:
    """Write a whole piece (not only its clip) to `path`, one track a part.

    The clip's place in the piece is marked by two text events, "clip start" and "clip end".
    """
    file = mido.MidiFile(ticks_per_beat=TICKS)
    file.tracks.append(_conductor(score))
    channels = [c for c in range(16) if c != DRUM_CHANNEL]
    for index, part in enumerate(score.parts):
        is_drums = get_instrument(part.instrument).is_drums
        channel = DRUM_CHANNEL if is_drums else channels[index % len(channels)]
        file.tracks.append(_track(part, channel, _quarters_per_minute(score)))
    with whole_file(path) as partial:
        file.save(partial)


def _quarters_per_minute(score: Score) -> float:
    """MIDI counts quarter notes; the beat of a compound metre is a dotted quarter."""
    return score.bpm * 1.5 if parse_meter(score.meter).is_compound else score.bpm


def _ticks(seconds: float, bpm: float) -> int:
    return round(seconds * bpm / 60 * TICKS)


def _conductor(score: Score) -> mido.MidiTrack:
    """Tempo, metre and the clip's borders."""
    track = mido.MidiTrack()
    beats, unit = (int(number) for number in score.meter.split("/"))
    bpm = _quarters_per_minute(score)
    track.append(mido.MetaMessage("track_name", name=f"{score.genre} {score.seed}"))
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm)))
    track.append(mido.MetaMessage("time_signature", numerator=beats, denominator=unit))
    start = _ticks(score.clip_start_s, bpm)
    length = _ticks(score.clip_seconds, bpm)
    track.append(mido.MetaMessage("marker", text="clip start", time=start))
    track.append(mido.MetaMessage("marker", text="clip end", time=length))
    return track


def _track(part: Part, channel: int, bpm: float) -> mido.MidiTrack:
    instrument = get_instrument(part.instrument)
    program = instrument.program
    if program is None:
        program = 0 if instrument.is_drums else NEAREST_PROGRAM.get(part.role, DEFAULT_PROGRAM)
    track = mido.MidiTrack()
    track.append(mido.MetaMessage("track_name", name=part.instrument))
    track.append(mido.Message("program_change", channel=channel, program=program))
    events = []
    for note in part.notes:
        start = _ticks(note.start_s, bpm)
        end = max(start + 1, _ticks(note.start_s + note.duration_s, bpm))
        events.append((start, "note_on", note.pitch, note.velocity))
        events.append((end, "note_off", note.pitch, 0))
    now = 0
    # Ends come before onsets of the same tick: "note_off" sorts before "note_on".
    for tick, kind, pitch, velocity in sorted(events):
        track.append(
            mido.Message(kind, channel=channel, note=pitch, velocity=velocity, time=tick - now)
        )
        now = tick
    return track
