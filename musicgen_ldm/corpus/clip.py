"""One planned clip made real: composed, rendered, checked, captioned.

A clip that turns out nearly silent is composed anew from the next seed of a fixed sequence, so
the result is still a function of the plan alone.
"""

import hashlib
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import soundfile

from musicgen_ldm import __version__
from musicgen_ldm.audio import SILENCE_DBFS, Waveform
from musicgen_ldm.corpus.compose import compose
from musicgen_ldm.corpus.contrast import contrast_override
from musicgen_ldm.corpus.facts import Facts, facts_of
from musicgen_ldm.corpus.genre import list_genres, load_genre
from musicgen_ldm.corpus.negatives import HardNegative
from musicgen_ldm.corpus.recipe import MAX_SEED, ClipPlan
from musicgen_ldm.corpus.render import Ingredient, Rendering, SoundBank, render
from musicgen_ldm.corpus.score import Score
from musicgen_ldm.corpus.sequences import Told, write_sequence_captions
from musicgen_ldm.corpus.soundfont import USER_SUPPLIED
from musicgen_ldm.corpus.vocabulary import Vocabulary, load_vocabulary
from musicgen_ldm.corpus.words import hard_negatives, write_captions
from musicgen_ldm.data.manifest import Clip, Tags
from musicgen_ldm.errors import CorpusError

MAX_SILENT_SHARE = 0.3
SILENCE_FRAME_S = 0.05
MAX_ATTEMPTS = 8
SWUNG_SHARE = 0.57  # of a beat for the first of two off-beat notes, above which swing is heard
CROSSFADE_S = 0.05  # from the first to the second piece of an order pair
CAPTION_DOMAIN, CONTRAST_DOMAIN = 0xCA, 0xC0  # keep draws apart from those of the sound
SAMPLE_RATES = (8_000, 48_000)  # lowest and highest, Hz
LICENCE = "CC0-1.0"  # of the clips: composition and rendering are the project's own


@dataclass(frozen=True)
class MadeClip:
    """A finished clip in memory.

    Attributes:
        clip: Its manifest line, the path relative to the corpus folder.
        flac: The audio file's bytes.
        stems: Stereo stems by instrument, if asked for.
        scores: What was played, in order.
    """

    clip: Clip
    flac: bytes
    stems: dict[str, Waveform]
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class _Piece:
    """A composed and rendered piece with its truth."""

    score: Score
    rendering: Rendering
    tags: Tags
    facts: Facts
    captions: tuple[str, ...]
    near_misses: tuple[HardNegative, ...]
    changed: tuple[str, ...]  # what the pair of a contrast clip differs in


def make_clip(
    plan: ClipPlan,
    bank: SoundBank,
    *,
    sample_rate: int = 16_000,
    is_stereo: bool = False,
    with_stems: bool = False,
) -> MadeClip:
    """Compose, render and describe a planned clip.

    Raises:
        CorpusError: If a sound is missing, the rate is out of range, or the genre yields only
            silence.
    """
    check_sample_rate(sample_rate)
    for attempt in range(MAX_ATTEMPTS):
        seed = _reseeded(plan.seed, attempt)
        pieces = _make_pieces(replace(plan, seed=seed), bank, sample_rate, with_stems)
        audio = _joined([piece.rendering.audio for piece in pieces])
        if silent_share(audio) <= MAX_SILENT_SHARE:
            break
    else:
        raise CorpusError(
            f"genre {plan.genre}: {MAX_ATTEMPTS} pieces from seed {plan.seed} are silent for "
            f"more than {MAX_SILENT_SHARE:.0%} of the clip; its patterns are too sparse"
        )
    flac = encode_flac(audio, is_stereo=is_stereo)
    clip = _describe(plan, pieces, flac, sample_rate)
    stems = pieces[0].rendering.stems if len(pieces) == 1 else {}
    return MadeClip(clip, flac, stems, tuple(piece.score for piece in pieces))


def check_sample_rate(sample_rate: int) -> None:
    """Refuse a rate at which no clip is made.

    Raises:
        CorpusError: Naming the limits.
    """
    low, high = SAMPLE_RATES
    if not low <= sample_rate <= high:
        raise CorpusError(f"sample rate {sample_rate} Hz is outside {low} to {high}")


def silent_share(waveform: Waveform) -> float:
    """Share of 50 ms frames whose RMS is below the project's silence level."""
    frame = int(SILENCE_FRAME_S * waveform.sample_rate)
    mono = waveform.mono
    frames = mono[: len(mono) // frame * frame].reshape(-1, frame)
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    return float(np.mean(power < 10 ** (SILENCE_DBFS / 10)))


def encode_flac(waveform: Waveform, *, is_stereo: bool, subtype: str = "PCM_16") -> bytes:
    """FLAC, the same bytes for the same samples."""
    samples = waveform.samples if is_stereo else waveform.mono[None]
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.T, waveform.sample_rate, format="FLAC", subtype=subtype)
    return buffer.getvalue()


