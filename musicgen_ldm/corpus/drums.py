"""Drum parts: patterns, exchanged timekeepers, fills and crashes."""

from random import Random

from musicgen_ldm.corpus.drumkeys import TIMEKEEPERS, VOICES
from musicgen_ldm.corpus.events import ACCENTS, Event
from musicgen_ldm.corpus.patterns import Hit, Pattern

HIT_BEATS = 0.2
RING_BEATS = 2.0
RINGING = frozenset({"crash", "crash2", "china", "splash", "open", "ride", "triangle"})
MAYBE = 0.5
# A roll is this many strokes in the time of its step.
ROLL_STROKES = 2


def write_drums(
    pattern: Pattern,
    keeper: Pattern | None,
    bars: list[int],
    fills: dict[int, Pattern],
    beats: int,
    density: float,
    rng: Random,
) -> list[Event]:
    """A drum part.

    Args:
        pattern: The groove.
        keeper: Another groove whose timekeeping voices replace the groove's own, or None.
        bars: Bars in which the drums play.
        fills: Pattern to play at the end of a bar, by bar; its silent first part is the groove's.
        beats: Beats a bar.
        density: Below 0 ghost notes and off-beat timekeeping thin out, see `Mood.density`.
        rng: Chooses hits that play "now and then".

    Returns:
        Events in beats, pitches are General MIDI percussion keys.
    """
    events: list[Event] = []
    for bar in bars:
        fill = fills.get(bar)
        takeover = _first_hit(fill, beats) if fill else float(beats)
        lanes = [
            (pattern, lane) for lane in pattern.lanes if keeper is None or lane not in TIMEKEEPERS
        ]
        if keeper is not None:
            lanes += [(keeper, lane) for lane in keeper.lanes if lane in TIMEKEEPERS]
        for source, lane in lanes:
            hits = [h for h in source.bar_hits(lane, bar, beats) if h.beat < takeover]
            events += _lane_events(lane, hits, bar * beats, density, rng)
        if fill:
            for lane in fill.lanes:
                events += _lane_events(lane, fill.bar_hits(lane, 0, beats), bar * beats, 0.0, rng)
    return events


def exchange_keeper(
    pattern: Pattern, others: list[Pattern], chance: float, rng: Random
) -> Pattern | None:
    """Another groove to borrow hats, rides and shakers from, or None."""
    able = [p for p in others if p is not pattern and TIMEKEEPERS & p.lanes.keys()]
    if not able or not TIMEKEEPERS & pattern.lanes.keys() or rng.random() >= chance:
        return None
    return rng.choice(able)


def crash_events(bars: list[int], beats: int) -> list[Event]:
    """A crash on the first beat of each of `bars`."""
    return [Event(bar * beats, RING_BEATS, VOICES["crash"], 0.85) for bar in bars]


def _first_hit(fill: Pattern, beats: int) -> float:
    starts = [hit.beat for lane in fill.lanes for hit in fill.bar_hits(lane, 0, beats)]
    return min(starts, default=float(beats))


def _lane_events(
    lane: str, hits: list[Hit], offset: float, density: float, rng: Random
) -> list[Event]:
    key = VOICES[lane]
    is_keeper = lane in TIMEKEEPERS
    length = RING_BEATS if lane in RINGING else HIT_BEATS
    events = []
    for hit in hits:
        if hit.symbol == "?" and rng.random() >= MAYBE:
            continue
        is_weak = hit.symbol in "o?" or (is_keeper and hit.beat % 1 > 0)
        if is_weak and rng.random() < -0.7 * density:
            continue
        force = ACCENTS[hit.symbol] * (0.9 if is_keeper and hit.beat % 1 else 1.0)
        strokes = ROLL_STROKES if hit.symbol == "r" else 1
        for stroke in range(strokes):
            start = offset + hit.beat + stroke * hit.length / strokes
            events.append(Event(start, length, key, force))
        # Busy music fills the gaps between the strokes of its timekeeper.
        if is_keeper and hit.length >= 0.25 and hit.beat % 1 == 0 and rng.random() < 0.35 * density:
            events.append(Event(offset + hit.beat + 0.25, length, key, 0.4))
    return events
