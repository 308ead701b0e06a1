"""The `evaluate` verb as a function: two folders and prompts in, a folder of results out."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics import banking, families, health, judging
from musicgen_ldm.metrics.analysis import Analysis, Unread, analyse, file_hash, refuse_unread
from musicgen_ldm.metrics.cache import Cache
from musicgen_ldm.metrics.clips import (
    AudioFile,
    check_prompts,
    list_audio,
    open_source,
    read_prompts,
    recorded_prompts,
    reference_id,
)
from musicgen_ldm.metrics.embedders import Embedder
from musicgen_ldm.metrics.embedders.base import identify
from musicgen_ldm.metrics.embedders.clap import Clap
from musicgen_ldm.metrics.request import Evaluation, EvaluationRequest
from musicgen_ldm.metrics.results import (
    CLIPS_FILE,
    refuse_overwriting,
    refused,
    result,
    write_results,
    write_table,
)
from musicgen_ldm.parallel import Workers
from musicgen_ldm.provenance.record import environment

NEEDS_PROMPTS = ("clap", "obedience")
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
    ref_files = _reference_files(request)
    trained = _trained_files(request, embedders)
    prompts = read_prompts(request.prompts) if request.prompts else recorded_prompts(gen_files)
    if set(NEEDS_PROMPTS) & set(request.metrics):
        check_prompts(gen_files, prompts, request.prompts, allow_missing=request.allow_missing)
    asking = judging.music_prompts(prompts) if "obedience" in request.metrics else []
    # The floor needs every generated clip, the ceiling only the partners of asking prompts.
    music_ids = {file.id for file in gen_files} if asking else set()
    gen, unread = _analysed(gen_files, embedders, request, cache, workers, music_ids)
    known = {file.id for file in ref_files}
    partners = [reference_id(name, prompts, known) for name in asking]
    music_ids = {partner for partner in partners if partner is not None}
    ref, unread_ref = _analysed(ref_files, embedders, request, cache, workers, music_ids)
    rows = [_signal_row(clip) for clip in gen]
    evaluation = Evaluation({}, rows, gen, ref, prompts)
    evaluation.summary = _summary(request, evaluation, embedders, [*unread, *unread_ref], trained)
    for embedder in embedders:
        families.score_embedder(evaluation, embedder, request)
    families.explain_missing(evaluation, embedders, request)
    if "obedience" in request.metrics:
        evaluation.add(judging.score_obedience(evaluation, embedders), f".{request.preset.name}")
    if "health" in request.metrics:
        ids = [clip.file.prompt_id for clip in gen]
        scores = health.evaluate([clip.health for clip in gen], ids)
        found = {
            name: refused("all clips are silent") if e is None else result(e, n_gen=len(gen))
            for name, e in scores.items()
        }
        evaluation.add(found, f".{request.preset.name}")
        for name, fault in health.SHARES.items():
            has_fault = np.array([fault in clip.health.faults for clip in gen], dtype=float)
            evaluation.column(name, [clip.file.id for clip in gen], has_fault)
    return evaluation


def write(evaluation: Evaluation, folder: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Write `results.json` and `per_clip.csv`; returns the content of the first.

    Raises:
        OutputError: If the folder holds results and `overwrite` is off.
    """
    refuse_overwriting(folder, allowed=overwrite)
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
    music_ids: Collection[str],
) -> tuple[list[Analysis], list[Unread]]:
    clips, unread = analyse(files, embedders, request.preset, cache, workers, music_ids=music_ids)
    refuse_unread(clips, unread, allowed=request.allow_unread)
    return clips, unread


def _reference_files(request: EvaluationRequest) -> list[AudioFile]:
    """The reference's audio; none where there is no reference or it is statistics."""
    ref, split = request.ref, request.ref_split
    source = None if ref is None or ref.suffix == ".npz" else open_source(ref, split)
    if split and not (source and source.records):
        raise MetricError(
            f"{ref or 'no reference'}: has no split {split}; give --ref a manifest, or leave out "
            "--ref-split"
        )
    if source:
        return source.files
    if ref and not ref.is_file():
        raise MetricError(f"{ref}: no such statistics file; give an .npz or a folder of audio")
    return []


def _trained_files(
    request: EvaluationRequest, embedders: Sequence[Embedder]
) -> frozenset[str] | None:
    """Hashes of the training files, None where they are not known."""
    banks = (e.trained_on for e in embedders if isinstance(e, Clap))
    train = request.train or next(filter(None, banks), None)
    return None if train is None else frozenset(banking.trained_files(train))


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
    request: EvaluationRequest,
    evaluation: Evaluation,
    embedders: Sequence[Embedder],
    unread: Sequence[Unread],
    trained: frozenset[str] | None,
) -> dict[str, Any]:
    gen, ref = evaluation.gen, evaluation.ref
    gen_hashes, ref_hashes = [c.sha256 for c in gen], {c.sha256 for c in ref}
    gen_files, ref_files = ({clip.file_sha256 for clip in clips} for clips in (gen, ref))
    seconds = [c.seconds for c in gen]
    unheard = set(evaluation.prompts) - {c.file.prompt_id for c in gen}
    present = {
        "UNREAD_FILES": bool(unread),
        "UNHEARD_PROMPTS": bool(unheard),
        "SILENT_CLIPS": any("silent" in c.health.faults for c in gen),
        "CLIPPED_CLIPS": any("clipped" in c.health.faults for c in gen),
        "DUPLICATE_CLIPS": len(set(gen_hashes)) < len(gen_hashes),
        "REFERENCE_OVERLAP": bool(ref_files & gen_files),
        "TRAINING_OVERLAP": trained is not None and bool(trained & gen_files),
        "REFERENCE_TRAINED": trained is not None and bool(trained & ref_files),
        "TRAINING_UNKNOWN": trained is None,
        "MIXED_DURATIONS": max(seconds) > (1 + DURATION_SPREAD) * min(seconds),
    }
    return {
        "n_gen": len(gen),
        "n_ref": len(ref),
        "n_prompts": len(evaluation.prompts),
        "gen_sha256": identify(sorted(gen_hashes)),
        "ref_sha256": _reference_hash(request.ref, ref_hashes),
        "train_sha256": None if trained is None else identify(sorted(trained)),
        "n_train_files": None if trained is None else len(trained),
        "unread": [entry.file.id for entry in unread] or None,
        "preset": request.preset.name,
        "seed": request.seed,
        "embedders": {e.name: {"identity": e.identity, "dim": e.dim} for e in embedders},
        "warnings": [code for code, is_present in present.items() if is_present],
    }


def _reference_hash(ref: Path | None, hashes: set[str]) -> str | None:
    """Hash of the reference's audio, or of its statistics file."""
    if ref is None:
        return None
    return identify(sorted(hashes)) if hashes else file_hash(ref)[:16]
