"""Decisions about a piece before any note: genre, mood, key, tempo, players, material, form."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from musicgen_ldm.corpus.arrange import SHORT_SECTIONS, Bar, arrange
from musicgen_ldm.corpus.genre import Genre, list_genres, load_genre
from musicgen_ldm.corpus.harmony import Harmony, lay_out
from musicgen_ldm.corpus.instruments import get_instrument
from musicgen_ldm.corpus.moods import Mood, get_mood
from musicgen_ldm.corpus.rhythm import Clock, Dice, weighted
from musicgen_ldm.corpus.score import Role
from musicgen_ldm.corpus.splits import check_split, progressions_of, share_of
from musicgen_ldm.corpus.themes import Theme, load_themes
from musicgen_ldm.corpus.theory import Progression, tonic_pitch_class
from musicgen_ldm.errors import CorpusError

OVERRIDES = ("instrument", "bpm", "mode", "drums", "mood", "key")
# How often each kind is drawn when no genre is asked for.
KIND_WEIGHTS = {"band": 0.5, "electronic": 0.28, "solo": 0.14, "orchestral": 0.08}
# A mood's favourite instruments are this much likelier.
FAVOUR = 4.0
THEME_SHARE = 0.05
# Part of a mood's wish for silent drums that even a drum-driven genre follows.
LEAST_SWAY = 0.3
# A piece is longer than its clip by this many seconds, so that clips start anywhere in it.
SPARE_SECONDS = 12.0
# Roles in the order in which they choose their instruments.
CASTING: tuple[Role, ...] = (
    "lead", "comp", "bass", "drums", "arpeggio", "pad", "counter", "percussion", "fx",
)  # fmt: skip
# What goes with the drums when they are switched off.
SILENCED_WITH_DRUMS: frozenset[Role] = frozenset({"drums", "percussion", "fx"})
FOREGROUND: tuple[Role, ...] = ("comp", "arpeggio", "lead", "pad")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything decided about a piece but its notes.

    Attributes:
        dice: Seed, split and the random streams they start.
        genre: Genre file.
        mood: Drives.
        tonic: Pitch class.
        mode: Scale.
        clock: Beats to seconds.
        own_bpm: Tempo before any override.
        players: Instrument of each role.
        harmony: Chords of the whole piece.
        used: Progressions and theme, for `Score.patterns`.
        theme: Melody of the public domain, or None for one of our own.
        bars: Form.
    """

    dice: Dice
    genre: Genre
    mood: Mood
    tonic: int
    mode: str
    clock: Clock
    own_bpm: float
    players: dict[Role, str]
    harmony: Harmony
    used: tuple[str, ...]
    theme: Theme | None
    bars: list[Bar]


def check_overrides(overrides: Mapping[str, object]) -> None:
    """Refuse keys and values that no piece can follow.

    Raises:
        CorpusError: Naming what is allowed.
    """
    for key, value in overrides.items():
        if key not in OVERRIDES:
            raise CorpusError(f"override {key!r} is not known; known: {', '.join(OVERRIDES)}")
        if key == "instrument" and get_instrument(str(value)).is_drums:
            raise CorpusError(f"override instrument={value!r}: drums cannot play a line")
        if key == "bpm" and not (isinstance(value, int | float) and 30 <= value <= 260):
            raise CorpusError(f"override bpm={value!r} is not a number within 30 to 260")
        if key == "drums" and not isinstance(value, bool):
            raise CorpusError(f"override drums={value!r} must be True or False")


def make_plan(
    seed: int, genre: str | None, split: str, clip_seconds: float, overrides: Mapping[str, object]
) -> Plan:
    """Decide on a piece.

    Raises:
        CorpusError: If genre, split or an override is unknown or does not fit the genre.
    """
    check_split(split)
    check_overrides(overrides)
    chosen = load_genre(genre) if genre is not None else draw_genre(seed, split)
    dice = Dice(seed, split, chosen.name)
    mood = _mood(chosen, dice, overrides)
    theme = _theme(chosen, dice)
    mode = _mode(chosen, mood, theme, dice, overrides)
    tonic = dice.roll("key").randrange(12)
    if "key" in overrides:
        tonic = tonic_pitch_class(str(overrides["key"]))
    own_bpm = _tempo(chosen, mood, dice)
    bpm = float(overrides.get("bpm", own_bpm))  # type: ignore[arg-type]
    players = cast_players(chosen, mood, theme, dice)
    # The form follows the genre's own tempo: a contrast pair in tempo keeps its form.
    bar_seconds = chosen.meter.beats * 60 / own_bpm
    needed = (clip_seconds + SPARE_SECONDS) * max(1.0, bpm / own_bpm)
    form = dice.roll("form")
    bars = arrange(chosen.kind, frozenset(players), bar_seconds, needed, form)
    if "drums" in overrides:
        players, bars = _switch_drums(bool(overrides["drums"]), players, bars, chosen, dice)
    harmony, used = _harmonise(chosen, theme, bars, tonic, mode, dice)
    rubato = 0.06 if chosen.kind == "solo" and chosen.swing.share == 0.5 else 0.0
    clock = Clock(bpm, chosen.swing, rubato, 2.0 * chosen.meter.beats)
    return Plan(
        dice=dice, genre=chosen, mood=mood, tonic=tonic, mode=mode, clock=clock,
        own_bpm=own_bpm, players=players, harmony=harmony, used=used, theme=theme, bars=bars,
    )  # fmt: skip


