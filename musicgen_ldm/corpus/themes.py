"""Melodies in the public domain, typed in by us in a compact numbered notation.

`themes.yaml` holds them. A note is a degree of the scale (1-7, 0 a rest) with an optional
accidental before it (# or b) and octave mark after it (' up, , down); it lasts one unit, "-"
after it adds a unit, "/" halves, "." adds half: ``3 3 4 5 | 5 4 3 2 | 1 1 2 3 | 3. 2/ 2-``.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path

from musicgen_ldm.corpus.events import Event, beat_accent
from musicgen_ldm.corpus.marked import Marked, read_marked
from musicgen_ldm.corpus.rhythm import METERS, Meter, parse_meter
from musicgen_ldm.corpus.theory import SCALES, Progression, parse_progression
from musicgen_ldm.errors import CorpusError

# Onsets are kept on this grid so that sums of thirds and quarters stay exact.
GRID = 96
NOTE = re.compile(r"([#b]?)([0-7])('*)(,*)([-/.]*)")
DEGREE_CHORDS = {
    "major": ("I", "ii", "iii", "IV", "V", "vi", "vii°"),
    "minor": ("i", "ii°", "III", "iv", "V", "VI", "VII"),
    "dorian": ("i", "ii", "III", "IV", "v", "vi°", "VII"),
    "mixolydian": ("I", "ii", "iii°", "IV", "v", "vi", "VII"),
    "phrygian": ("i", "II", "III", "iv", "v°", "VI", "vii"),
}


@dataclass(frozen=True, slots=True)
class ThemeNote:
    """A melody note: onset and length in beats, scale degree from the tonic, chromatic shift."""

    beat: float
    length: float
    degree: int
    shift: int


@dataclass(frozen=True)
class Theme:
    """A melody with the degrees that harmonise it.

    Attributes:
        title: Of the piece.
        composer: Or "traditional".
        year: Of composition or first print, as known.
        source: Why it is in the public domain and where our text of it comes from.
        meter: Metre's name.
        mode: Scale it is written in.
        bars: Length.
        notes: In order.
        degrees: Bars of chord degrees, e.g. "1 | 4 5 | 1".
    """

    title: str
    composer: str
    year: str
    source: str
    meter: str
    mode: str
    bars: int
    notes: tuple[ThemeNote, ...]
    degrees: str

    @property
    def digest(self) -> str:
        """Name for the lists of used material."""
        return f"theme:{hashlib.sha256(self.title.encode()).hexdigest()[:10]}"

    def progression(self, mode: str) -> Progression:
        """Its harmony in `mode`."""
        chords = DEGREE_CHORDS[mode]
        text = re.sub(r"[1-7]", lambda match: chords[int(match.group()) - 1], self.degrees)
        return parse_progression(text, mode, parse_meter(self.meter).beats)


def write_theme(theme: Theme, bars: list[int], tonic: int, mode: str, centre: float) -> list[Event]:
    """The theme as the melody of a piece; bar n of the piece is bar n of the theme, repeated.

    Args:
        theme: Melody.
        bars: Bars of the piece in which it is heard.
        tonic: Pitch class.
        mode: Scale; another than the theme's own gives its variation in that mode.
        centre: MIDI note its tonic should be near.
    """
    meter = parse_meter(theme.meter)
    scale = SCALES[mode]
    root = round((centre - 4 - tonic) / 12) * 12 + tonic
    events = []
    for bar in bars:
        first = (bar % theme.bars) * meter.beats
        for note in theme.notes:
            if first <= note.beat < first + meter.beats:
                octave, step = divmod(note.degree, 7)
                start = bar * meter.beats + note.beat - first
                pitch = root + 12 * octave + scale[step] + note.shift
                force = beat_accent(note.beat - first, meter) + 0.08
                events.append(Event(start, note.length, pitch, force))
    return events


@lru_cache(maxsize=1)
def load_themes() -> tuple[Theme, ...]:
    """All themes of the corpus; those in 2/4 a second time in 4/4, two bars to one.

    Raises:
        CorpusError: With file and line, if one is mistyped.
    """
    path = Path(str(resources.files("musicgen_ldm.corpus") / "themes.yaml"))
    written = tuple(_theme(entry) for entry in read_marked(path))
    return (*written, *(_in_four(theme) for theme in written if theme.meter == "2/4"))


def _in_four(theme: Theme) -> Theme:
    """A theme in 2/4 as one in 4/4."""
    # Each old bar becomes half a new one, cut as fine as its own chords need.
    bars = [cell.split() for cell in theme.degrees.split("|")]
    if len(bars) % 2:
        bars.append(["."])
    halves = [bar if len(bar) == 2 else [*bar, "."] for bar in bars]
    pairs = zip(halves[::2], halves[1::2], strict=True)
    degrees = " | ".join(" ".join((*left, *right)) for left, right in pairs)
    return replace(theme, meter="4/4", bars=len(halves) // 2, degrees=degrees)


def _theme(entry: Marked) -> Theme:
    keys = entry.mapping(
        ("title", "composer", "year", "source", "meter", "mode", "melody", "chords"), ()
    )
    meter = parse_meter(keys["meter"].choice(METERS))
    # In compound metres the unit is the eighth, a third of the felt beat.
    unit = 1 / 3 if meter.is_compound else 1.0
    try:
        notes, bars = parse_melody(keys["melody"].text(), meter, unit)
    except CorpusError as error:
        keys["melody"].fail(str(error))
    mode = keys["mode"].choice(SCALES)
    theme = Theme(
        **{name: keys[name].text() for name in ("title", "composer", "year", "source")},
        meter=meter.name, mode=mode, bars=bars, notes=notes, degrees=keys["chords"].text(),
    )  # fmt: skip
    try:
        length = len(theme.progression(mode).bars)
    except CorpusError as error:
        keys["chords"].fail(str(error))
    if length != bars:
        keys["chords"].fail(f"{length} bars of chords for {bars} bars of melody")
    return theme


def parse_melody(text: str, meter: Meter, unit: float) -> tuple[tuple[ThemeNote, ...], int]:
    """Notes of a melody in numbered notation, and its number of bars.

    Raises:
        CorpusError: If a token is unreadable or a bar is not full.
    """
    notes: list[ThemeNote] = []
    cells = [cell for cell in text.split("|") if cell.strip()]
    for number, cell in enumerate(cells):
        beat = float(number * meter.beats)
        for token in cell.split():
            match = NOTE.fullmatch(token)
            if match is None:
                raise CorpusError(f"bar {number + 1}: {token!r} is not a note")
            accidental, degree, up, down, marks = match.groups()
            length = unit
            for mark in marks:
                length = {"-": length + unit, "/": length / 2, ".": length * 1.5}[mark]
            if degree != "0":
                height = int(degree) - 1 + 7 * (len(up) - len(down))
                shift = {"": 0, "#": 1, "b": -1}[accidental]
                notes.append(ThemeNote(beat, length, height, shift))
            beat = round((beat + length) * GRID) / GRID
        if abs(beat - (number + 1) * meter.beats) > 1e-6:
            missing = (number + 1) * meter.beats - beat
            raise CorpusError(f"bar {number + 1} ({cell.strip()}) is {missing:+.3g} beats off")
    return tuple(notes), len(cells)
