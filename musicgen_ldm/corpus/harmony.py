"""The chords of a piece laid out in time."""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from musicgen_ldm.corpus.rhythm import Meter
from musicgen_ldm.corpus.theory import Chord, Progression, chord_scale, parse_numeral

# A note that starts this shortly before a change and lasts beyond it already means the next chord.
ANTICIPATION_BEATS = 0.5


@dataclass(frozen=True, slots=True)
class Span:
    """A chord from `start` to `end`, beats."""

    start: float
    end: float
    chord: Chord


@dataclass(frozen=True)
class Harmony:
    """Chords without gaps, in a key.

    Attributes:
        meter: Metre.
        tonic: Pitch class.
        mode: Scale.
        spans: In order; the last ends with the piece.
    """

    meter: Meter
    tonic: int
    mode: str
    spans: tuple[Span, ...]

    @cached_property
    def _starts(self) -> list[float]:
        return [span.start for span in self.spans]

    def index(self, beat: float) -> int:
        """Number of the span that sounds at `beat`."""
        return max(0, bisect_right(self._starts, beat + 1e-6) - 1)

    def at(self, beat: float) -> Span:
        """The span that sounds at `beat`."""
        return self.spans[self.index(beat)]

    def following(self, span: Span) -> Span:
        """The span after `span`; the piece's first after its last."""
        return self.spans[(self.index(span.start) + 1) % len(self.spans)]

    def meant(self, beat: float, length: float) -> Span:
        """The span a chord struck at `beat` belongs to: the next one if it is anticipated."""
        span = self.at(beat)
        is_push = 0 < span.end - beat <= ANTICIPATION_BEATS and beat % 1 > 0
        return self.following(span) if is_push and beat + length > span.end + 1e-6 else span

    def split(self, beat: float, length: float) -> list[tuple[float, float]]:
        """(start, length) pieces of a held note, cut where the chord changes."""
        pieces = []
        end = beat + length
        while beat < end - 1e-6:
            stop = min(end, self.at(beat).end)
            if stop <= beat:  # beyond the last chord
                stop = end
            pieces.append((beat, stop - beat))
            beat = stop
        return pieces

    def scale(self, span: Span) -> tuple[int, ...]:
        """Pitch classes of melodies over `span`."""
        return chord_scale(span.chord, self.mode, self.tonic)


def lay_out(
    sequence: list[tuple[Progression, int]], meter: Meter, tonic: int, mode: str
) -> Harmony:
    """Chords of successive bars.

    Args:
        sequence: For each bar of the piece the progression it follows and the bar within it.
        meter: Metre.
        tonic: Pitch class.
        mode: Scale.

    Returns:
        Harmony; a chord that is repeated without change is one span.
    """
    spans: list[Span] = []
    for bar, (progression, position) in enumerate(sequence):
        tokens = progression.bars[position % len(progression.bars)]
        step = meter.beats / len(tokens)
        for index, token in enumerate(tokens):
            start = bar * meter.beats + index * step
            chord = spans[-1].chord if token == "." else parse_numeral(token, mode, tonic)
            if spans and spans[-1].chord == chord:
                spans[-1] = Span(spans[-1].start, start + step, chord)
            else:
                spans.append(Span(start, start + step, chord))
    return Harmony(meter, tonic, mode, tuple(spans))
