"""Step strings: the notation in which genre files write rhythm.

One character is one step, "|" and blanks are for the eye. A string fills whole bars of the
genre's grid, or one bar at another even resolution (eight characters are eighths of a 4/4 bar,
twelve are triplets).

    drums        x hit, X accent, o ghost, ? hit now and then, r roll, - rest
    comp, pad    x chord, X accent, o soft, _ hold, c bass and chord, b bass, B other bass,
                 t top note, u upstroke, m muted, - rest
    bass         1-8 degree of the chord (8 the octave), L fifth below, w walk, a approach to
                 the next chord, n next root early, x dead note, _ hold, - rest
    arpeggio     1-9 chord tones upward from the root, 0 root below, x chord, _ hold, - rest
    lead         X strong, x note, _ hold, - rest
    counter      x note or chord, X accent, _ hold, - rest
"""

import hashlib
from dataclasses import dataclass

from musicgen_ldm.corpus.rhythm import Meter
from musicgen_ldm.errors import CorpusError

ALPHABETS = {
    "drums": "xXo?r-",
    "fills": "xXo?r-",
    "percussion": "xXo?r-",
    "comp": "xXocbBtum_-",
    "pad": "xXo_-",
    "bass": "12345678Lwanx_-",
    "arpeggio": "0123456789x_-",
    "lead": "xX_-",
    "counter": "xX_-",
}
# Every kind of pattern that is drums rather than pitches.
DRUM_KINDS = ("drums", "fills", "percussion")


@dataclass(frozen=True, slots=True)
class Hit:
    """One symbol of a step string, in beats from the start of the pattern."""

    beat: float
    length: float
    symbol: str


@dataclass(frozen=True)
class Pattern:
    """A rhythm of one or more bars.

    Attributes:
        kind: A key of `ALPHABETS`.
        bars: Length.
        lanes: Hits of each voice ("kick", "snare", …); pitched kinds have the one lane "steps".
        voicing: Chord voicing asked for, or None for the genre's own.
        digest: Name made of the content, equal for equal patterns of any genre.
    """

    kind: str
    bars: int
    lanes: dict[str, tuple[Hit, ...]]
    voicing: str | None
    digest: str

    @property
    def steps(self) -> tuple[Hit, ...]:
        """Hits of a pitched pattern."""
        return self.lanes["steps"]

    def bar_hits(self, lane: str, bar: int, beats: int) -> list[Hit]:
        """Hits of `lane` that start in the pattern's bar number `bar` (taken modulo its length).

        Beats are counted from the start of that bar.
        """
        first = (bar % self.bars) * beats
        return [
            Hit(hit.beat - first, hit.length, hit.symbol)
            for hit in self.lanes[lane]
            if first <= hit.beat < first + beats
        ]


def make_pattern(
    kind: str, lanes: dict[str, str], meter: Meter, grid: int, voicing: str | None = None
) -> Pattern:
    """A pattern from its step strings.

    Args:
        kind: A key of `ALPHABETS`.
        lanes: Step string by voice.
        meter: Metre of the genre.
        grid: Steps a felt beat in strings of whole bars.
        voicing: See `Pattern`.

    Raises:
        CorpusError: If a character is unknown, a length fits no bar or the pattern is empty.
    """
    parsed = {voice: _parse(kind, steps, meter, grid) for voice, steps in lanes.items()}
    if not any(hits for hits, _ in parsed.values()):
        raise CorpusError("the pattern has no note")
    bars = max(length for _, length in parsed.values())
    total = bars * meter.beats
    full: dict[str, tuple[Hit, ...]] = {}
    for voice, (hits, length) in parsed.items():
        if bars % length:
            raise CorpusError(f"`{voice}` has {length} bars, which do not divide {bars}")
        period = length * meter.beats
        full[voice] = tuple(
            Hit(hit.beat + start, hit.length, hit.symbol)
            for start in range(0, total, period)
            for hit in hits
        )
    content = repr((kind in DRUM_KINDS, meter.name, sorted(full.items()), voicing))
    digest = f"{kind}:{hashlib.sha256(content.encode()).hexdigest()[:10]}"
    return Pattern(kind, bars, full, voicing, digest)


def _parse(kind: str, steps: str, meter: Meter, grid: int) -> tuple[list[Hit], int]:
    symbols = "".join(steps.replace("|", " ").split())
    alphabet = ALPHABETS[kind]
    for symbol in symbols:
        if symbol not in alphabet:
            raise CorpusError(f"{symbol!r} in {steps!r} is not one of {' '.join(alphabet)}")
    step, bars = _resolution(symbols, steps, meter, grid)
    hits: list[Hit] = []
    for index, symbol in enumerate(symbols):
        if symbol == "_" and hits:
            last = hits[-1]
            hits[-1] = Hit(last.beat, (index + 1) * step - last.beat, last.symbol)
        elif symbol not in "-_":
            hits.append(Hit(index * step, step, symbol))
    return hits, bars


def _resolution(symbols: str, steps: str, meter: Meter, grid: int) -> tuple[float, int]:
    """Length of a step in beats, and how many bars the string fills."""
    count, bar_steps = len(symbols), meter.beats * grid
    if count and count % bar_steps == 0:
        return 1 / grid, count // bar_steps
    if count and (count % meter.beats == 0 or meter.beats % count == 0):
        return meter.beats / count, 1
    raise CorpusError(
        f"{steps!r} has {count} steps; a bar of {meter.name} has {bar_steps} here "
        f"(or any multiple of {meter.beats})"
    )