def draw_genre(seed: int, split: str) -> Genre:
    """A built-in genre, first its kind and then one of that kind."""
    by_kind: dict[str, list[Genre]] = {}
    for name in list_genres():
        loaded = load_genre(name)
        by_kind.setdefault(loaded.kind, []).append(loaded)
    rng = Dice(seed, split).roll("genre")
    kind = weighted(rng, {kind: KIND_WEIGHTS[kind] for kind in sorted(by_kind)})
    return rng.choice(by_kind[kind])


def _mood(genre: Genre, dice: Dice, overrides: Mapping[str, object]) -> Mood:
    if "mood" in overrides:
        return get_mood(str(overrides["mood"]))
    return get_mood(dice.roll("mood").choice(genre.moods))


def _theme(genre: Genre, dice: Dice) -> Theme | None:
    rng = dice.roll("theme")
    fitting = [
        theme
        for theme in share_of(load_themes(), dice.split)
        if theme.meter == genre.meter.name and theme.mode in genre.modes
    ]
    has_melody = "lead" in genre.instruments
    return rng.choice(fitting) if rng.random() < THEME_SHARE and fitting and has_melody else None


def _mode(
    genre: Genre,
    mood: Mood,
    theme: Theme | None,
    dice: Dice,
    overrides: Mapping[str, object],
) -> str:
    if "mode" in overrides:
        mode = str(overrides["mode"])
        if mode not in genre.modes:
            raise CorpusError(f"genre {genre.name} has no mode {mode!r}; it has {[*genre.modes]}")
        return mode
    if theme is not None:
        return theme.mode
    weights = {mode: weight * mood.modes.get(mode, 0.15) for mode, weight in genre.modes.items()}
    return weighted(dice.roll("mode"), weights)


def _tempo(genre: Genre, mood: Mood, dice: Dice) -> float:
    low, high = genre.tempo
    third = (high - low) / 3
    start = low + third * ("slow", "mid", "fast").index(mood.tempo)
    return round(dice.roll("tempo").uniform(start, start + third), 1)


def cast_players(genre: Genre, mood: Mood, theme: Theme | None, dice: Dice) -> dict[Role, str]:
    """Which roles take part, and who plays them."""
    players: dict[Role, str] = {}
    roles = _roles(genre, mood, dice)
    if theme is not None:
        roles.add("lead")
    for role in CASTING:
        if role in roles:
            weights = genre.instruments[role]
            fresh = {name: w for name, w in weights.items() if name not in players.values()}
            liked = {
                name: w * (FAVOUR if name in mood.favours else 1.0)
                for name, w in (fresh or weights).items()
            }
            players[role] = weighted(dice.roll("player", role), liked)
    return players


def _switch_drums(
    is_on: bool, players: dict[Role, str], bars: list[Bar], genre: Genre, dice: Dice
) -> tuple[dict[Role, str], list[Bar]]:
    """Players and form with drums added or taken away, all else as it was."""
    if not is_on:
        rest = {role: name for role, name in players.items() if role not in SILENCED_WITH_DRUMS}
        return rest, [replace(bar, roles=bar.roles - SILENCED_WITH_DRUMS) for bar in bars]
    if "drums" not in genre.instruments:
        raise CorpusError(f"genre {genre.name} has no drums to switch on")
    if "drums" in players:
        return players, bars
    drummer = weighted(dice.roll("player", "drums"), genre.instruments["drums"])
    drummed = [
        bar if bar.section in SHORT_SECTIONS else replace(bar, roles=bar.roles | {"drums"})
        for bar in bars
    ]
    return {**players, "drums": drummer}, drummed


def _roles(genre: Genre, mood: Mood, dice: Dice) -> set[Role]:
    roles: set[Role] = set()
    for role, presence in genre.presence.items():
        chance = presence
        if role in ("drums", "percussion") and presence < 1:
            # The more a genre lives by its drums, the less a mood can silence them.
            sway = min(1.0, max(LEAST_SWAY, 2 * (1 - presence)))
            chance *= 1 - sway * (1 - mood.drums)
        elif role not in ("bass", "comp") and presence < 1:
            chance *= 1 + 0.5 * mood.density
        if dice.roll("role", role).random() < chance:
            roles.add(role)
    if not roles & set(FOREGROUND):
        roles.add(next(role for role in (*FOREGROUND, "bass") if role in genre.instruments))
    if genre.kind == "solo":
        return {"lead"}
    return roles


def _harmonise(
    genre: Genre,
    theme: Theme | None,
    bars: list[Bar],
    tonic: int,
    mode: str,
    dice: Dice,
) -> tuple[Harmony, tuple[str, ...]]:
    """Chords of the form: one progression for section b, another for the rest, each going on."""
    if theme is not None:
        progression = theme.progression(mode)
        order = [(progression, index) for index in range(len(bars))]
        return lay_out(order, genre.meter, tonic, mode), (theme.digest,)
    known = progressions_of(genre, mode, dice.split)
    rng = dice.roll("progression")
    first = rng.choice(known)
    others = [p for p in known if p is not first and abs(len(p.bars) - len(first.bars)) <= 4]
    second = rng.choice(others) if others and rng.random() < 0.6 else first
    count = {"b": 0, "other": 0}
    sequence: list[tuple[Progression, int]] = []
    for bar in bars:
        letter = "b" if bar.section == "b" else "other"
        sequence.append((second if letter == "b" else first, count[letter]))
        count[letter] += 1
    used = tuple(dict.fromkeys(p.digest for p, _ in sequence))
    return lay_out(sequence, genre.meter, tonic, mode), used
