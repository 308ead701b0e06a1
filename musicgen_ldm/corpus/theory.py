"""Pitch classes, scales, chords and Roman numerals.

Numerals without an accidental count degrees of the mode's own scale; with one they count from
the major scale of the tonic, so that in minor "VII" and "bVII" are the same chord.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

from musicgen_ldm.errors import CorpusError

SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
}
MAJOR_SOUNDING = ("major", "mixolydian")
SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
FLATS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
# Tonics of major keys written with sharps; other modes look at their relative major.
SHARP_MAJOR_KEYS = frozenset({7, 2, 9, 4, 11})
RELATIVE_MAJOR = {"major": 0, "minor": 3, "dorian": 10, "mixolydian": 5, "phrygian": 8}

# Intervals above the root, in the order third, fifth, seventh, extensions.
UPPER_QUALITIES: dict[str, tuple[int, ...]] = {
    "": (0, 4, 7), "5": (0, 7), "6": (0, 4, 7, 9), "69": (0, 4, 7, 9, 14),
    "add9": (0, 4, 7, 14), "maj7": (0, 4, 7, 11), "maj9": (0, 4, 7, 11, 14),
    "maj7#11": (0, 4, 7, 11, 18), "7": (0, 4, 7, 10), "9": (0, 4, 7, 10, 14),
    "13": (0, 4, 7, 10, 14, 21), "7b9": (0, 4, 7, 10, 13), "7#9": (0, 4, 7, 10, 15),
    "7#11": (0, 4, 7, 10, 18), "7b13": (0, 4, 7, 10, 20), "sus2": (0, 2, 7),
    "sus4": (0, 5, 7), "7sus4": (0, 5, 7, 10), "9sus4": (0, 5, 7, 10, 14),
    "+": (0, 4, 8), "+7": (0, 4, 8, 10),
}  # fmt: skip
LOWER_QUALITIES: dict[str, tuple[int, ...]] = {
    "": (0, 3, 7), "6": (0, 3, 7, 9), "69": (0, 3, 7, 9, 14), "add9": (0, 3, 7, 14),
    "maj7": (0, 3, 7, 11), "7": (0, 3, 7, 10), "9": (0, 3, 7, 10, 14),
    "11": (0, 3, 7, 10, 14, 17), "°": (0, 3, 6), "°7": (0, 3, 6, 9), "ø7": (0, 3, 6, 10),
}  # fmt: skip
SYMBOLS = {"°": "dim", "°7": "dim7", "ø7": "m7b5", "+": "aug", "+7": "aug7", "69": "6/9"}
DEGREES = {"i": 0, "ii": 1, "iii": 2, "iv": 3, "v": 4, "vi": 5, "vii": 6}
NUMERAL = re.compile(r"([b#]?)(VII|VI|V|IV|III|II|I|vii|vi|v|iv|iii|ii|i)([^/]*)(?:/(.+))?")


@dataclass(frozen=True, slots=True)
class Chord:
    """A harmony without register.

    Attributes:
        root: Pitch class 0-11.
        intervals: Semitones above the root, root first.
        suffix: As in "m7", of the symbol.
        bass: Pitch class of the lowest note; the root unless inverted.
    """

    root: int
    intervals: tuple[int, ...]
    suffix: str
    bass: int

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """Pitch classes, root first."""
        return tuple((self.root + interval) % 12 for interval in self.intervals)

    def symbol(self, *, flats: bool) -> str:
        """Name such as "Bbm7" or "C/E"."""
        names = FLATS if flats else SHARPS
        slash = "" if self.bass == self.root else f"/{names[self.bass]}"
        return names[self.root] + self.suffix + slash


def tonic_pitch_class(name: str) -> int:
    """Pitch class of a tonic such as "F#" or "Bb".

    Raises:
        CorpusError: If `name` is no note.
    """
    for names in (FLATS, SHARPS):
        if name in names:
            return names.index(name)
    raise CorpusError(f"{name!r} is not a key; known: {', '.join(FLATS)}")


def prefers_flats(tonic: int, mode: str) -> bool:
    """True if the key signature of (tonic, mode) is written with flats, or is empty."""
    return (tonic + RELATIVE_MAJOR[mode]) % 12 not in SHARP_MAJOR_KEYS


def key_name(tonic: int, mode: str) -> str:
    """Spelling of the tonic in its key: "C#" minor, but "Db" major."""
    return (FLATS if prefers_flats(tonic, mode) else SHARPS)[tonic]


@lru_cache(maxsize=4096)
def parse_numeral(numeral: str, mode: str, tonic: int) -> Chord:
    """The chord that a Roman numeral names in a key.

    "V7/ii" is the dominant of the second degree; "I/3" puts the third into the bass.

    Raises:
        CorpusError: If the numeral cannot be read.
    """
    match = NUMERAL.fullmatch(numeral)
    if match is None:
        raise CorpusError(f"{numeral!r} is not a Roman numeral such as ii7, bVII or V7/vi")
    accidental, roman, suffix, below = match.groups()
    if below is not None and not below.isdigit():
        target = parse_numeral(below, mode, tonic)
        # A secondary chord belongs to the scale of the chord it leads to.
        target_mode = "minor" if target.intervals[1] == 3 else "major"
        return parse_numeral(numeral[: numeral.index("/")], target_mode, target.root)
    scale = SCALES["major"] if accidental else SCALES[mode]
    shift = {"": 0, "b": -1, "#": 1}[accidental]
    root = (tonic + scale[DEGREES[roman.lower()]] + shift) % 12
    qualities = UPPER_QUALITIES if roman.isupper() else LOWER_QUALITIES
    if suffix not in qualities:
        raise CorpusError(
            f"{numeral!r}: {suffix!r} is not a chord ending here; known: {' '.join(qualities)}"
        )
    intervals = qualities[suffix]
    bass = root if below is None else (root + _bass_interval(numeral, below, intervals)) % 12
    minor = "" if roman.isupper() or suffix in SYMBOLS else "m"
    return Chord(root, intervals, minor + SYMBOLS.get(suffix, suffix), bass)


def _bass_interval(numeral: str, degree: str, intervals: tuple[int, ...]) -> int:
    order = {"3": 1, "5": 2, "7": 3}.get(degree)
    if order is None or order >= len(intervals):
        raise CorpusError(f"{numeral!r}: a chord can stand on its 3, 5 or 7, not on {degree}")
    return intervals[order]


@lru_cache(maxsize=4096)
def chord_scale(chord: Chord, mode: str, tonic: int) -> tuple[int, ...]:
    """Pitch classes for melodies over `chord`: the mode, bent to hold every chord tone.

    A raised chord tone replaces the scale tone below it, as the leading tone does over V7 in
    minor; a lowered one, such as the root of bVII, replaces the tone above.
    """
    tones = set(chord.pitch_classes)
    scale = {(tonic + step) % 12 for step in SCALES[mode]}
    for interval, tone in zip(chord.intervals, chord.pitch_classes, strict=True):
        if tone not in scale:
            is_raised = interval in (4, 8, 9, 11) or (interval == 0 and 6 in chord.intervals)
            scale -= {(tone + (-1 if is_raised else 1)) % 12} - tones
            scale.add(tone)
    return tuple(sorted(scale))


@dataclass(frozen=True)
class Progression:
    """Bars of Roman numerals, e.g. ``I | vi | ii7 V7 | %``.

    Attributes:
        text: As written.
        bars: Numerals of each bar; chords share a bar evenly, "." prolongs the chord before.
    """

    text: str
    bars: tuple[tuple[str, ...], ...]

    @property
    def digest(self) -> str:
        """Name made of the content, equal for equal progressions of any genre."""
        spelled = " | ".join(" ".join(bar) for bar in self.bars)
        return f"progression:{hashlib.sha256(spelled.encode()).hexdigest()[:10]}"


def parse_progression(text: str, mode: str, beats: int) -> Progression:
    """Read bars separated by "|"; "%" repeats the bar before.

    Raises:
        CorpusError: If a numeral is unreadable or chords do not divide the bar.
    """
    bars: list[tuple[str, ...]] = []
    for cell in text.split("|"):
        tokens = tuple(cell.split())
        if tokens == ("%",) and bars:
            bars.append(bars[-1])
            continue
        if not tokens or tokens[0] == ".":
            raise CorpusError(f"bar {len(bars) + 1} of {text!r} does not start with a chord")
        if (2 * beats) % len(tokens):
            raise CorpusError(f"{len(tokens)} chords do not divide a bar of {beats} beats: {cell}")
        for token in tokens:
            if token != ".":
                parse_numeral(token, mode, 0)
        bars.append(tokens)
    return Progression(text, tuple(bars))
