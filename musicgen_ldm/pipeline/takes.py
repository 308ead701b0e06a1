"""Takes: what was rendered, how it measures up to the request, and which comes first."""

from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from torch import Tensor
from torch.nn.functional import normalize

from musicgen_ldm.audio import SILENCE_DBFS, Waveform, peak, rms_dbfs, within_full_scale
from musicgen_ldm.bank import ROWS_A_CLIP, best_of_clips, novelty_threshold
from musicgen_ldm.checkpoint import Checkpoint
from musicgen_ldm.config.generation import BEATS_PER_BAR, GenerateRequest
from musicgen_ldm.config.novelty import NUM_NEIGHBOURS
from musicgen_ldm.errors import NumericsError
from musicgen_ldm.measure import (
    key_agreement,
    loop_seam_score,
    measure_key,
    measure_tempo,
    parse_key,
    seam_score,
    signal_health,
    tempo_agreement,
)
from musicgen_ldm.models.clap import pooled

# Rank = text fit + weighted agreement with what was asked. A cosine rarely moves by more than 0.2
# between takes, so a take at the wrong tempo loses to one at the right tempo, and a broken signal
# to everything.
TEMPO_WEIGHT = 0.2
KEY_WEIGHT = 0.1
HEALTH_WEIGHT = 1.0
NOVELTY_WEIGHT = 1.0  # of what the nearest training clip exceeds the novelty threshold by
MIN_MEASURED_S = 1.0  # shorter sound has no tempo, key or seam worth naming
MAX_MEASURED_S = 60.0  # tempo and key are those of the first minute, in bounded memory
SEAM_CONTEXT_S = 10.0  # a seam is compared with the sound this far to either side


@dataclass(frozen=True)
class Take:
    """One rendered variant.

    Attributes:
        waveform: The sound.
        take: Its index; with the request's seed it determines the noise.
        scores: Text fit (cosine, -1 to 1), agreements and health (0 to 1), the
            similarity of the nearest training clip, and their sum "rank".
        measured: Tempo, key, health and seam as measured on the sound.
        record: Everything needed to render it again, for `provenance.write_audio`.
    """

    waveform: Waveform
    take: int
    scores: dict[str, float]
    measured: dict[str, Any]
    record: dict[str, Any]


def measure(
    waveform: Waveform, request: GenerateRequest, seams_s: tuple[float, ...]
) -> dict[str, Any]:
    """What can be heard of the request, from the sound alone, at the level of its file."""
    waveform, _ = within_full_scale(waveform)
    health = signal_health(waveform)
    found: dict[str, Any] = {
        "loudness_lufs": _finite(health.loudness_lufs),
        "peak": health.peak,
        "faults": list(health.faults),
        "health": health.score,
    }
    if waveform.seconds < MIN_MEASURED_S or "silent" in health.faults:
        return found
    beginning = excerpt(waveform, 0.0, MAX_MEASURED_S)
    found |= _tempo_and_key(beginning, request, waveform.seconds)
    if request.loop:
        found["seam"] = loop_seam_score(waveform)
    elif seams_s:
        found["seam"] = max(_seam(waveform, seam_s) for seam_s in seams_s)
    return found


def _tempo_and_key(beginning: Waveform, request: GenerateRequest, seconds: float) -> dict[str, Any]:
    # A sound may be silent at first and not at all later on.
    if rms_dbfs(beginning.mono) < SILENCE_DBFS:
        return {}
    tempo, key = measure_tempo(beginning), measure_key(beginning)
    found: dict[str, Any] = {
        "bpm": tempo.bpm,
        "bpm_confidence": tempo.confidence,
        "key": str(key),
        "key_confidence": key.confidence,
    }
    if request.asked_bpm is not None:
        found["asked_bpm"] = request.asked_bpm
        found["tempo_agreement"] = tempo_agreement(request.asked_bpm, tempo)
    if request.bars is not None and tempo.bpm is not None:
        found["bars"] = seconds / (BEATS_PER_BAR * 60 / tempo.bpm)
    if request.asked_key is not None:
        found["asked_key"] = request.asked_key
        found["key_agreement"] = key_agreement(parse_key(request.asked_key), key)
    return found


def excerpt(waveform: Waveform, start_s: float, end_s: float) -> Waveform:
    """The part of a waveform between two times; it is clipped to the waveform."""
    rate = waveform.sample_rate
    first, last = max(0, round(start_s * rate)), round(end_s * rate)
    return Waveform(waveform.samples[:, first:last], rate)


def _seam(waveform: Waveform, seam_s: float) -> float:
    start_s = max(0.0, seam_s - SEAM_CONTEXT_S)
    around = excerpt(waveform, start_s, seam_s + SEAM_CONTEXT_S)
    # Nothing can be heard in digital silence, a seam neither.
    return seam_score(around, seam_s - start_s) if peak(around.mono) else 0.0


def score(
    checkpoint: Checkpoint, waveform: Waveform, request: GenerateRequest, measured: dict[str, Any]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Scores of one take with their weighted sum, "rank" (higher is better), and its novelty.

    Novelty is what the record says of it: the `nearest` training clips by CLAP similarity, none
    if the checkpoint does not know its own, and the `novelty_threshold` they are held against.
    """
    scores: dict[str, float] = {"health": measured["health"]}
    rank = HEALTH_WEIGHT * measured["health"]
    novelty: dict[str, Any] = {"nearest": []}
    if checkpoint.clap.feature_extractor is not None:
        windows = checkpoint.clap.windows(waveform)
        if not bool(windows.isfinite().all()):
            raise NumericsError(
                "CLAP's embedding of the take is not finite; the checkpoint's text_encoder is "
                "damaged, `musicgen-ldm info` verifies it"
            )
        if request.prompt.strip():
            text = checkpoint.clap.text([request.conditioning_text])
            scores["text_fit"] = float((text * pooled(windows)).sum())
            rank += scores["text_fit"]
        novelty["nearest"] = nearest_clips(checkpoint, normalize(windows, dim=-1))
    if checkpoint.bank and novelty["nearest"]:
        limit = novelty_threshold(checkpoint.bank)
        novelty["novelty_threshold"] = asdict(limit)
        scores["nearest_training"] = novelty["nearest"][0]["similarity"]
        rank -= NOVELTY_WEIGHT * max(0.0, scores["nearest_training"] - limit.similarity)
    for name, weight in (("tempo_agreement", TEMPO_WEIGHT), ("key_agreement", KEY_WEIGHT)):
        if name in measured:
            scores[name] = measured[name]
            rank += weight * measured[name]
    return scores | {"rank": rank}, novelty


def nearest_clips(checkpoint: Checkpoint, windows: Tensor) -> list[dict[str, Any]]:
    """The training clips nearest to any window of a sound (W, D), with what is known of them."""
    if not checkpoint.bank:
        return []
    count = min(ROWS_A_CLIP * NUM_NEIGHBOURS, len(checkpoint.bank))
    matches = checkpoint.bank.nearest(windows.cpu().numpy(), count)
    found = best_of_clips(chain.from_iterable(matches), NUM_NEIGHBOURS)
    known = ("id", "captions", "licence", "source", "attribution")
    return [
        {"similarity": neighbour.similarity} | {name: neighbour.entry.get(name) for name in known}
        for neighbour in found
    ]


def _finite(value: float) -> float | None:
    return value if abs(value) != float("inf") else None
