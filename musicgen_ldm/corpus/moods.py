"""Twelve moods, each a set of drives that change the notes and the sound.

A mood word in a caption must be audible, so moods differ on axes a listener (and a
mel-spectrogram) can tell apart, and no two share the same corner: brightness against space,
register, density, articulation, loudness and tempo within the genre's range.
"""

from dataclasses import dataclass
from typing import Literal

from musicgen_ldm.errors import CorpusError


@dataclass(frozen=True, kw_only=True)
class Mood:
    """What a mood asks of composer and renderer.

    Attributes:
        name: As captions and tags say it.
        modes: Preferred modes with weights; multiplied with what the genre can play.
        tempo: Third of the genre's tempo range.
        register: Shift of melody and chords, semitones.
        density: -1 half the notes, 0 as written, +1 ornamented and doubled.
        brightness: -1 dark (closed filter, low-pass) to +1 bright.
        articulation: -1 staccato to +1 legato.
        space: 0 dry to 1 long reverberation; it outweighs the genre's wish.
        dynamics: Velocity shift, -1 whispered to +1 forced.
        drums: Chance that a genre's drums play at all.
        treatments: Sound treatments added to the genre's own, see `Score.treatments`.
        favours: Instruments that are likelier than the genre says.
    """

    name: str
    modes: dict[str, float]
    tempo: Literal["slow", "mid", "fast"]
    register: int
    density: float
    brightness: float
    articulation: float
    space: float
    dynamics: float
    drums: float
    treatments: tuple[str, ...]
    favours: tuple[str, ...]


# fmt: off
TABLE: tuple[Mood, ...] = (
    Mood(name="happy", modes={"major": 6, "mixolydian": 2}, tempo="mid", register=5,
         density=-0.1, brightness=0.15, articulation=-0.4, space=0.3, dynamics=0.3, drums=1.0,
         treatments=(), favours=("accordion", "steel drums", "whistle", "brass section",
         "banjo", "organ", "chip lead")),
    Mood(name="sad", modes={"minor": 8, "dorian": 1}, tempo="slow", register=-4, density=-0.4,
         brightness=-0.45, articulation=0.9, space=0.15, dynamics=-0.6, drums=0.3,
         treatments=(), favours=("cello", "oboe", "violin", "piano", "viola")),
    Mood(name="calm", modes={"major": 4, "mixolydian": 1}, tempo="slow", register=0,
         density=-0.9, brightness=-0.7, articulation=0.5, space=0.3, dynamics=-0.9, drums=0.05,
         treatments=(), favours=("nylon guitar", "flute", "electric piano", "harp",
         "fretless bass")),
    Mood(name="energetic", modes={"major": 1, "minor": 1, "mixolydian": 1, "dorian": 1},
         tempo="fast", register=7, density=1.0, brightness=0.9, articulation=-0.3, space=0.1,
         dynamics=0.6, drums=1.0, treatments=(), favours=("supersaw", "overdriven guitar",
         "brass section", "slap bass", "trumpet", "synth lead")),
    Mood(name="dark", modes={"minor": 4, "phrygian": 3}, tempo="mid", register=-12,
         density=-0.1, brightness=-1.0, articulation=0.6, space=0.5, dynamics=0.1, drums=0.9,
         treatments=(), favours=("cello", "drone", "reese bass", "bassoon", "trombone",
         "tremolo strings", "sub bass")),
    Mood(name="dreamy", modes={"major": 4, "dorian": 1}, tempo="slow", register=12, density=0.0,
         brightness=0.5, articulation=1.0, space=1.0, dynamics=-0.6, drums=0.1,
         treatments=("chorus", "wide"), favours=("vibraphone", "glass pad", "celesta", "harp",
         "bell synth", "choir", "synth pad")),
    Mood(name="epic", modes={"minor": 3, "major": 2}, tempo="slow", register=-5, density=0.5,
         brightness=0.5, articulation=1.0, space=1.0, dynamics=1.0, drums=1.0,
         treatments=("wide",), favours=("french horn", "choir", "timpani", "strings",
         "brass section", "church organ", "supersaw")),
    Mood(name="playful", modes={"major": 6, "mixolydian": 1}, tempo="mid", register=12,
         density=-0.2, brightness=0.3, articulation=-1.0, space=0.0, dynamics=-0.2, drums=0.5,
         treatments=(), favours=("pizzicato strings", "xylophone", "marimba", "clarinet",
         "bassoon", "kalimba", "whistle")),
    Mood(name="tense", modes={"phrygian": 4, "minor": 3}, tempo="fast", register=-9,
         density=0.6, brightness=-0.2, articulation=-0.9, space=0.6, dynamics=0.2, drums=0.5,
         treatments=(), favours=("tremolo strings", "muted guitar", "acid bass",
         "pizzicato strings", "clavinet")),
    Mood(name="romantic", modes={"major": 4, "minor": 1}, tempo="slow", register=0, density=0.3,
         brightness=-0.2, articulation=0.8, space=0.5, dynamics=-0.3, drums=0.2, treatments=(),
         favours=("violin", "strings", "tenor saxophone", "piano", "nylon guitar",
         "accordion")),
    Mood(name="aggressive", modes={"phrygian": 3, "minor": 4}, tempo="fast", register=-9,
         density=0.9, brightness=1.0, articulation=0.5, space=0.0, dynamics=1.0, drums=1.0,
         treatments=("saturated",), favours=("distorted guitar", "acid bass", "wobble bass",
         "reese bass", "picked bass", "synth lead")),
    Mood(name="mysterious", modes={"phrygian": 2, "dorian": 2, "minor": 2}, tempo="slow",
         register=-4, density=-0.9, brightness=-0.4, articulation=-0.6, space=1.0,
         dynamics=-0.3, drums=0.2, treatments=("echo",), favours=("celesta", "vibraphone",
         "clarinet", "tubular bells", "tremolo strings", "bell synth")),
)
# fmt: on

MOODS: dict[str, Mood] = {row.name: row for row in TABLE}


def get_mood(name: str) -> Mood:
    """The row called `name`.

    Raises:
        CorpusError: If there is none.
    """
    try:
        return MOODS[name]
    except KeyError:
        raise CorpusError(f"no mood is called {name!r}; known: {', '.join(MOODS)}") from None
