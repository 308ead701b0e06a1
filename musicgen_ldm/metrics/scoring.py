"""Metrics of one embedder on analysed clips: arrays in, named results out.

The names here lack embedder and preset; `evaluation` appends both, as in `fad.clap-music.v1`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics import divergence, diversity, frechet, kernel, manifold, text_audio
from musicgen_ldm.metrics.analysis import Analysis
from musicgen_ldm.metrics.checks import Array, IntArray
from musicgen_ldm.metrics.clips import PairingError
from musicgen_ldm.metrics.embedders import Embedder, clip_vector
from musicgen_ldm.metrics.moments import GroupedMoments
from musicgen_ldm.metrics.presets import Preset
from musicgen_ldm.metrics.results import Result, Results, refused, result
from musicgen_ldm.metrics.statistics import jackknife, mean_estimate

LOW_RANK_SHARE = 0.1  # of D
RECALL_DEPTHS = (1, 10)
CLIPS_A_DIMENSION = 2  # fewest for covariances and class marginals, which have a rank to fill
MIN_CLIPS = 100  # for kernels and neighbourhoods of five
MIN_PAIRS = 20  # for means of pairs; fewer have no 95 % quantile either


@dataclass(frozen=True)
class Embedded:
    """One set of clips as one embedder hears it.

    Attributes:
        ids: File ids, (n,).
        prompt_ids: Ids without take numbers, (n,).
        frames: (F, D).
        clips: (F,) index into `ids`.
        vectors: (n, D) mean of a clip's frames.
        segment_logits: (W, C) of each window, or None.
        segments: (W,) index into `ids`.
    """

    ids: list[str]
    prompt_ids: list[str]
    frames: Array
    clips: IntArray
    vectors: Array
    segment_logits: Array | None
    segments: IntArray

    @property
    def prompts(self) -> IntArray:
        """(F,) prompt of each frame, numbered as they first occur; takes of one are one group."""
        numbers = {name: number for number, name in enumerate(dict.fromkeys(self.prompt_ids))}
        return np.array([numbers[name] for name in self.prompt_ids])[self.clips]

    @property
    def logits(self) -> Array | None:
        """Mean logits of each clip, (n, C)."""
        if self.segment_logits is None:
            return None
        return text_audio.mean_window(self.segment_logits, self.segments)


def embedded(clips: Sequence[Analysis], embedder: Embedder) -> Embedded:
    """Collect what `embedder` made of `clips`."""
    features = [clip.features[embedder.name] for clip in clips]
    frames = [f.frames.reshape(-1, f.frames.shape[-1]).astype(np.float64) for f in features]
    logits = [f.logits for f in features if f.logits is not None]
    return Embedded(
        ids=[clip.file.id for clip in clips],
        prompt_ids=[clip.file.prompt_id for clip in clips],
        frames=np.concatenate(frames),
        clips=np.repeat(np.arange(len(frames)), [len(f) for f in frames]),
        vectors=np.stack([clip_vector(f) for f in features]),
        segment_logits=np.concatenate(logits).astype(np.float64) if logits else None,
        segments=np.repeat(np.arange(len(features)), [len(f.frames) for f in features]),
    )


def guarded(names: Sequence[str], compute: Callable[[], Results]) -> Results:
    """The results of `compute`, or nulls with the reason of its `MetricError`.

    Raises:
        PairingError: If some clips lack a partner; that is no property of one metric.
    """
    try:
        return compute()
    except PairingError:
        raise
    except MetricError as error:
        return {name: refused(str(error)) for name in names}


def size_warnings(num_gen: int, num_ref: int, needed: int) -> tuple[str, ...]:
    """Codes for sets of fewer independent clips than `needed`; no reference is not a small one."""
    found = {"FEW_CLIPS": num_gen < needed, "REFERENCE_SMALL": 0 < num_ref < needed}
    return tuple(code for code, present in found.items() if present)


def pair_warnings(num_pairs: int) -> tuple[str, ...]:
    """The code for too few pairs."""
    return ("FEW_PAIRS",) if num_pairs < MIN_PAIRS else ()


def score_frechet(
    gen: Embedded, ref: GroupedMoments, preset: Preset, seed: int
) -> tuple[Results, Array]:
    """`fad` and `fad_inf`, and the influence of each generated clip (n,)."""
    if gen.frames.shape[1] != len(ref.total.mean):
        raise MetricError(
            f"reference statistics have D={len(ref.total.mean)}, the embedder "
            f"{gen.frames.shape[1]}; use statistics of the same embedder"
        )
    stats = GroupedMoments.of(gen.frames, gen.prompts, seed=seed)
    plain = frechet.distance(stats, ref)
    gen_side, ref_side = frechet.left_out_distances(stats, ref)
    sides = [side for side in (gen_side, ref_side) if len(side)]
    estimate = jackknife(plain, *sides, correct=preset.corrected)
    dim, rank = gen.frames.shape[1], stats.total.effective_rank
    codes = list(size_warnings(stats.num_clips, ref.num_clips, CLIPS_A_DIMENSION * dim))
    codes += ["LOW_RANK"] if rank < LOW_RANK_SHARE * dim else []
    codes += ["REFERENCE_EXACT"] if len(ref.groups) == 1 else []
    details = {
        "plain": plain,
        "corrected": jackknife(plain, *sides).value,
        "frames_gen": stats.total.count,
        "frames_ref": ref.total.count if ref.num_clips else None,
        "effective_rank_gen": rank,
        "effective_rank_ref": ref.total.effective_rank,
        "jackknife": {"gen": gen_side.tolist(), "ref": ref_side.tolist()},
    }
    sizes = {"n_gen": len(gen.ids), "n_ref": ref.num_clips, "warnings": tuple(codes)}
    found = {"fad": result(estimate, **sizes, details=details)}
    found |= guarded(["fad_inf"], lambda: _infinity(gen, ref, sides, preset, seed, sizes))
    return found, frechet.influence(gen.frames, ref, gen.clips)


def _infinity(
    gen: Embedded,
    ref: GroupedMoments,
    sides: Sequence[Array],
    preset: Preset,
    seed: int,
    sizes: dict[str, Any],
) -> Results:
    line = frechet.frechet_infinity(
        gen.frames, gen.prompts, ref, np.random.default_rng(seed),
        replacement=preset.frame_replacement,
    )  # fmt: skip
    details = {
        "r_squared": line.r_squared,
        "slope": line.slope,
        "inverse_sizes": list(line.inverse_sizes),
        "distances": list(line.distances),
    }
    estimate = frechet.infinity_estimate(line, *sides)
    return {"fad_inf": result(estimate, **sizes, details=details)}


def _sizes(gen: Embedded, ref: Embedded) -> dict[str, Any]:
    """Counts of both sets, and what to warn of in a number that needs `MIN_CLIPS`."""
    num_prompts = len(set(gen.prompt_ids))
    warnings = size_warnings(num_prompts, len(ref.ids), MIN_CLIPS)
    return {"n_gen": len(gen.ids), "n_ref": len(ref.ids), "warnings": warnings}


def score_kernel(gen: Embedded, ref: Embedded, preset: Preset, seed: int) -> Results:
    """`kad` and `kid`."""
    source = ref if preset.bandwidth_of == "ref" else gen
    bandwidth = kernel.median_bandwidth(source.frames, np.random.default_rng(seed))
    clips = {"gen_clips": gen.prompts, "ref_clips": ref.clips}
    sizes = _sizes(gen, ref)
    return {
        "kad": result(
            kernel.kad(gen.frames, ref.frames, bandwidth, **clips),
            **sizes,
            details={"bandwidth": bandwidth},
        ),
        "kid": result(kernel.kid(gen.frames, ref.frames, **clips), **sizes),
    }


def score_manifold(gen: Embedded, ref: Embedded) -> Results:
    """`precision`, `recall`, `density`, `coverage`."""
    sizes = _sizes(gen, ref)
    scores = manifold.evaluate(gen.vectors, ref.vectors, prompts=gen.prompt_ids)
    return {name: result(estimate, **sizes) for name, estimate in scores.items()}


def score_diversity(gen: Embedded, seed: int) -> Results:
    """`vendi`, `vendi_2`, `vendi_takes`."""
    scores = diversity.evaluate(gen.vectors, seed=seed, prompts=gen.prompt_ids)
    found = {name: result(estimate, n_gen=len(gen.ids)) for name, estimate in scores.items()}
    if len(set(gen.prompt_ids)) == len(gen.prompt_ids):
        return found | {"vendi_takes": refused("one take a prompt; generate with --takes")}
    takes = diversity.per_prompt(gen.vectors, gen.prompt_ids)
    return found | {"vendi_takes": result(takes, n_gen=len(gen.ids))}


def score_inception(gen: Embedded, preset: Preset) -> Results:
    """`is`."""
    logits = gen.logits
    if logits is None:
        raise MetricError("this embedder has no class logits; add ast, panns, passt or tagger")
    needed = CLIPS_A_DIMENSION * logits.shape[1]
    size = {"n_gen": len(logits), "warnings": size_warnings(len(set(gen.prompt_ids)), 0, needed)}
    if preset.is_splits == 1:
        return {"is": result(divergence.inception_score(logits, gen.prompt_ids), **size)}
    mean, spread = divergence.split_inception_score(logits, splits=preset.is_splits)
    details = {"splits": preset.is_splits, "split_std": spread}
    return {"is": result(mean, **size, details=details)}


def score_divergence(
    gen: Embedded, ref: Embedded, pairs: Sequence[tuple[int, int]], preset: Preset
) -> tuple[Results, dict[str, Array]]:
    """KL of paired clips, and its value for each pair.

    Args:
        gen: Generated.
        ref: Reference.
        pairs: (index in gen, index in ref).
        preset: Directions and form.
    """
    if gen.segment_logits is None or ref.segment_logits is None:
        raise MetricError("this embedder has no class logits; add ast, panns, passt or tagger")
    pair_logits = _segment_pairs if preset.kl_segments else _clip_pairs
    gen_logits, ref_logits, pair_of = pair_logits(gen, ref, pairs)
    values: dict[str, Array] = {}
    for direction in preset.kl_directions:
        p, q = (ref_logits, gen_logits) if direction == "ref_gen" else (gen_logits, ref_logits)
        for form in preset.kl_forms:
            values[f"{form}_{direction}"] = _kl(form, p, q, preset.kl_epsilon)
    by_pair = {name: np.bincount(pair_of, v) / np.bincount(pair_of) for name, v in values.items()}
    prompts = [gen.prompt_ids[row] for row, _ in pairs]
    sizes = {"n_gen": len(pairs), "n_ref": len(pairs), "warnings": pair_warnings(len(set(prompts)))}
    results = {
        # Segments of a clip are correlated: the value is over segments, the error over prompts.
        name: _weighted(values[name], by_pair[name], prompts, sizes)
        for name in values
    }
    return results, by_pair


def _kl(form: str, p: Array, q: Array, epsilon: float) -> Array:
    """KL(p ‖ q) of rows of logits (n, C), in one of the forms of a preset."""
    if form == "bernoulli":
        return divergence.bernoulli_kl(p, q)
    if form == "kl_sigmoid":
        return divergence.epsilon_kl(expit(p), expit(q), epsilon)
    if epsilon:
        return divergence.epsilon_kl(softmax(p, axis=1), softmax(q, axis=1), epsilon)
    return divergence.softmax_kl(p, q)


def _weighted(
    values: Array, by_pair: Array, prompts: Sequence[str], sizes: dict[str, Any]
) -> Result:
    estimate = mean_estimate(by_pair, prompts)
    shift = float(values.mean()) - estimate.value
    low, high = estimate.ci95
    moved = type(estimate)(float(values.mean()), estimate.se, (low + shift, high + shift))
    return result(moved, **sizes)


def _clip_pairs(
    gen: Embedded, ref: Embedded, pairs: Sequence[tuple[int, int]]
) -> tuple[Array, Array, IntArray]:
    gen_logits, ref_logits = gen.logits, ref.logits
    assert gen_logits is not None
    assert ref_logits is not None
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    return gen_logits[first], ref_logits[second], np.arange(len(pairs))


def _segment_pairs(
    gen: Embedded, ref: Embedded, pairs: Sequence[tuple[int, int]]
) -> tuple[Array, Array, IntArray]:
    """Window i of a clip against window i of its reference, as far as both last."""
    assert gen.segment_logits is not None
    assert ref.segment_logits is not None
    first, second, pair_of = [], [], []
    for number, (g, r) in enumerate(pairs):
        both = zip(gen.segment_logits[gen.segments == g], ref.segment_logits[ref.segments == r],
                   strict=False)  # fmt: skip
        for gen_row, ref_row in both:
            first.append(gen_row)
            second.append(ref_row)
            pair_of.append(number)
    return np.array(first), np.array(second), np.array(pair_of)


def score_text(
    gen: Embedded, rows: Sequence[int], text: Array, real: Array | None
) -> tuple[Results, dict[str, Array]]:
    """`clap` with its floor, `clap_ceiling`, `r1`, `r10`, `median_rank`; and three of them by clip.

    Args:
        gen: Generated.
        rows: Indices of the clips that have a prompt.
        text: (len(rows), D) their prompts.
        real: (len(rows), D) their reference clips, or None.
    """
    audio, n = gen.vectors[list(rows)], len(rows)
    cosines = text_audio.pair_cosines(text, audio)
    ranks = text_audio.ranks(text, audio)
    prompts = [gen.prompt_ids[row] for row in rows]
    clap = mean_estimate(cosines, prompts)
    num_prompts = len(np.unique(text, axis=0))
    floor = text_audio.shuffled_floor(text, audio) if num_prompts > 1 else None
    beaten = floor is not None and clap.ci95[0] > floor
    found = {
        "clap": result(
            clap,
            n_gen=n,
            n_ref=n,
            warnings=() if beaten else ("FLOOR_NOT_BEATEN",),
            details={"shuffled_floor": floor},
        ),
        **{f"r{k}": _recall(ranks, k, prompts, num_prompts) for k in RECALL_DEPTHS},
        "median_rank": Result(value=float(np.median(ranks)), n_gen=n, n_ref=num_prompts),
        "clap_ceiling": refused("no reference clip of every id; give --ref with the same ids"),
    }
    if real is not None:
        found["clap_ceiling"] = result(
            text_audio.clap_score(text, real, prompts), n_ref=len(set(prompts))
        )
    recalled = {f"r{k}": (ranks <= k).astype(float) for k in RECALL_DEPTHS}
    return found, {"clap": cosines, **recalled}


def _recall(ranks: IntArray, k: int, prompts: Sequence[str], num_prompts: int) -> Result:
    if num_prompts <= k:
        return refused(f"R@{k} of {num_prompts} prompt(s) is 1 whatever is heard; add prompts")
    return result(text_audio.recall_at(ranks, k, prompts), n_gen=len(ranks), n_ref=num_prompts)
