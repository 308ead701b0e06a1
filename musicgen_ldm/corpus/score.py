"""The score: what the composer writes and the renderer plays.

A score is a list of parts with notes in seconds, beside the truth about it. Composer and
renderer meet only here. Times are seconds from the start of the *piece*; the clip that becomes
audio is the window [clip_start_s, clip_start_s + clip_seconds).
"""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["band", "electronic", "orchestral", "solo"]
Role = Literal["drums", "bass", "comp", "arpeggio", "pad", "lead", "counter", "percussion", "fx"]


@dataclass(frozen=True, slots=True)
class Note:
    """One sounding note.

    Attributes:
        start_s: Onset.
        duration_s: Held for this long, release not included.
        pitch: MIDI note number 0-127; for drums the General MIDI percussion key.
        velocity: 1-127.
    """

    start_s: float
    duration_s: float
    pitch: int
    velocity: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """One instrument's line.

    Attributes:
        role: Function in the arrangement.
        instrument: Name used in captions and tags, one of `corpus.instruments`.
        notes: In order of onset.
        articulation: -1 staccato to +1 legato, a hint for the sound.
        brightness: -1 dark to +1 bright, a hint for the sound.
        gain_db: Wish of the arrangement, relative to the usual level of the role.
    """

    role: Role
    instrument: str
    notes: tuple[Note, ...]
    articulation: float = 0.0
    brightness: float = 0.0
    gain_db: float = 0.0


@dataclass(frozen=True, slots=True)
class Chord:
    """A harmony from `start_s` until the next chord; `symbol` as in "Am7" or "F#dim"."""

    start_s: float
    symbol: str


@dataclass(frozen=True, slots=True)
class Section:
    """A named stretch of the form: "intro", "a", "b", "break", "fill", "outro"."""

    start_s: float
    name: str


@dataclass(frozen=True, kw_only=True)
class Score:
    """A composed piece and the truth about it.

    Attributes:
        seed: The piece is a pure function of (seed, request).
        genre: Name of the genre file, e.g. "bossa-nova".
        kind: "band", "electronic", "orchestral" or "solo".
        mood: One of `corpus.moods`.
        bpm: Quarter notes (felt beats in compound metres) per minute.
        felt_bpm: Pulse a listener taps; half or double of `bpm` in some genres.
        key: Tonic, e.g. "A", "Bb", "F#".
        mode: "major", "minor", "dorian", "mixolydian", "phrygian" or "none".
        meter: E.g. "4/4", "3/4", "6/8".
        parts: Lines to render.
        beats_s: Beat times; empty for pulseless music.
        downbeats_s: First beats of the bars.
        chords: Harmony, in order.
        sections: Form, in order.
        patterns: Identifiers of the patterns and progressions used, for leak-free splits.
        clip_start_s: Where the clip begins in the piece; anywhere in the bar.
        clip_seconds: Length of the clip.
        space: 0 dry to 1 very wet, the mood's and genre's wish for reverberation.
        treatments: Genre-wide sound treatments: "sidechain", "lofi", "tape", "wide", …
    """

    seed: int
    genre: str
    kind: Kind
    mood: str
    bpm: float
    felt_bpm: float
    key: str
    mode: str
    meter: str
    parts: tuple[Part, ...]
    beats_s: tuple[float, ...]
    downbeats_s: tuple[float, ...]
    chords: tuple[Chord, ...]
    sections: tuple[Section, ...]
    patterns: tuple[str, ...]
    clip_start_s: float
    clip_seconds: float
    space: float = 0.3
    treatments: tuple[str, ...] = field(default=())
