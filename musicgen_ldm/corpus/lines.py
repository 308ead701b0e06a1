"""Every part of a planned piece, line by line."""

from collections.abc import Iterator

from musicgen_ldm.corpus.bass import write_bass
from musicgen_ldm.corpus.comping import Seat, write_arpeggio, write_comp, write_counter
from musicgen_ldm.corpus.drums import crash_events, exchange_keeper, write_drums
from musicgen_ldm.corpus.events import Event
from musicgen_ldm.corpus.instruments import Instrument, get_instrument
from musicgen_ldm.corpus.melody import CONTOURS, Contour, Motif, Voice, invent_motif, write_melody
from musicgen_ldm.corpus.patterns import Pattern
from musicgen_ldm.corpus.perform import perform
from musicgen_ldm.corpus.piece import Plan
from musicgen_ldm.corpus.score import Part, Role
from musicgen_ldm.corpus.solo import FIGURE_KINDS, choose_figure, write_accompaniment
from musicgen_ldm.corpus.splits import SHARED_KINDS, patterns_of, share_of
from musicgen_ldm.corpus.themes import write_theme

# MIDI note around which each role sits, before mood and the instrument's own range.
CENTRES: dict[str, float] = {"lead": 73, "comp": 61, "arpeggio": 66, "pad": 59, "counter": 65}
# Part of the mood's register shift that each role follows.
FOLLOWS_REGISTER = {"lead": 1.0, "comp": 0.7, "arpeggio": 1.0, "pad": 0.8, "counter": 0.8}
CHORD_LOW = 45
BASS_FLOOR = 29
KEEPER_CHANCE = 0.35
SECOND_PATTERN_CHANCE = 0.6
SWEEP_PITCH = 60