def _reseeded(seed: int, attempt: int) -> int:
    """The seed itself, then seeds of a sequence that starts with it."""
    if attempt == 0:
        return seed
    return int(np.random.default_rng((seed, attempt)).integers(MAX_SEED))


def _make_pieces(
    plan: ClipPlan, bank: SoundBank, sample_rate: int, with_stems: bool
) -> list[_Piece]:
    """One piece, or the two of an order pair in the order of this half."""
    if plan.other is None:
        return [_make_piece(plan, plan.clip_seconds, bank, sample_rate, with_stems)]
    genre, seed = plan.other
    # Both halves overlap by the crossfade, so that together they last as long as any clip.
    seconds = (plan.clip_seconds + CROSSFADE_S) / 2
    pieces = [
        _make_piece(part, seconds, bank, sample_rate, False)
        for part in (plan, replace(plan, genre=genre, seed=_reseeded(seed, plan.seed)))
    ]
    return pieces[::-1] if plan.half else pieces


def _make_piece(
    plan: ClipPlan, seconds: float, bank: SoundBank, sample_rate: int, with_stems: bool
) -> _Piece:
    genre = load_genre(plan.genre)
    score = compose(plan.seed, genre=plan.genre, split=plan.split, clip_seconds=seconds)
    override: dict[str, object] = {}
    if plan.attribute is not None:
        rng = np.random.default_rng((plan.seed, CONTRAST_DOMAIN))
        override = contrast_override(score, genre, plan.attribute, rng)
        if plan.half:
            score = compose(
                plan.seed,
                genre=plan.genre,
                split=plan.split,
                clip_seconds=seconds,
                overrides=override,
            )
    rendering = render(score, bank, sample_rate=sample_rate, with_stems=with_stems)
    tags = _tags(score, rendering)
    by_level = {name: place for place, name in enumerate(rendering.instruments)}
    audible = [part for part in score.parts if part.instrument in by_level]
    by_loudness = sorted(audible, key=lambda part: by_level[part.instrument])
    facts = facts_of(
        score,
        by_loudness,
        centroid_hz=rendering.centroid_hz,
        is_swung=genre.swing.share > SWUNG_SHARE,
    )
    rng = np.random.default_rng((plan.seed, CAPTION_DOMAIN))
    words = _vocabulary(plan)
    captions = write_captions(tags, facts, rng, split=plan.split, vocabulary=words)
    # Held-out words stay out of training: only the train split teaches with false captions.
    near_misses = tuple(hard_negatives(tags, facts, rng, words)) if plan.split == "train" else ()
    return _Piece(score, rendering, tags, facts, captions, near_misses, tuple(override))


def _vocabulary(plan: ClipPlan) -> Vocabulary:
    """The built-in words, and the title and synonyms of genre files outside the library."""
    names = (plan.genre, *(plan.other or ())[:1])
    return load_vocabulary(tuple(str(name) for name in names if name not in list_genres()))


def _tags(score: Score, rendering: Rendering) -> Tags:
    """Facts for the manifest; what cannot be heard stays None."""
    has_mode = score.mode != "none"
    return Tags(
        genre=score.genre,
        mood=score.mood,
        instruments=rendering.instruments,
        bpm=round(score.bpm, 2) if score.beats_s else None,
        key=score.key if has_mode else None,
        mode=score.mode if has_mode else None,
        meter=score.meter if score.beats_s else None,
    )


def _joined(parts: list[Waveform]) -> Waveform:
    """Waveforms one after the other, crossfaded with constant power."""
    rate = parts[0].sample_rate
    fade = round(CROSSFADE_S * rate)
    angle = np.linspace(0, np.pi / 2, fade, dtype=np.float32)
    joined = parts[0].samples
    for part in parts[1:]:
        seam = joined[:, -fade:] * np.cos(angle) + part.samples[:, :fade] * np.sin(angle)
        joined = np.concatenate([joined[:, :-fade], seam, part.samples[:, fade:]], axis=1)
    return Waveform(np.clip(joined, -1, 1), rate)


