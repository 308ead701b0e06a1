"""What is true and audible in a clip beyond its tags, read off the score and the stem levels.

Words are written from these facts alone, so a caption can claim nothing that was not played.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, Literal

from musicgen_ldm.config.tempo_words import TempoWord, tempo_word
from musicgen_ldm.corpus.instruments import get_instrument
from musicgen_ldm.corpus.score import Kind, Part, Score
from musicgen_ldm.errors import CorpusError

Event = Literal["drums enter", "drums stop", "drums pause", "lead enters", "bass enters"]

SPARSE_BELOW_ONSETS_PER_S = 2.5
BUSY_ABOVE_ONSETS_PER_S = 11.0
SAME_ONSET_S = 0.05
DARK_BELOW, BRIGHT_ABOVE = -0.45, 0.55  # as composed, from -1 to 1
MEDIAN_CENTROID_HZ = 1_744.0  # of clips that are composed neither bright nor dark
DRY_BELOW, WIDE_ABOVE = 0.15, 0.6
ENTRY_AFTER_S = 2.0  # an entry is told only if the clip runs this long, and a bar, without
CHORDS_AT_MOST = 4

# Sounds that need a plug or an electric motor: music with one of them is not called acoustic.
AMPLIFIED = frozenset(
    {
        "electric piano", "clavinet", "vibraphone", "organ", "rock organ", "jazz guitar",
        "clean electric guitar", "muted guitar", "overdriven guitar", "distorted guitar",
        "electric bass", "picked bass", "fretless bass", "slap bass",
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a listener can hear in a clip; None or empty where nothing is to be said.

    Attributes:
        kind: Sort of ensemble.
        lead: Instrument with the melody.
        backing: The other audible instruments, loudest first, drums included.
        has_drums: A drum kit or drum machine is audible.
        felt_bpm: Pulse a listener taps, beats per minute; None for pulseless music.
        tempo_word: Of the felt pulse; None between the words' ranges.
        density: Few or many notes.
        brightness: Of the tone.
        space: Amount of reverberation.
        is_swung: Off-beats are late.
        events: Entries and breaks within the clip.
        chords: Distinct symbols in order, only when all of the clip's chords fit.
    """

    kind: Kind
    lead: str | None = None
    backing: tuple[str, ...] = ()
    has_drums: bool = False
    felt_bpm: float | None = None
    tempo_word: TempoWord | None = None
    density: Literal["sparse", "busy"] | None = None
    brightness: Literal["dark", "bright"] | None = None
    space: Literal["dry", "wide"] | None = None
    is_swung: bool = False
    events: tuple[Event, ...] = ()
    chords: tuple[str, ...] = ()

    @property
    def instruments(self) -> tuple[str, ...]:
        """Lead, then backing."""
        return ((self.lead,) if self.lead else ()) + self.backing

    @property
    def is_acoustic(self) -> bool:
        """True where no audible instrument is electronic or amplified."""
        return self.kind != "electronic" and not any(
            name in AMPLIFIED or get_instrument(name).is_electronic for name in self.instruments
        )

    def to_json(self) -> dict[str, Any]:
        """For the manifest's extra field "facts"."""
        return asdict(self)


def facts_from_json(record: dict[str, Any]) -> Facts:
    """The inverse of `Facts.to_json` after a trip through JSON.

    Raises:
        CorpusError: If a field is unknown or `kind` is missing.
    """
    unknown = record.keys() - {f.name for f in fields(Facts)}
    if unknown or "kind" not in record:
        problem = f"unknown field(s) {', '.join(sorted(unknown))}" if unknown else "no kind"
        raise CorpusError(f"facts of a clip have {problem}; build the corpus again")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
    return Facts(**values)


