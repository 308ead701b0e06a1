"""Genre files: one readable YAML file a genre, checked with file and line.

`docs/genres.md` explains the format to musicians; this module is its definition.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import cast, get_args

from musicgen_ldm.corpus.drumkeys import VOICES
from musicgen_ldm.corpus.instruments import INSTRUMENTS
from musicgen_ldm.corpus.marked import Marked, read_marked
from musicgen_ldm.corpus.moods import MOODS
from musicgen_ldm.corpus.patterns import DRUM_KINDS, Pattern, make_pattern
from musicgen_ldm.corpus.rhythm import METERS, Meter, Swing, parse_meter
from musicgen_ldm.corpus.score import Kind, Role
from musicgen_ldm.corpus.theory import SCALES, Progression, parse_progression
from musicgen_ldm.corpus.voicing import STYLES
from musicgen_ldm.errors import CorpusError

KINDS: tuple[str, ...] = get_args(Kind)
ROLES: tuple[Role, ...] = get_args(Role)
MELODY_SCALES = ("mode", "pentatonic", "blues", "chord")
TREATMENTS = ("sidechain", "lofi", "tape", "wide", "gated", "chorus", "echo", "saturated", "8bit")
# Pattern kinds that a role needs before it can play.
PATTERN_KINDS = (*DRUM_KINDS, "bass", "comp", "arpeggio", "pad", "lead", "counter")
FIGURES = ("accompanied", "arpeggio", "block", "chorale", "drone", "melody", "scalar", "strum",
           "walking")  # fmt: skip
# Patterns that the figures of a solo genre are made of.
SOLO_KINDS = ("comp", "arpeggio", "lead")
DEFAULT_PRESENCE: dict[str, float] = {
    "drums": 0.95, "percussion": 0.5, "bass": 0.97, "comp": 0.95, "arpeggio": 0.6, "pad": 0.5,
    "lead": 0.75, "counter": 0.3, "fx": 0.4,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Genre:
    """What a genre file says.

    Attributes:
        name: Stem of the file, e.g. "bossa-nova".
        title: As a caption says it.
        synonyms: Other words for it.
        kind: Family, see `Score.kind`.
        tempo: Range in felt beats a minute.
        felt: Pulse a listener taps, relative to the tempo: 0.5, 1 or 2.
        meter: Metre.
        has_pulse: False for music without a beat.
        swing: Long-short pairs.
        timing_ms: Standard deviation of onsets.
        velocity_spread: Standard deviation of MIDI velocities.
        modes: Weights of the modes.
        moods: Names of moods that suit.
        space: Wish for reverberation, 0-1.
        treatments: See `Score.treatments`.
        instruments: Weights of the instruments each role may use.
        presence: Chance that a role takes part.
        melody_scale: Tones the melody draws on, one of `MELODY_SCALES`.
        melody_span: Usual range of a phrase in semitones.
        voicing: Chord voicing of the comping unless a pattern asks for another.
        progressions: By mode.
        patterns: By pattern kind.
        figures: Solo figures that suit (kind "solo" only).
    """

    name: str
    title: str
    synonyms: tuple[str, ...]
    kind: Kind
    tempo: tuple[float, float]
    felt: float
    meter: Meter
    has_pulse: bool
    swing: Swing
    timing_ms: float
    velocity_spread: float
    modes: dict[str, float]
    moods: tuple[str, ...]
    space: float
    treatments: tuple[str, ...]
    instruments: dict[Role, dict[str, float]]
    presence: dict[Role, float]
    melody_scale: str
    melody_span: int
    voicing: str
    progressions: dict[str, tuple[Progression, ...]]
    patterns: dict[str, tuple[Pattern, ...]]
    figures: tuple[str, ...]


REQUIRED = ("title", "kind", "tempo", "modes", "moods", "instruments", "progressions")
OPTIONAL = ("synonyms", "felt", "meter", "pulse", "grid", "swing", "humanize", "space",
            "treatments", "presence", "melody", "voicing", "figures", *PATTERN_KINDS)  # fmt: skip


def load_genre(name: str | Path) -> Genre:
    """The built-in genre called `name`, or the genre in the file at that path.

    Raises:
        CorpusError: If there is none, or with file and line where it breaks the format.
    """
    return _load(_file_of(name))


def genres_digest(names: Iterable[str | Path]) -> str:
    """SHA-256 of the genres' files, one after the other.

    Raises:
        CorpusError: If there is no such genre.
    """
    total = sha256()
    for name in names:
        total.update(_file_of(name).read_bytes())
    return total.hexdigest()


def _file_of(name: str | Path) -> Path:
    if isinstance(name, Path) or str(name).endswith((".yaml", ".yml")):
        return Path(name)
    if name not in list_genres():
        raise CorpusError(f"no genre is called {name!r}; known: {', '.join(list_genres())}")
    return _folder() / f"{name}.yaml"


@lru_cache(maxsize=1)
def list_genres() -> tuple[str, ...]:
    """Names of the built-in genres, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def _folder() -> Path:
    return Path(str(resources.files("musicgen_ldm.corpus") / "genres"))


