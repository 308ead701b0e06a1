"""Every instrument the corpus can write for: its caption name, sound, range and usual roles.

Composer, renderer and caption writer share this table; a name that is not here exists nowhere.
Ranges are what the instrument sounds well on, not its records. Drum kits have no range: their
pitches are General MIDI percussion keys.
"""

from dataclasses import dataclass
from typing import Literal

from musicgen_ldm.corpus.score import Role
from musicgen_ldm.errors import CorpusError

Family = Literal[
    "piano", "organ", "mallet", "guitar", "bass", "strings", "plucked", "brass", "reed",
    "flute", "choir", "synth", "drums", "percussion", "fx",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """One row of the table.

    Attributes:
        name: As captions and tags say it.
        family: Group of related sounds; solo figures and mixing go by it.
        program: General MIDI program 0-127, the kit number where `is_drums`, or None where the
            sound is synthesised by us.
        synth: Patch of our own synthesis, or None where a soundfont plays.
        low: Lowest MIDI note that sounds well.
        high: Highest MIDI note that sounds well.
        is_monophonic: Plays one note at a time.
        roles: Usual functions in an arrangement.
        is_electronic: Counts as electronic in captions and in the corpus' balance.
        is_solo: May carry a solo piece.
    """

    name: str
    family: Family
    program: int | None
    synth: str | None
    low: int
    high: int
    is_monophonic: bool
    roles: tuple[Role, ...]
    is_electronic: bool
    is_solo: bool

    @property
    def is_drums(self) -> bool:
        """True where pitches are percussion keys and `program` is a kit number."""
        return self.family in ("drums", "percussion") and self.high == 127


def _sampled(
    name: str,
    family: Family,
    program: int,
    span: tuple[int, int],
    roles: str,
    *,
    mono: bool = False,
    solo: bool = False,
) -> Instrument:
    return Instrument(
        name=name, family=family, program=program, synth=None, low=span[0], high=span[1],
        is_monophonic=mono, roles=tuple(roles.split()),  # type: ignore[arg-type]
        is_electronic=False, is_solo=solo,
    )  # fmt: skip


def _synth(
    name: str,
    family: Family,
    patch: str,
    span: tuple[int, int],
    roles: str,
    *,
    mono: bool = False,
    solo: bool = False,
) -> Instrument:
    return Instrument(
        name=name, family=family, program=None, synth=patch, low=span[0], high=span[1],
        is_monophonic=mono, roles=tuple(roles.split()),  # type: ignore[arg-type]
        is_electronic=True, is_solo=solo,
    )  # fmt: skip


ANY_KEY = (0, 127)

# fmt: off
TABLE: tuple[Instrument, ...] = (
    # keyboards
    _sampled("piano", "piano", 0, (28, 100), "comp arpeggio lead", solo=True),
    _sampled("honky-tonk piano", "piano", 3, (33, 96), "comp lead", solo=True),
    _sampled("electric piano", "piano", 4, (33, 96), "comp arpeggio lead", solo=True),
    _sampled("harpsichord", "piano", 6, (36, 89), "comp arpeggio lead", solo=True),
    _sampled("clavinet", "piano", 7, (36, 84), "comp"),
    _sampled("celesta", "mallet", 8, (60, 108), "lead arpeggio", solo=True),
    _sampled("music box", "mallet", 10, (60, 100), "lead arpeggio", solo=True),
    _sampled("vibraphone", "mallet", 11, (53, 89), "comp lead", solo=True),
    _sampled("marimba", "mallet", 12, (45, 96), "comp arpeggio lead", solo=True),
    _sampled("xylophone", "mallet", 13, (65, 103), "lead", solo=True),
    _sampled("tubular bells", "mallet", 14, (60, 77), "counter lead", solo=True),
    _sampled("hammered dulcimer", "plucked", 15, (48, 86), "comp arpeggio lead", solo=True),
    _sampled("organ", "organ", 16, (36, 91), "comp pad lead", solo=True),
    _sampled("rock organ", "organ", 18, (36, 91), "comp pad lead"),
    _sampled("church organ", "organ", 19, (36, 91), "comp pad lead", solo=True),
    _sampled("accordion", "organ", 21, (53, 89), "comp lead pad", solo=True),
    _sampled("harmonica", "reed", 22, (60, 91), "lead counter", mono=True, solo=True),
    # guitars and basses
    _sampled("nylon guitar", "guitar", 24, (40, 83), "comp arpeggio lead", solo=True),
    _sampled("steel guitar", "guitar", 25, (40, 83), "comp arpeggio lead", solo=True),
    _sampled("jazz guitar", "guitar", 26, (40, 84), "comp lead", solo=True),
    _sampled("clean electric guitar", "guitar", 27, (40, 86), "comp arpeggio lead", solo=True),
    _sampled("muted guitar", "guitar", 28, (40, 79), "comp arpeggio"),
    _sampled("overdriven guitar", "guitar", 29, (40, 86), "comp lead", solo=True),
    _sampled("distorted guitar", "guitar", 30, (38, 86), "comp lead", solo=True),
    _sampled("upright bass", "bass", 32, (28, 60), "bass", mono=True, solo=True),
    _sampled("electric bass", "bass", 33, (28, 60), "bass", mono=True, solo=True),
    _sampled("picked bass", "bass", 34, (28, 60), "bass", mono=True),
    _sampled("fretless bass", "bass", 35, (28, 60), "bass lead", mono=True),
    _sampled("slap bass", "bass", 36, (28, 60), "bass", mono=True),
    # orchestra
    _sampled("violin", "strings", 40, (55, 96), "lead counter", mono=True, solo=True),
    _sampled("viola", "strings", 41, (48, 86), "lead counter", mono=True, solo=True),
    _sampled("cello", "strings", 42, (36, 76), "lead counter bass", mono=True, solo=True),
    _sampled("double bass", "strings", 43, (28, 60), "bass", mono=True),
    _sampled("tremolo strings", "strings", 44, (40, 88), "pad"),
    _sampled("pizzicato strings", "strings", 45, (36, 88), "comp arpeggio bass lead", solo=True),
    _sampled("harp", "plucked", 46, (36, 96), "arpeggio comp lead", solo=True),
    _sampled("timpani", "percussion", 47, (36, 57), "percussion", mono=True),
    _sampled("strings", "strings", 48, (36, 91), "pad comp lead counter", solo=True),
    _sampled("choir", "choir", 52, (48, 79), "pad lead", solo=True),
    _sampled("trumpet", "brass", 56, (55, 84), "lead counter", mono=True, solo=True),
    _sampled("muted trumpet", "brass", 59, (55, 84), "lead counter", mono=True, solo=True),
    _sampled("trombone", "brass", 57, (40, 72), "lead counter", mono=True, solo=True),
    _sampled("tuba", "brass", 58, (28, 58), "bass", mono=True),
    _sampled("french horn", "brass", 60, (41, 77), "lead counter", mono=True, solo=True),
    _sampled("brass section", "brass", 61, (46, 84), "comp counter pad lead"),
    _sampled("soprano saxophone", "reed", 64, (58, 88), "lead", mono=True, solo=True),
    _sampled("alto saxophone", "reed", 65, (51, 82), "lead counter", mono=True, solo=True),
    _sampled("tenor saxophone", "reed", 66, (46, 77), "lead counter", mono=True, solo=True),
    _sampled("oboe", "reed", 68, (58, 89), "lead counter", mono=True, solo=True),
    _sampled("bassoon", "reed", 70, (36, 72), "counter bass lead", mono=True, solo=True),
    _sampled("clarinet", "reed", 71, (50, 88), "lead counter", mono=True, solo=True),
    _sampled("flute", "flute", 73, (60, 94), "lead counter", mono=True, solo=True),
    _sampled("recorder", "flute", 74, (65, 92), "lead counter", mono=True, solo=True),
    _sampled("pan flute", "flute", 75, (60, 92), "lead counter", mono=True, solo=True),
    _sampled("whistle", "flute", 78, (67, 96), "lead", mono=True, solo=True),
    # instruments of the world
    _sampled("sitar", "plucked", 104, (45, 81), "lead arpeggio", solo=True),
    _sampled("banjo", "plucked", 105, (48, 86), "comp arpeggio lead", solo=True),
    _sampled("koto", "plucked", 107, (48, 86), "arpeggio lead", solo=True),
    _sampled("kalimba", "mallet", 108, (60, 88), "arpeggio lead", solo=True),
    _sampled("bagpipes", "reed", 109, (58, 80), "lead", mono=True, solo=True),
    _sampled("fiddle", "strings", 110, (55, 93), "lead counter", mono=True, solo=True),
    _sampled("steel drums", "mallet", 114, (55, 89), "lead comp", solo=True),
    # drum kits and percussion played from soundfonts
    _sampled("drum kit", "drums", 0, ANY_KEY, "drums"),
    _sampled("rock drum kit", "drums", 16, ANY_KEY, "drums"),
    _sampled("brushed drums", "drums", 40, ANY_KEY, "drums"),
    _sampled("hand percussion", "percussion", 0, ANY_KEY, "percussion"),
    _sampled("orchestral percussion", "percussion", 48, ANY_KEY, "drums percussion"),
    # our own synthesis
    _synth("synth bass", "synth", "saw_bass", (24, 55), "bass", mono=True),
    _synth("sub bass", "synth", "sub_bass", (24, 50), "bass", mono=True),
    _synth("acid bass", "synth", "acid_bass", (28, 60), "bass lead", mono=True),
    _synth("reese bass", "synth", "reese_bass", (24, 50), "bass", mono=True),
    _synth("wobble bass", "synth", "wobble_bass", (24, 50), "bass", mono=True),
    _synth("FM bass", "synth", "fm_bass", (28, 58), "bass", mono=True),
    _synth("supersaw", "synth", "supersaw", (45, 88), "comp lead pad"),
    _synth("synth stab", "synth", "stab", (48, 86), "comp"),
    _synth("synth pluck", "synth", "pluck", (48, 93), "arpeggio comp lead", solo=True),
    _synth("synth lead", "synth", "saw_lead", (55, 93), "lead", mono=True, solo=True),
    _synth("synth brass", "synth", "synth_brass", (45, 84), "comp lead counter"),
    _synth("bell synth", "synth", "fm_bell", (60, 100), "arpeggio lead", solo=True),
    _synth("synth pad", "synth", "saw_pad", (40, 86), "pad", solo=True),
    _synth("glass pad", "synth", "glass_pad", (48, 96), "pad"),
    _synth("drone", "synth", "drone", (24, 60), "pad bass"),
    _synth("chip lead", "synth", "chip_lead", (52, 96), "lead arpeggio counter", mono=True,
           solo=True),
    _synth("chip bass", "synth", "chip_bass", (28, 60), "bass", mono=True),
    _synth("noise sweep", "fx", "noise_sweep", (36, 84), "fx", mono=True),
    _synth("808 drum machine", "drums", "kit_808", ANY_KEY, "drums"),
    _synth("909 drum machine", "drums", "kit_909", ANY_KEY, "drums"),
    _synth("lo-fi drums", "drums", "kit_lofi", ANY_KEY, "drums"),
    _synth("breakbeat drums", "drums", "kit_break", ANY_KEY, "drums"),
    _synth("chip drums", "drums", "kit_chip", ANY_KEY, "drums"),
    _synth("cinematic drums", "drums", "kit_cinematic", ANY_KEY, "drums percussion"),
)
# fmt: on

INSTRUMENTS: dict[str, Instrument] = {row.name: row for row in TABLE}
SOLO_INSTRUMENTS: tuple[str, ...] = tuple(row.name for row in TABLE if row.is_solo)


def get_instrument(name: str) -> Instrument:
    """The row called `name`.

    Raises:
        CorpusError: If there is none.
    """
    try:
        return INSTRUMENTS[name]
    except KeyError:
        known = ", ".join(INSTRUMENTS)
        raise CorpusError(f"no instrument is called {name!r}; known: {known}") from None