def facts_of(
    score: Score, audible: Sequence[Part], *, centroid_hz: float, is_swung: bool = False
) -> Facts:
    """Facts about the clip of `score`.

    Args:
        score: The piece and its truth.
        audible: Parts whose measured level is worth naming, loudest first.
        centroid_hz: Of the sound's spectrum; bright voices far back do not make a bright clip.
        is_swung: Whether the composer delayed the off-beats enough to be heard.
    """
    lead = next((part.instrument for part in audible if part.role == "lead"), None)
    if lead is None and score.kind == "solo" and audible:
        lead = audible[0].instrument
    names = dict.fromkeys(part.instrument for part in audible)
    pulse = score.felt_bpm if score.beats_s else None
    pitched = [part for part in audible if not get_instrument(part.instrument).is_drums]
    brightness = sum(part.brightness for part in pitched) / max(len(pitched), 1)
    meant = _side(brightness, DARK_BELOW, BRIGHT_ABOVE, "dark", "bright")
    heard = "bright" if centroid_hz > MEDIAN_CENTROID_HZ else "dark"
    return Facts(
        kind=score.kind,
        lead=lead,
        backing=tuple(name for name in names if name != lead),
        has_drums=any(_is_kit(name) for name in names),
        felt_bpm=pulse,
        tempo_word=tempo_word(pulse),
        density=_density(score, pitched),
        brightness=meant if meant == heard else None,
        space=_side(score.space, DRY_BELOW, WIDE_ABOVE, "dry", "wide"),
        is_swung=is_swung,
        events=_events(score, audible),
        chords=_chords(score),
    )


def _is_kit(name: str) -> bool:
    """A drum kit or drum machine; orchestral and hand percussion are called percussion."""
    return get_instrument(name).family == "drums"


def _side(value: float, low: float, high: float, below: str, above: str) -> Any:
    """`below` or `above` where `value` is outside [low, high], else None."""
    return below if value < low else above if value > high else None


def _onsets(score: Score, part: Part) -> list[float]:
    """Onsets of a part within the clip, seconds from its start."""
    times = (note.start_s - score.clip_start_s for note in part.notes)
    return [time for time in times if 0 <= time < score.clip_seconds]


def _density(score: Score, pitched: Sequence[Part]) -> Any:
    """Word for the rate of onsets; the notes of a chord, however strummed, count once."""
    onsets = 0
    for part in pitched:
        times = sorted(_onsets(score, part))
        onsets += bool(times) + sum(b - a > SAME_ONSET_S for a, b in pairwise(times))
    rate = onsets / score.clip_seconds
    return _side(rate, SPARSE_BELOW_ONSETS_PER_S, BUSY_ABOVE_ONSETS_PER_S, "sparse", "busy")


def _events(score: Score, audible: Sequence[Part]) -> tuple[Event, ...]:
    """Entries and breaks that a listener notices."""
    events: list[Event] = []
    bars = score.downbeats_s
    wait = max(ENTRY_AFTER_S, 1.1 * (bars[1] - bars[0]) if len(bars) > 1 else 0.0)
    drums = [t for p in audible if _is_kit(p.instrument) for t in _onsets(score, p)]
    if drums:
        drums.sort()
        gaps = [later - sooner for sooner, later in pairwise(drums)]
        if drums[0] > wait:
            events.append("drums enter")
        if score.clip_seconds - drums[-1] > wait:
            events.append("drums stop")
        if max(gaps, default=0.0) > wait:
            events.append("drums pause")
    entries: tuple[tuple[str, Event], ...] = (("lead", "lead enters"), ("bass", "bass enters"))
    for role, event in entries:
        onsets = [t for p in audible if p.role == role for t in _onsets(score, p)]
        if len(audible) > 1 and onsets and min(onsets) > wait:
            events.append(event)
    return tuple(events)


def _chords(score: Score) -> tuple[str, ...]:
    """Distinct chord symbols sounding in the clip, or none where there are too many."""
    end = score.clip_start_s + score.clip_seconds
    starts = [chord.start_s for chord in score.chords]
    stops = [*starts[1:], end]
    heard = dict.fromkeys(
        chord.symbol
        for chord, stop in zip(score.chords, stops, strict=True)
        if stop > score.clip_start_s and chord.start_s < end
    )
    return tuple(heard) if 2 <= len(heard) <= CHORDS_AT_MOST else ()
