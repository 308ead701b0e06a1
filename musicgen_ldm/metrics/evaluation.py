"""The `evaluate` verb as a function: two folders and prompts in, a folder of results out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from musicgen_ldm.errors import MetricError, OutputError
from musicgen_ldm.metrics import families, health, judging
from musicgen_ldm.metrics.analysis import Analysis, Unread, analyse
from musicgen_ldm.metrics.cache import Cache
from musicgen_ldm.metrics.clips import (
    AudioFile,
    list_audio,
    read_prompts,
    recorded_prompts,
    reference_id,
)
from musicgen_ldm.metrics.embedders import Embedder
from musicgen_ldm.metrics.embedders.base import identify
from musicgen_ldm.metrics.request import Evaluation, EvaluationRequest
from musicgen_ldm.metrics.results import (
    CLIPS_FILE,
    RESULTS_FILE,
    refused,
    result,
    write_results,
    write_table,
)
from musicgen_ldm.parallel import Workers
from musicgen_ldm.provenance.record import environment

DURATION_SPREAD = 0.1  # relative; more is worth a warning


def evaluate(
    request: EvaluationRequest, embedders: Sequence[Embedder], cache: Cache, workers: Workers
) -> Evaluation:
    """Evaluate a folder.

    Args:
        request: What to evaluate.
        embedders: At least one.
        cache: Where features go and come from.
        workers: Of this launch.

    Raises:
        MetricError: If a folder, file, prompt or pair is missing and that is not allowed.
    """
    gen_files = list_audio(request.gen)
    is_stats = request.ref is not None and request.ref.suffix == ".npz"
    ref_files = [] if request.ref is None or is_stats else list_audio(request.ref)
    prompts = read_prompts(request.prompts) if request.prompts else recorded_prompts(gen_files)
    asks = "obedience" in request.metrics and judging.asks_for_music(prompts)
    gen = _analysed(gen_files, embedders, request, cache, workers, measure_music=asks)
    known = {file.id for file in ref_files}
    has_ceiling = any(reference_id(name, prompts, known) for name in prompts)
    ref = _analysed(
        ref_files, embedders, request, cache, workers, measure_music=asks and has_ceiling
    )
    rows = [_signal_row(clip) for clip in gen]
    evaluation = Evaluation({}, rows, gen, ref, prompts)
    evaluation.summary = _summary(request, evaluation, embedders)
    for embedder in embedders:
        families.score_embedder(evaluation, embedder, request)
    families.explain_missing(evaluation, embedders, request)
    if "obedience" in request.metrics:
        evaluation.add(judging.score_obedience(evaluation, embedders), f".{request.preset.name}")
    if "health" in request.metrics:
        scores = health.evaluate([clip.health for clip in gen])
        found = {
            name: refused("all clips are silent") if e is None else result(e, n_gen=len(gen))
            for name, e in scores.items()
        }
        evaluation.add(found, f".{request.preset.name}")
    return evaluation


def write(evaluation: Evaluation, folder: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Write `results.json` and `per_clip.csv`; returns the content of the first.

    Raises:
        OutputError: If the folder holds results and `overwrite` is off.
    """
    if (folder / RESULTS_FILE).exists() and not overwrite:
        raise OutputError(f"{folder}: holds results; choose another --out or pass --overwrite")
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / CLIPS_FILE, evaluation.rows)
    return write_results(
        folder, evaluation.metrics, environment(), kind="evaluation", summary=evaluation.summary
    )


def _analysed(
    files: Sequence[AudioFile],
    embedders: Sequence[Embedder],
    request: EvaluationRequest,
    cache: Cache,
    workers: Workers,
    *,
    measure_music: bool,
) -> list[Analysis]:
    clips, unread = analyse(
        files, embedders, request.preset, cache, workers, measure_music=measure_music
    )
    refuse_unread(unread, allowed=request.allow_unread)
    if files and not clips:
        raise MetricError(f"none of {len(files)} files could be read ({unread[0].reason})")
    return clips


def refuse_unread(unread: Sequence[Unread], *, allowed: bool) -> None:
    """Refuse to go on without a file that was meant to count.

    Raises:
        MetricError: If there is one and that is not allowed.
    """
    if unread and not allowed:
        raise MetricError(
            f"{len(unread)} file(s) could not be read: {unread[0].reason}; "
            "repair them or pass --allow-unread"
        )


def _signal_row(clip: Analysis) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": clip.file.id,
        "sha256": clip.sha256,
        "seconds": round(clip.seconds, 4),
        "sample_rate": clip.sample_rate,
        "loudness_lufs": clip.health.loudness_lufs,
        "peak": clip.health.peak,
        "faults": " ".join(clip.health.faults),
    }
    if clip.tempo is not None:
        row |= {"bpm": clip.tempo.bpm, "key": str(clip.key) if clip.key else None}
    return row


def _summary(
    request: EvaluationRequest, evaluation: Evaluation, embedders: Sequence[Embedder]
) -> dict[str, Any]:
    gen, ref = evaluation.gen, evaluation.ref
    gen_hashes, ref_hashes = [c.sha256 for c in gen], {c.sha256 for c in ref}
    seconds = [c.seconds for c in gen]
    present = {
        "SILENT_CLIPS": any("silent" in c.health.faults for c in gen),
        "CLIPPED_CLIPS": any("clipped" in c.health.faults for c in gen),
        "DUPLICATE_CLIPS": len(set(gen_hashes)) < len(gen_hashes),
        "REFERENCE_OVERLAP": bool(ref_hashes & set(gen_hashes)),
        "MIXED_DURATIONS": max(seconds) > (1 + DURATION_SPREAD) * min(seconds),
    }
    return {
        "n_gen": len(gen),
        "n_ref": len(ref),
        "n_prompts": len(evaluation.prompts),
        "gen_sha256": identify(sorted(gen_hashes)),
        "ref_sha256": identify(sorted(ref_hashes)) if ref else None,
        "preset": request.preset.name,
        "seed": request.seed,
        "embedders": {e.name: {"identity": e.identity, "dim": e.dim} for e in embedders},
        "warnings": [code for code, is_present in present.items() if is_present],
    }