@lru_cache(maxsize=128)
def _load(path: Path) -> Genre:
    root = read_marked(path)
    keys = root.mapping(REQUIRED, OPTIONAL)
    meter, grid = _time(keys)
    humanize = _numbers(keys, "humanize", {"timing_ms": (0, 40), "velocity": (0, 30)})
    melody = keys["melody"].mapping((), ("scale", "span")) if "melody" in keys else {}
    modes = _modes(keys["modes"])
    instruments = _instruments(keys["instruments"])
    genre = Genre(
        name=path.stem,
        title=keys["title"].text(),
        synonyms=_texts(keys, "synonyms", None),
        kind=cast(Kind, keys["kind"].choice(KINDS)),
        tempo=_tempo(keys["tempo"]),
        felt=float(keys["felt"].choice(("0.5", "1", "2"))) if "felt" in keys else 1.0,
        meter=meter,
        has_pulse=keys["pulse"].choice(("true", "false")) == "true" if "pulse" in keys else True,
        swing=_swing(keys),
        timing_ms=humanize.get("timing_ms", 7.0),
        velocity_spread=humanize.get("velocity", 6.0),
        modes=modes,
        moods=_texts(keys, "moods", tuple(MOODS)),
        space=keys["space"].number(0, 1) if "space" in keys else 0.3,
        treatments=_texts(keys, "treatments", TREATMENTS),
        instruments=instruments,
        presence=_presence(keys, instruments),
        melody_scale=melody["scale"].choice(MELODY_SCALES) if "scale" in melody else "mode",
        melody_span=melody["span"].whole(5, 24) if "span" in melody else 12,
        voicing=keys["voicing"].choice(STYLES) if "voicing" in keys else "close",
        progressions=_progressions(keys["progressions"], modes, meter),
        patterns={
            kind: _patterns(keys[kind], kind, meter, grid) for kind in PATTERN_KINDS if kind in keys
        },
        figures=_texts(keys, "figures", FIGURES),
    )
    _check_whole(genre, root)
    return genre


def _check_whole(genre: Genre, root: Marked) -> None:
    """Relations between keys."""
    for role in genre.instruments:
        if role in PATTERN_KINDS and role not in genre.patterns and genre.kind != "solo":
            root.fail(f"role `{role}` has instruments but no patterns under `{role}`")
    if not genre.moods:
        root.fail(f"`moods` names no mood; known: {', '.join(MOODS)}")
    if "drums" in genre.patterns and "fills" not in genre.patterns:
        root.fail("`drums` needs `fills` beside it")
    if genre.kind == "solo":
        for key in ("figures", *SOLO_KINDS):
            if not (genre.figures if key == "figures" else genre.patterns.get(key)):
                root.fail(f"a solo genre needs `{key}`")
        if set(genre.instruments) != {"lead"}:
            root.fail("a solo genre has the one role `lead`")
    pitched = {"comp", "arpeggio", "pad", "lead", "bass"} & genre.instruments.keys()
    if not pitched:
        root.fail("no instrument for any of comp, arpeggio, pad, lead or bass")


def _texts(keys: dict[str, Marked], name: str, allowed: tuple[str, ...] | None) -> tuple[str, ...]:
    if name not in keys:
        return ()
    return tuple(entry.choice(allowed) if allowed else entry.text() for entry in keys[name])


