"""Obedience of an evaluated folder: the judges' verdicts between their floor and their ceiling."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.special import softmax

from musicgen_ldm.data.merged_genres import merged_genre
from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics import obedience
from musicgen_ldm.metrics.analysis import Analysis
from musicgen_ldm.metrics.checks import Array
from musicgen_ldm.metrics.clips import Prompt, reference_id
from musicgen_ldm.metrics.embedders import AttributeEmbedder, Embedder
from musicgen_ldm.metrics.obedience import ATTRIBUTES, CEILING, NO_PULSE, PREFIX, Heard
from musicgen_ldm.metrics.request import Evaluation
from musicgen_ldm.metrics.results import Results, refused, result
from musicgen_ldm.metrics.scoring import guarded

MEASURED = ("tempo_word", "tempo_exact", "tempo_octave", "key_exact", "key_weighted")  # untrained


@dataclass(frozen=True)
class Judged:
    """One set of clips.

    Attributes:
        clips: File ids.
        ids: Of the prompts.
        prompts: What of them the judges have words for.
        heard: What they hear.
    """

    clips: list[str]
    ids: list[str]
    prompts: list[Prompt]
    heard: list[Heard]


def music_prompts(prompts: Mapping[str, Prompt]) -> list[str]:
    """Ids of the prompts that ask for what is measured without a model: tempo or key."""
    return [name for name, p in prompts.items() if p.bpm or p.key or p.tempo_word]


def score_obedience(evaluation: Evaluation, embedders: Sequence[Embedder]) -> Results:
    """Every attribute with its shuffled floor, and its ceiling where real clips are there.

    Adds a column of scores for each to the table of clips.
    """
    judge = next((e for e in embedders if isinstance(e, AttributeEmbedder)), None)
    prompts = evaluation.prompts
    clips = [clip for clip in evaluation.gen if clip.file.prompt_id in prompts]
    generated = judged([(clip.file.prompt_id, clip) for clip in clips], prompts, judge)
    real = judged(_real_clips(evaluation, generated.ids), prompts, judge)
    found: Results = {}
    for name in ATTRIBUTES:
        both = [PREFIX + name, PREFIX + name + CEILING]
        if judge is None and name not in MEASURED:
            found |= dict.fromkeys(both, refused("needs the tagger; add tagger to --embedder"))
            continue
        found |= guarded(both[:1], partial(_score, evaluation, name, generated))
        found |= guarded(both[1:], partial(_ceiling, name, real))
    return found


def judged(
    clips: Sequence[tuple[str, Analysis]],
    prompts: Mapping[str, Prompt],
    judge: AttributeEmbedder | None,
) -> Judged:
    """Hear clips, each given with the id of its prompt."""
    return Judged(
        clips=[clip.file.id for _, clip in clips],
        ids=[name for name, _ in clips],
        prompts=[_within(prompts[name], judge) for name, _ in clips],
        heard=[listen(clip, judge) for _, clip in clips],
    )


def listen(clip: Analysis, judge: AttributeEmbedder | None) -> Heard:
    """What tempo and key measurement and, if there is one, the tagger hear in a clip."""
    heard = Heard(key=clip.key, tempo=clip.tempo or NO_PULSE)
    if judge is None:
        return heard
    features = clip.features[judge.name]
    assert features.logits is not None
    assert features.tags is not None
    assert features.traits is not None
    present, traits = (rows.mean(axis=0) > 0 for rows in (features.tags, features.traits))
    instruments = zip(judge.instruments, present, strict=True)
    return replace(
        heard,
        instruments=frozenset(name for name, is_there in instruments if is_there),
        genres=ranked_genres(judge.genres, softmax(features.logits.mean(axis=0))),
        traits={name: bool(value) for name, value in zip(judge.traits, traits, strict=True)},
    )


def ranked_genres(names: Sequence[str], likelihood: Array) -> tuple[str, ...]:
    """Merged genres by the sum of their genres' likelihoods (C,), the surest first."""
    totals: dict[str, float] = {}
    for name, value in zip(names, likelihood.tolist(), strict=True):
        totals[merged_genre(name)] = totals.get(merged_genre(name), 0.0) + value
    return tuple(sorted(totals, key=lambda name: -totals[name]))


def _within(prompt: Prompt, judge: AttributeEmbedder | None) -> Prompt:
    """The part of what a prompt asks that the judge has a word for."""
    if judge is None:
        return prompt
    merged = {merged_genre(name) for name in judge.genres}
    return replace(
        prompt,
        lead=prompt.lead if prompt.lead in judge.instruments else None,
        instruments=tuple(name for name in prompt.instruments if name in judge.instruments),
        genre=prompt.genre if prompt.genre and merged_genre(prompt.genre) in merged else None,
        drums=prompt.drums if "drums" in judge.traits else None,
        solo=prompt.solo if "solo" in judge.traits else None,
        electronic=prompt.electronic if "electronic" in judge.traits else None,
    )


def _real_clips(evaluation: Evaluation, ids: Sequence[str]) -> list[tuple[str, Analysis]]:
    """The reference clips that the prompts describe, each prompt once."""
    clips = {clip.file.id: clip for clip in evaluation.ref}
    partners = {name: reference_id(name, evaluation.prompts, clips) for name in ids}
    return [(name, clips[partner]) for name, partner in partners.items() if partner is not None]


def _score(evaluation: Evaluation, name: str, judged: Judged) -> Results:
    attribute = ATTRIBUTES[name]
    estimate = obedience.obeyed(attribute, judged.prompts, judged.heard, judged.ids)
    floor = None
    if len(set(judged.ids)) > 1:
        floor = obedience.shuffled_floor(attribute, judged.prompts, judged.heard, judged.ids)
    scores = obedience.clip_scores(attribute, judged.prompts, judged.heard)
    rows = [i for i, prompt in enumerate(judged.prompts) if attribute.asked(prompt) is not None]
    evaluation.column(PREFIX + name, [judged.clips[row] for row in rows], np.array(scores))
    is_beaten = floor is not None and estimate.ci95[0] > floor
    return {
        PREFIX + name: result(
            estimate,
            n_gen=len(rows),
            n_ref=len({judged.ids[row] for row in rows}),
            warnings=() if is_beaten else ("FLOOR_NOT_BEATEN",),
            details={"shuffled_floor": floor},
        )
    }


def _ceiling(name: str, real: Judged) -> Results:
    if not real.clips:
        raise MetricError("no reference clip of these prompts; give --ref with the same ids")
    attribute = ATTRIBUTES[name]
    estimate = obedience.obeyed(attribute, real.prompts, real.heard, real.ids)
    count = sum(attribute.asked(prompt) is not None for prompt in real.prompts)
    return {PREFIX + name + CEILING: result(estimate, n_ref=count)}
