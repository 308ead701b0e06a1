"""Pieces for one instrument: figures that suit its family."""

from random import Random

from musicgen_ldm.corpus.bass import write_bass
from musicgen_ldm.corpus.comping import Seat, write_arpeggio, write_comp
from musicgen_ldm.corpus.events import Event, beat_accent
from musicgen_ldm.corpus.harmony import Harmony
from musicgen_ldm.corpus.instruments import Family, Instrument
from musicgen_ldm.corpus.patterns import Pattern, make_pattern
from musicgen_ldm.corpus.voicing import ladder, nearest

# Figures by family, the most idiomatic first; a genre picks among those it lists too.
FAMILY_FIGURES: dict[Family, tuple[str, ...]] = {
    "piano": ("accompanied", "arpeggio", "block", "chorale", "scalar"),
    "organ": ("chorale", "accompanied", "block", "scalar", "drone"),
    "mallet": ("arpeggio", "melody", "scalar"),
    "guitar": ("arpeggio", "strum", "accompanied", "melody"),
    "bass": ("walking", "melody", "arpeggio"),
    "strings": ("melody", "arpeggio", "scalar", "drone"),
    "plucked": ("arpeggio", "drone", "melody", "scalar"),
    "brass": ("melody", "scalar"),
    "reed": ("melody", "scalar", "arpeggio"),
    "flute": ("melody", "scalar", "arpeggio"),
    "choir": ("chorale",),
    "synth": ("arpeggio", "chorale", "melody"),
}
# Figures that need several notes at a time.
POLYPHONIC = frozenset({"accompanied", "block", "chorale", "drone", "strum"})
# Kinds of patterns that figures are made of, as far as the genre writes them.
FIGURE_KINDS = {
    "accompanied": ("comp", "arpeggio"), "arpeggio": ("arpeggio",), "block": ("comp",),
    "chorale": ("pad",), "strum": ("comp",),
}  # fmt: skip
CHORD_STYLES = {"strum": "guitar", "block": "close", "chorale": "open"}
# Breathing instruments rest at the end of every phrase of this many bars.
BREATH_BARS = 4
SCALE_STEP_BEATS = (0.5, 0.5, 0.25)


def choose_figure(instrument: Instrument, allowed: tuple[str, ...], rng: Random) -> str:
    """A figure that `instrument` can play, of the genre's `allowed` ones where possible."""
    able = [
        figure
        for figure in FAMILY_FIGURES[instrument.family]
        if not (instrument.is_monophonic and figure in POLYPHONIC)
    ]
    fitting = [figure for figure in able if figure in allowed] or able
    weights = [1 / (1 + 0.4 * place) for place in range(len(fitting))]
    return rng.choices(fitting, weights)[0]


def write_accompaniment(
    figure: str,
    patterns: dict[str, Pattern],
    harmony: Harmony,
    bars: list[int],
    seat: Seat,
    density: float,
    rng: Random,
) -> list[Event]:
    """Everything of a solo piece but its melody.

    Args:
        figure: See `FAMILY_FIGURES`; "melody" has no accompaniment.
        patterns: One pattern of each kind the genre writes ("comp", "arpeggio", …).
        harmony: Chords.
        bars: Bars to fill.
        seat: The instrument's range.
        density: See `Mood.density`.
        rng: Chooses among equals.

    Returns:
        Events in beats.
    """
    if figure == "melody":
        return []
    if figure == "scalar":
        return _runs(harmony, bars, seat, density, rng)
    if figure == "drone":
        return _drone(harmony, bars, seat)
    if figure == "walking":
        quarters = make_pattern("bass", {"steps": "w" * harmony.meter.beats}, harmony.meter, 1)
        return write_bass(quarters, harmony, bars, seat.low, seat.low + 24, rng)
    if figure in ("strum", "block", "chorale"):
        style = CHORD_STYLES[figure]
        chords = Seat(seat.low, seat.high, seat.centre, style, figure == "strum")
        kind = "pad" if figure == "chorale" else "comp"
        held = patterns.get(kind) or _whole_notes(harmony)
        return write_comp(held, harmony, bars, chords, density, rng)
    if figure == "accompanied":
        kind = rng.choice([k for k in ("comp", "arpeggio") if k in patterns])
        below = Seat(seat.low, max(seat.low + 19, round(seat.centre)), seat.centre - 12, "close")
        write = write_comp if kind == "comp" else write_arpeggio
        return write(patterns[kind], harmony, bars, below, density, rng)
    return write_arpeggio(patterns["arpeggio"], harmony, bars, seat, density, rng)


def _whole_notes(harmony: Harmony) -> Pattern:
    return make_pattern("pad", {"steps": "x" + "_" * (harmony.meter.beats - 1)}, harmony.meter, 1)


def _drone(harmony: Harmony, bars: list[int], seat: Seat) -> list[Event]:
    """Tonic and fifth below the melody, renewed every other bar."""
    beats = harmony.meter.beats
    root = seat.low + (harmony.tonic - seat.low) % 12
    return [
        Event(bar * beats, min(2, len(bars) - place) * beats, note, 0.55)
        for place, bar in enumerate(bars)
        if place % 2 == 0
        for note in (root, root + 7)
    ]


def _runs(
    harmony: Harmony, bars: list[int], seat: Seat, density: float, rng: Random
) -> list[Event]:
    """Scales that sweep between chord tones, a long note to breathe on at the phrase's end."""
    beats = harmony.meter.beats
    step = rng.choice(SCALE_STEP_BEATS) * (2 if density < -0.4 else 1)
    if harmony.meter.is_compound:
        step = 1 / 3
    span = harmony.at(bars[0] * beats)
    pitch = nearest(ladder(span.chord.pitch_classes, seat.low, seat.high), seat.centre)
    direction = rng.choice((-1, 1))
    events: list[Event] = []
    for place, bar in enumerate(bars):
        is_breath = place % BREATH_BARS == BREATH_BARS - 1
        count = round((beats / 2 if is_breath else beats) / step)
        for index in range(count):
            start = bar * beats + index * step
            span = harmony.at(start)
            rungs = ladder(harmony.scale(span), seat.low, seat.high)
            at = rungs.index(nearest(rungs, pitch)) + direction
            # Turn before the edge of the range, and now and then at a bar's strong beat.
            if not 1 <= at < len(rungs) - 1 or ((index * step) % 2 == 0 and rng.random() < 0.4):
                direction = -direction
                at = rungs.index(nearest(rungs, pitch)) + direction
            pitch = rungs[max(0, min(at, len(rungs) - 1))]
            if index == 0:
                pitch = nearest(ladder(span.chord.pitch_classes, seat.low, seat.high), pitch)
            events.append(Event(start, step, pitch, beat_accent(start % beats, harmony.meter)))
        if is_breath:
            start = bar * beats + count * step
            goal = nearest(
                ladder(harmony.at(start).chord.pitch_classes, seat.low, seat.high), pitch
            )
            events.append(Event(start, beats / 2 - 0.5, goal, 0.85))
    return events
