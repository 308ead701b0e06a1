"""Pieces from seeds: the composer's front door.

`compose` is a pure function. Every decision draws from a random stream of its own, named after
the decision, so that an override changes what it names and nothing else.
"""

from collections.abc import Mapping
from types import MappingProxyType

from musicgen_ldm.corpus.lines import write_parts
from musicgen_ldm.corpus.perform import recast
from musicgen_ldm.corpus.piece import FOREGROUND, SPARE_SECONDS, Plan, make_plan
from musicgen_ldm.corpus.score import Chord, Note, Part, Score, Section
from musicgen_ldm.corpus.theory import key_name, prefers_flats
from musicgen_ldm.errors import CorpusError

CLIP_SECONDS = 10.24
CLIP_LIMITS = (1.0, 120.0)
NO_OVERRIDES: Mapping[str, object] = MappingProxyType({})
# Weight of the mood's reverberation against the genre's.
MOOD_SPACE = 0.65
# Melodies stand out: they count double when looking for the featured part.
LEAD_WEIGHT = 2.0


def compose(
    seed: int,
    *,
    genre: str | None = None,
    split: str = "train",
    clip_seconds: float = CLIP_SECONDS,
    overrides: Mapping[str, object] = NO_OVERRIDES,
) -> Score:
    """Compose one piece.

    Args:
        seed: Any integer; the same arguments always give the same score.
        genre: Name of a built-in genre or path of a genre file; None draws one.
        split: "train", "valid" or "test"; test uses material that no other split hears.
        clip_seconds: Length of the clip, 1 to 120.
        overrides: Attributes to change in an otherwise equal piece: "instrument" (of the
            featured part), "bpm", "mode", "drums" (True or False), "mood", "key".

    Returns:
        Score of a piece longer than the clip, which starts anywhere in it.

    Raises:
        CorpusError: If an argument is unknown or does not fit the genre.
    """
    low, high = CLIP_LIMITS
    if not low <= clip_seconds <= high:
        raise CorpusError(f"clip_seconds is {clip_seconds:g}, must be {low:g} to {high:g}")
    plan = make_plan(seed, genre, split, clip_seconds, overrides)
    parts, used = write_parts(plan)
    start = _clip_start(plan)
    if "instrument" in overrides:
        featured = _featured(parts, start, start + clip_seconds)
        parts = [
            recast(part, str(overrides["instrument"])) if part is featured else part
            for part in parts
        ]
    return _score(plan, parts, used, start, clip_seconds)


def _clip_start(plan: Plan) -> float:
    """Anywhere in the piece's spare time; the same place in the form whatever the tempo."""
    spare_beats = SPARE_SECONDS * plan.own_bpm / 60
    return plan.clock.seconds(plan.dice.roll("clip").random() * spare_beats)


def _featured(parts: list[Part], start: float, end: float) -> Part:
    """The pitched part most present within [start, end), melodies first."""
    pitched = [part for part in parts if part.role in (*FOREGROUND, "counter")]
    if not pitched:
        pitched = [part for part in parts if part.role == "bass"]

    def presence(part: Part) -> float:
        weight = LEAD_WEIGHT if part.role == "lead" else 1.0
        return weight * sum(_overlap(note, start, end) for note in part.notes)

    return max(pitched, key=presence)


def _overlap(note: Note, start: float, end: float) -> float:
    return max(0.0, min(end, note.start_s + note.duration_s) - max(start, note.start_s))


def _score(
    plan: Plan, parts: list[Part], used: tuple[str, ...], start: float, clip_seconds: float
) -> Score:
    genre, clock, beats = plan.genre, plan.clock, plan.genre.meter.beats
    total = len(plan.bars) * beats
    flats = prefers_flats(plan.tonic, plan.mode)
    names = [bar.section for bar in plan.bars]
    return Score(
        seed=plan.dice.seed,
        genre=genre.name,
        kind=genre.kind,
        mood=plan.mood.name,
        bpm=clock.bpm,
        felt_bpm=clock.bpm * genre.felt,
        key=key_name(plan.tonic, plan.mode),
        mode=plan.mode,
        meter=genre.meter.name,
        parts=tuple(part for part in parts if part.notes),
        beats_s=tuple(clock.seconds(beat) for beat in range(total)) if genre.has_pulse else (),
        downbeats_s=(
            tuple(clock.seconds(beat) for beat in range(0, total, beats)) if genre.has_pulse else ()
        ),
        chords=tuple(
            Chord(clock.seconds(span.start), span.chord.symbol(flats=flats))
            for span in plan.harmony.spans
        ),
        sections=tuple(
            Section(clock.seconds(index * beats), name)
            for index, name in enumerate(names)
            if index == 0 or plan.bars[index].position == 0
        ),
        patterns=tuple(sorted({*plan.used, *used})),
        clip_start_s=start,
        clip_seconds=clip_seconds,
        space=round((1 - MOOD_SPACE) * genre.space + MOOD_SPACE * plan.mood.space, 3),
        treatments=tuple(dict.fromkeys((*genre.treatments, *plan.mood.treatments))),
    )
