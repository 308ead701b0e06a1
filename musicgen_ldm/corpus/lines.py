"""Every part of a planned piece, line by line."""

from musicgen_ldm.corpus.bass import write_bass
from musicgen_ldm.corpus.comping import Seat, write_arpeggio, write_comp, write_counter
from musicgen_ldm.corpus.drums import crash_events, exchange_keeper, write_drums
from musicgen_ldm.corpus.events import Event
from musicgen_ldm.corpus.instruments import Instrument, get_instrument
from musicgen_ldm.corpus.melody import CONTOURS, Motif, Voice, invent_motif, write_melody
from musicgen_ldm.corpus.patterns import Pattern
from musicgen_ldm.corpus.perform import perform
from musicgen_ldm.corpus.piece import Plan
from musicgen_ldm.corpus.score import Part, Role
from musicgen_ldm.corpus.solo import choose_figure, write_accompaniment
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

    def bars(self, role: Role, section: str | None = None) -> list[int]:
        """Bars in which `role` plays, of section "b", of the others ("other") or all (None)."""
        return [
            index
            for index, bar in enumerate(self.plan.bars)
            if role in bar.roles and (section is None or (bar.section == "b") == (section == "b"))
        ]

    def pick(self, kind: str) -> dict[str, Pattern]:
        """One pattern of `kind` for section "b" and one for the "other" ones."""
        rng = self.plan.dice.roll("pattern", kind)
        known = patterns_of(self.plan.genre, kind, self.plan.dice.split)
        first = rng.choice(known)
        second = rng.choice(known) if rng.random() < SECOND_PATTERN_CHANCE else first
        if kind not in SHARED_KINDS:
            self.used += [first.digest, second.digest]
        return {"other": first, "b": second}

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
    """All parts of `plan`, and the digests of the patterns, contours and figures they use."""
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
    for section, pattern in writer.pick(role).items():
        bars = writer.bars(role, section)
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
    grooves = writer.pick(role)
    keeper = exchange_keeper(
        grooves["other"], patterns_of(plan.genre, role, plan.dice.split), KEEPER_CHANCE, rng
    )
    writer.used += [keeper.digest] if keeper else []
    fills: dict[int, Pattern] = {}
    events: list[Event] = []
    if role == "drums":
        known = patterns_of(plan.genre, "fills", plan.dice.split)
        fills = {bar: rng.choice(known) for bar in writer.bars(role) if plan.bars[bar].has_fill}
        writer.used += [fill.digest for fill in fills.values()]
        crashes = [bar for bar in writer.bars(role) if plan.bars[bar].has_crash]
        events += crash_events(crashes, beats)
    for section, groove in grooves.items():
        bars = writer.bars(role, section)
        own_keeper = keeper if section == "other" else None
        events += write_drums(groove, own_keeper, bars, fills, beats, density, rng)
    return events


def _bass(writer: Parts) -> list[Event]:
    plan = writer.plan
    instrument = get_instrument(plan.players["bass"])
    rng = plan.dice.roll("line", "bass")
    shift = max(-4, min(4, plan.mood.register // 2))
    floor = max(instrument.low, BASS_FLOOR + rng.randrange(4) + shift)
    events: list[Event] = []
    for section, pattern in writer.pick("bass").items():
        bars = writer.bars("bass", section)
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
    for section, motifs in (("other", (first, second)), ("b", (third, second))):
        bars = [(bar, plan.bars[bar].position) for bar in writer.bars("lead", section)]
        events += write_melody(motifs, plan.harmony, bars, voice)
    return events


def _motif(writer: Parts, number: int, voice: Voice) -> Motif:
    plan = writer.plan
    rng = plan.dice.roll("motif", number)
    cell = rng.choice(patterns_of(plan.genre, "lead", plan.dice.split))
    contour = rng.choice(share_of(CONTOURS, plan.dice.split))
    writer.used += [cell.digest, contour.digest]
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
    patterns: dict[str, Pattern] = {
        kind: writer.pick(kind)["other"]
        for kind in ("comp", "arpeggio", "pad")
        if kind in plan.genre.patterns
    }
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