class Parts:
    """Writes the parts of one plan, and remembers the material they used."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.used: list[str] = []

    def bars(self, role: Role) -> list[int]:
        """Bars in which `role` plays."""
        return [index for index, bar in enumerate(self.plan.bars) if role in bar.roles]

    def is_b(self, bar: int) -> bool:
        """True in the sections named "b", which have material of their own."""
        return self.plan.bars[bar].section == "b"

    def pick(self, kind: str) -> tuple[Pattern, Pattern]:
        """A pattern of `kind` for most sections and one, often another, for the b sections."""
        rng = self.plan.dice.roll("pattern", kind)
        known = patterns_of(self.plan.genre, kind, self.plan.dice.split)
        first = rng.choice(known)
        return first, rng.choice(known) if rng.random() < SECOND_PATTERN_CHANCE else first

    def use(self, material: Pattern | Contour) -> None:
        """Remember `material`, unless it is common to all splits."""
        if not (isinstance(material, Pattern) and material.kind in SHARED_KINDS):
            self.used.append(material.digest)

    def passages(self, role: Role) -> Iterator[tuple[Pattern, list[int]]]:
        """The patterns `role` plays, each with its bars."""
        first, second = self.pick(role)
        for pattern, is_b in ((first, False), (second, True)):
            bars = [bar for bar in self.bars(role) if self.is_b(bar) == is_b]
            if bars:
                self.use(pattern)
                yield pattern, bars

    def seat(self, role: Role, instrument: Instrument) -> Seat:
        """Register of a chordal role on `instrument` in this mood."""
        centre = CENTRES[role] + FOLLOWS_REGISTER[role] * self.plan.mood.register
        is_guitar = instrument.family == "guitar"
        shift = min(0, self.plan.mood.register)
        low = instrument.low if is_guitar else max(instrument.low, CHORD_LOW + shift)
        high = max(low + 16, min(instrument.high, round(centre) + 15))
        centre = max(low + 6.0, min(centre, high - 6.0))
        voicing = "open" if role == "pad" else self.plan.genre.voicing
        if voicing == "guitar" and not is_guitar:
            voicing = "close"
        return Seat(low, high, centre, voicing, is_strummed=is_guitar and role == "comp")


def write_parts(plan: Plan) -> tuple[list[Part], tuple[str, ...]]:
    """All parts of `plan`, and the digests of the patterns and contours they use."""
    writer = Parts(plan)
    if plan.genre.kind == "solo":
        parts = [_solo(writer)]
    else:
        parts = [perform(plan, role, _events(writer, role)) for role in plan.players]
    return parts, tuple(writer.used)


def _events(writer: Parts, role: Role) -> list[Event]:
    plan = writer.plan
    if role in ("drums", "percussion"):
        return _drums(writer, role)
    if role == "bass":
        return _bass(writer)
    if role == "lead":
        return _lead(writer, get_instrument(plan.players["lead"]))
    if role == "fx":
        return _sweeps(plan)
    instrument = get_instrument(plan.players[role])
    seat = writer.seat(role, instrument)
    rng = plan.dice.roll("line", role)
    events: list[Event] = []
    for pattern, bars in writer.passages(role):
        if role == "counter":
            single = instrument.is_monophonic
            events += write_counter(pattern, plan.harmony, bars, seat, is_single=single)
        else:
            write = write_arpeggio if role == "arpeggio" else write_comp
            events += write(pattern, plan.harmony, bars, seat, plan.mood.density, rng)
    return events


def _drums(writer: Parts, role: Role) -> list[Event]:
    plan = writer.plan
    beats, density = plan.genre.meter.beats, plan.mood.density
    rng = plan.dice.roll("line", role)
    others = patterns_of(plan.genre, role, plan.dice.split)
    keeper = exchange_keeper(writer.pick(role)[0], others, KEEPER_CHANCE, rng)
    fills: dict[int, Pattern] = {}
    events: list[Event] = []
    if role == "drums":
        known = patterns_of(plan.genre, "fills", plan.dice.split)
        fills = {bar: rng.choice(known) for bar in writer.bars(role) if plan.bars[bar].has_fill}
        for fill in fills.values():
            writer.use(fill)
        crashes = [bar for bar in writer.bars(role) if plan.bars[bar].has_crash]
        events += crash_events(crashes, beats)
    for groove, bars in writer.passages(role):
        own_keeper = None if writer.is_b(bars[0]) else keeper
        if own_keeper:
            writer.use(own_keeper)
        events += write_drums(groove, own_keeper, bars, fills, beats, density, rng)
    return events


def _bass(writer: Parts) -> list[Event]:
    plan = writer.plan
    instrument = get_instrument(plan.players["bass"])
    rng = plan.dice.roll("line", "bass")
    shift = max(-4, min(4, plan.mood.register // 2))
    floor = max(instrument.low, BASS_FLOOR + rng.randrange(4) + shift)
    events: list[Event] = []
    for pattern, bars in writer.passages("bass"):
        events += write_bass(pattern, plan.harmony, bars, floor, floor + 21, rng)
    return events


def _lead(writer: Parts, instrument: Instrument) -> list[Event]:
    """The theme, or a melody with one pair of motifs for section b and one for the rest."""
    plan = writer.plan
    centre = CENTRES["lead"] + plan.mood.register
    centre = max(instrument.low + 7.0, min(centre, instrument.high - 7.0))
    if plan.theme is not None:
        return write_theme(plan.theme, writer.bars("lead"), plan.tonic, plan.mode, centre)
    span = plan.genre.melody_span
    voice = Voice(
        low=max(instrument.low, round(centre) - span),
        high=min(instrument.high, round(centre) + span),
        centre=centre,
        span=span,
        scale=plan.genre.melody_scale,
        density=plan.mood.density,
    )
    first, second, third = (_motif(writer, number, voice) for number in range(3))
    events: list[Event] = []
    for is_b, motifs in ((False, (first, second)), (True, (third, second))):
        bars = [
            (bar, plan.bars[bar].position)
            for bar in writer.bars("lead")
            if writer.is_b(bar) == is_b
        ]
        events += write_melody(motifs, plan.harmony, bars, voice)
    return events


def _motif(writer: Parts, number: int, voice: Voice) -> Motif:
    plan = writer.plan
    rng = plan.dice.roll("motif", number)
    cell = rng.choice(patterns_of(plan.genre, "lead", plan.dice.split))
    contour = rng.choice(share_of(CONTOURS, plan.dice.split))
    writer.use(cell)
    writer.use(contour)
    return invent_motif(cell, contour, plan.genre.meter.beats, voice.span, voice.density, rng)


def _sweeps(plan: Plan) -> list[Event]:
    """Noise that rises through the bar before each new section."""
    beats = plan.genre.meter.beats
    starts = [index for index, bar in enumerate(plan.bars) if index and bar.position == 0]
    return [Event((start - 1) * beats, beats, SWEEP_PITCH, 0.7) for start in starts]


def _solo(writer: Parts) -> Part:
    plan = writer.plan
    instrument = get_instrument(plan.players["lead"])
    rng = plan.dice.roll("line", "solo")
    figure = choose_figure(instrument, plan.genre.figures, rng)
    has_melody = figure in ("melody", "accompanied", "drone") or plan.theme is not None
    patterns = {
        kind: writer.pick(kind)[0]
        for kind in FIGURE_KINDS.get(figure, ())
        if kind in plan.genre.patterns
    }
    for pattern in patterns.values():
        writer.use(pattern)
    middle = (instrument.low + instrument.high) / 2 + plan.mood.register / 2
    seat = Seat(instrument.low, instrument.high, middle, plan.genre.voicing)
    bars = writer.bars("lead")
    events: list[Event] = []
    if not (instrument.is_monophonic and has_melody):
        events += write_accompaniment(
            figure, patterns, plan.harmony, bars, seat, plan.mood.density, rng
        )
    if has_melody:
        events += _lead(writer, instrument)
    return perform(plan, "lead", events)