def _describe(plan: ClipPlan, pieces: list[_Piece], flac: bytes, sample_rate: int) -> Clip:
    """The manifest line."""
    ingredients = {item.name: item for piece in pieces for item in piece.rendering.ingredients}
    sounds = ", ".join(f"{item.name} ({item.licence})" for item in ingredients.values())
    starts = [i * (piece.score.clip_seconds - CROSSFADE_S) for i, piece in enumerate(pieces)]
    placed = list(zip(starts, pieces, strict=True))
    return Clip(
        id=plan.id,
        path=f"audio/{plan.id}.flac",
        sha256=hashlib.sha256(flac).hexdigest(),
        start_s=0.0,
        duration_s=plan.clip_seconds,
        sample_rate=sample_rate,
        captions=_captions(plan, pieces),
        tags=_common_tags([piece.tags for piece in pieces]),
        beats_s=_times(placed, "beats_s"),
        downbeats_s=_times(placed, "downbeats_s"),
        split=plan.split,
        licence=_licence(ingredients.values()),
        source=f"musicgen_ldm corpus {__version__}",
        attribution=f"musicgen_ldm; sounds: {sounds}",
        extra=_extra(plan, placed) | {"ingredients": [asdict(i) for i in ingredients.values()]},
    )


def _licence(ingredients: Iterable[Ingredient]) -> str:
    """Ours, unless a font of the user's own is heard, whose terms only the user knows."""
    is_ours = all(item.licence != USER_SUPPLIED for item in ingredients)
    return LICENCE if is_ours else USER_SUPPLIED


def _captions(plan: ClipPlan, pieces: list[_Piece]) -> tuple[str, ...]:
    """Captions of a piece, or of a sequence of two."""
    if len(pieces) == 1:
        return pieces[0].captions
    # Both orders draw alike, so that a pair of captions differs in the order and in little else.
    rng = np.random.default_rng((plan.seed, CAPTION_DOMAIN))
    first, second = (Told(piece.tags, piece.facts) for piece in pieces)
    return write_sequence_captions(
        first, second, rng, split=plan.split, vocabulary=_vocabulary(plan)
    )


def _common_tags(tags: list[Tags]) -> Tags:
    """What is true of all pieces; the instruments of any."""
    instruments = tuple(dict.fromkeys(name for one in tags for name in one.instruments))
    common = {
        name: value
        for name, value in asdict(tags[0]).items()
        if all(getattr(one, name) == value for one in tags)
    }
    return Tags(**common | {"instruments": instruments})


def _times(placed: list[tuple[float, _Piece]], name: str) -> tuple[float, ...]:
    """Beats or downbeats that fall into the clip, seconds from its start."""
    times = []
    for start, piece in placed:
        score = piece.score
        inside = (time - score.clip_start_s for time in getattr(score, name))
        times += [start + time for time in inside if 0 <= time < score.clip_seconds]
    return tuple(round(time, 4) for time in times)


def _extra(plan: ClipPlan, placed: list[tuple[float, _Piece]]) -> dict[str, Any]:
    """Truth beyond the manifest's own fields."""
    first = placed[0][1]
    scores = [piece.score for _, piece in placed]
    extra: dict[str, Any] = {
        "seed": first.score.seed,
        "treatments": sorted({name for score in scores for name in score.treatments}),
        "chords": _spans(placed, "chords", "symbol"),
        "sections": _spans(placed, "sections", "name"),
        "patterns": sorted({name for score in scores for name in score.patterns}),
    }
    if len(placed) == 1:
        extra |= _extra_of_piece(first)
        extra["hard_negatives"] = [near_miss._asdict() for near_miss in first.near_misses]
    if plan.pair:
        extra["pair"] = {
            "id": plan.pair,
            "recipe": plan.recipe,
            "half": plan.half,
            "changed": list(first.changed),
        }
    if len(placed) > 1:
        extra["sequence"] = [
            {"start_s": round(start, 4), "seed": piece.score.seed, "tags": asdict(piece.tags)}
            | _extra_of_piece(piece)
            for start, piece in placed
        ]
    return extra


def _extra_of_piece(piece: _Piece) -> dict[str, Any]:
    """What is true of one piece and need not be of another in the same clip."""
    score = piece.score
    return {
        "kind": score.kind,
        "felt_bpm": round(score.felt_bpm, 2) if score.beats_s else None,
        "space": score.space,
        "levels_db": piece.rendering.levels_db,
        "facts": piece.facts.to_json(),
    }


def _spans(placed: list[tuple[float, _Piece]], field: str, label: str) -> list[tuple[float, str]]:
    """(start, label) of the chords or sections heard, the first one cut to the clip's start."""
    spans = []
    for start, piece in placed:
        score = piece.score
        items = [(item.start_s - score.clip_start_s, getattr(item, label))
                 for item in getattr(score, field)]  # fmt: skip
        for (begin, name), (end, _) in zip(
            items, [*items[1:], (score.clip_seconds, "")], strict=True
        ):
            if end > 0 and begin < score.clip_seconds:
                spans.append((round(start + max(0.0, begin), 4), name))
    return spans