def _time(keys: dict[str, Marked]) -> tuple[Meter, int]:
    """Metre, and steps a beat."""
    meter = parse_meter(keys["meter"].choice(METERS) if "meter" in keys else "4/4")
    usual = 3 if meter.is_compound else 4
    return meter, keys["grid"].whole(1, 12) if "grid" in keys else usual


def _modes(node: Marked) -> dict[str, float]:
    weights = {
        name: entry.number(0.01, 100) for name, entry in node.mapping((), tuple(SCALES)).items()
    }
    if not weights:
        node.fail(f"names no mode; known: {', '.join(SCALES)}")
    return weights


def _numbers(
    keys: dict[str, Marked], name: str, limits: dict[str, tuple[float, float]]
) -> dict[str, float]:
    if name not in keys:
        return {}
    entries = keys[name].mapping((), tuple(limits))
    return {key: entry.number(*limits[key]) for key, entry in entries.items()}


def _tempo(node: Marked) -> tuple[float, float]:
    low, high = (entry.number(30, 260) for entry in _pair(node))
    if low > high:
        node.fail(f"tempo range {low:g} to {high:g} runs backwards")
    return low, high


def _pair(node: Marked) -> list[Marked]:
    entries = node.sequence(at_least=2)
    if len(entries) != 2:
        node.fail(f"expected two numbers, got {len(entries)}")
    return entries


def _swing(keys: dict[str, Marked]) -> Swing:
    if "swing" not in keys:
        return Swing()
    entries = keys["swing"].mapping(("unit", "share"), ())
    unit = entries["unit"].choice(("8", "16"))
    return Swing(1.0 if unit == "8" else 0.5, entries["share"].number(0.5, 0.75))


def _instruments(node: Marked) -> dict[Role, dict[str, float]]:
    table: dict[Role, dict[str, float]] = {}
    for role, entry in node.mapping((), ROLES).items():
        table[cast(Role, role)] = weights = {}
        for name, weight in entry.mapping().items():
            if name not in INSTRUMENTS:
                weight.fail(f"no instrument is called {name!r}; known: {', '.join(INSTRUMENTS)}")
            is_drum_role = role in DRUM_KINDS
            row = INSTRUMENTS[name]
            if row.is_drums != is_drum_role and not (is_drum_role and role in row.roles):
                weight.fail(f"{name!r} cannot play the role `{role}`")
            weights[name] = weight.number(0.01, 100)
        if not weights:
            entry.fail(f"role `{role}` names no instrument")
    return table


def _presence(
    keys: dict[str, Marked], instruments: dict[Role, dict[str, float]]
) -> dict[Role, float]:
    own = _numbers(keys, "presence", {role: (0.0, 1.0) for role in ROLES})
    for role in own:
        if role not in instruments:
            keys["presence"].fail(f"`presence` names `{role}`, which has no instruments")
    return {role: own.get(role, DEFAULT_PRESENCE[role]) for role in instruments}


def _progressions(
    node: Marked, modes: dict[str, float], meter: Meter
) -> dict[str, tuple[Progression, ...]]:
    table = {}
    for mode, entries in node.mapping(tuple(modes), ()).items():
        parsed = []
        for entry in entries.sequence(at_least=2):
            try:
                parsed.append(parse_progression(entry.text(), mode, meter.beats))
            except CorpusError as error:
                entry.fail(str(error))
        table[mode] = tuple(parsed)
    return table


def _patterns(node: Marked, kind: str, meter: Meter, grid: int) -> tuple[Pattern, ...]:
    return tuple(_pattern(entry, kind, meter, grid) for entry in node.sequence(at_least=2))


def _pattern(entry: Marked, kind: str, meter: Meter, grid: int) -> Pattern:
    """A pattern written as a step string, or as a mapping of voices or options."""
    voicing = None
    if isinstance(entry.value, str):
        if kind in DRUM_KINDS:
            entry.fail("drum patterns are written as `voice: steps`")
        lanes = {"steps": entry.value}
    elif kind in DRUM_KINDS:
        lanes = {voice: steps.text() for voice, steps in entry.mapping((), tuple(VOICES)).items()}
    else:
        keys = entry.mapping(("steps",), ("voicing",))
        voicing = keys["voicing"].choice(STYLES) if "voicing" in keys else None
        lanes = {"steps": keys["steps"].text()}
    try:
        return make_pattern(kind, lanes, meter, grid, voicing)
    except CorpusError as error:
        entry.fail(str(error))
