"""Families of metrics that need more than one embedder's arrays: pairs, prompts, references."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics import health, music_qa, scoring
from musicgen_ldm.metrics.analysis import feature_identity
from musicgen_ldm.metrics.checks import Array
from musicgen_ldm.metrics.clips import Prompt, check_pairs, reference_id
from musicgen_ldm.metrics.embedders import Embedder, TextEmbedder
from musicgen_ldm.metrics.moments import GroupedMoments, load_moments
from musicgen_ldm.metrics.request import (
    NEEDS_REFERENCE,
    NEEDS_SOUND,
    Evaluation,
    EvaluationRequest,
    metric_names,
)
from musicgen_ldm.metrics.results import Results, refused, result
from musicgen_ldm.metrics.scoring import Embedded, guarded

NO_PROMPTS = "no prompts; give --prompts, or generate with records"


def score_embedder(evaluation: Evaluation, embedder: Embedder, request: EvaluationRequest) -> None:
    """All families that rest on one embedder."""
    gen = scoring.embedded(evaluation.gen, embedder)
    ref = scoring.embedded(evaluation.ref, embedder) if evaluation.ref else None
    evaluation.embedded[embedder.name] = (gen, ref)
    silent = silent_reason(evaluation)
    suffix = f".{embedder.name}.{request.preset.name}"
    families: dict[str, Callable[[], Results]] = {
        "fad": lambda: _frechet(evaluation, embedder, gen, ref, request),
        "kad": lambda: scoring.score_kernel(gen, _needed(ref), request.preset, request.seed),
        "prdc": lambda: scoring.score_manifold(gen, _needed(ref)),
        "vendi": lambda: scoring.score_diversity(gen, request.seed),
    }
    if gen.segment_logits is not None:
        families["is"] = lambda: scoring.score_inception(gen, request.preset)
        families["kl"] = lambda: _divergence(evaluation, embedder, gen, _needed(ref), request)
    if isinstance(embedder, TextEmbedder) and evaluation.prompts:
        families["clap"] = lambda: _text(evaluation, embedder, gen, ref, request)
    for family, compute in families.items():
        if family not in request.metrics:
            continue
        if family in NEEDS_REFERENCE and request.ref is None:
            continue
        if silent and family in NEEDS_SOUND:
            found = {name: refused(silent) for name in metric_names(family, request.preset)}
        else:
            found = guarded(metric_names(family, request.preset), compute)
        evaluation.add(found, suffix)


def silent_reason(evaluation: Evaluation) -> str | None:
    """Why distances are refused, or None."""
    for name, clips in (("generated", evaluation.gen), ("reference", evaluation.ref)):
        if not clips:
            continue
        share = health.fault_share([clip.health for clip in clips], "silent").value
        if share > health.MAX_SILENT_SHARE:
            return (
                f"{share:.0%} of the {name} clips are silent, more than "
                f"{health.MAX_SILENT_SHARE:.0%}: distances look good on silence and mean nothing"
            )
    return None


def _needed(ref: Embedded | None) -> Embedded:
    if ref is None:
        raise MetricError("needs reference audio; statistics serve the Fréchet distance only")
    return ref


def _frechet(
    evaluation: Evaluation,
    embedder: Embedder,
    gen: Embedded,
    ref: Embedded | None,
    request: EvaluationRequest,
) -> Results:
    if ref is None:
        assert request.ref is not None
        stats = load_moments(request.ref, embedder.name, feature_identity(embedder, request.preset))
    else:
        stats = GroupedMoments.of(ref.frames, ref.clips, seed=request.seed)
    found, influence = scoring.score_frechet(gen, stats, request.preset, request.seed)
    evaluation.column(f"fad_influence.{embedder.name}", gen.ids, influence)
    return found


def _reference_rows(
    prompts: Mapping[str, Prompt], gen: Embedded, ref: Embedded, request: EvaluationRequest
) -> list[tuple[int, int]]:
    """(row in gen, row in ref) of clips whose prompt has a reference clip."""
    row_of = _rows_of_prompts(prompts, gen, ref)
    check_pairs("reference clip", gen.prompt_ids, set(row_of), allow_missing=request.allow_missing)
    return [(row, row_of[i]) for row, i in enumerate(gen.prompt_ids) if i in row_of]


def _rows_of_prompts(prompts: Mapping[str, Prompt], gen: Embedded, ref: Embedded) -> dict[str, int]:
    """Row of the reference clip of each prompt id that has one."""
    row_of = {name: row for row, name in enumerate(ref.ids)}
    found = {i: reference_id(i, prompts, row_of) for i in gen.prompt_ids}
    return {i: row_of[name] for i, name in found.items() if name is not None}


def _divergence(
    evaluation: Evaluation,
    embedder: Embedder,
    gen: Embedded,
    ref: Embedded,
    request: EvaluationRequest,
) -> Results:
    pairs = _reference_rows(evaluation.prompts, gen, ref, request)
    if not pairs:
        raise MetricError("no generated clip shares an id with a reference clip; KL is paired")
    found, by_pair = scoring.score_divergence(gen, ref, pairs, request.preset)
    ids = [gen.ids[row] for row, _ in pairs]
    for name, values in by_pair.items():
        evaluation.column(f"{name}.{embedder.name}", ids, values)
    return found


def _text(
    evaluation: Evaluation,
    embedder: TextEmbedder,
    gen: Embedded,
    ref: Embedded | None,
    request: EvaluationRequest,
) -> Results:
    prompts = evaluation.prompts
    rows, text = prompt_vectors(prompts, gen, embedder)
    real = None
    if ref is not None:
        row_of = _rows_of_prompts(prompts, gen, ref)
        if all(gen.prompt_ids[row] in row_of for row in rows):
            real = ref.vectors[[row_of[gen.prompt_ids[row]] for row in rows]]
    found, by_clip = scoring.score_text(gen, rows, text, real)
    for name, values in by_clip.items():
        evaluation.column(f"{name}.{embedder.name}", [gen.ids[row] for row in rows], values)
    return found | guarded(
        ["music_qa"], lambda: _music_qa(evaluation, embedder, gen, rows, request)
    )


def prompt_vectors(
    prompts: Mapping[str, Prompt], gen: Embedded, embedder: TextEmbedder
) -> tuple[list[int], Array]:
    """Rows of the clips that have a prompt, and its embedding for each, (len(rows), D).

    Raises:
        MetricError: If no clip has one.
    """
    rows = [row for row, name in enumerate(gen.prompt_ids) if name in prompts]
    if not rows:
        raise MetricError("no generated clip shares an id with a prompt; text scores are paired")
    sentences = sorted({prompts[gen.prompt_ids[row]].text for row in rows})
    vector = dict(zip(sentences, embedder.text(sentences).astype(np.float64), strict=True))
    return rows, np.stack([vector[prompts[gen.prompt_ids[row]].text] for row in rows])


def _music_qa(
    evaluation: Evaluation,
    embedder: TextEmbedder,
    gen: Embedded,
    rows: Sequence[int],
    request: EvaluationRequest,
) -> Results:
    prompts = [evaluation.prompts[gen.prompt_ids[row]] for row in rows]
    asked = music_qa.questions(prompts, np.random.default_rng(request.seed))
    sentences = sorted({option for question in asked for option in question.options})
    text = dict(zip(sentences, embedder.text(sentences), strict=True)) if sentences else {}
    ids = [gen.prompt_ids[row] for row in rows]
    scores = music_qa.evaluate(asked, gen.vectors[list(rows)], text, ids)
    found = {}
    for name, estimate in scores.items():
        own = [q.clip for q in asked if name in ("music_qa", f"music_qa_{q.attribute}")]
        found[name] = result(estimate, n_gen=len(set(own)), n_ref=len(own))
    return found


def explain_missing(
    evaluation: Evaluation, embedders: Sequence[Embedder], request: EvaluationRequest
) -> None:
    """Say why families that were asked for are not there."""
    has_logits = any(gen.segment_logits is not None for gen, _ in evaluation.embedded.values())
    has_text = any(isinstance(embedder, TextEmbedder) for embedder in embedders)
    no_classifier = "no embedder with class logits; add ast, panns, passt or tagger"
    no_text = "no CLAP among the embedders; add clap-NAME"
    reasons = {
        "is": None if has_logits else no_classifier,
        "kl": None if has_logits else no_classifier,
        "clap": no_text if not has_text else None if evaluation.prompts else NO_PROMPTS,
    }
    for family, reason in reasons.items():
        if family in request.metrics and reason:
            found = {name: refused(reason) for name in metric_names(family, request.preset)}
            evaluation.add(found, f".{request.preset.name}")
    for family in NEEDS_REFERENCE:
        if family in request.metrics and request.ref is None:
            found = {
                name: refused("no reference; give --ref")
                for name in metric_names(family, request.preset)
            }
            evaluation.add(found, f".{request.preset.name}")
