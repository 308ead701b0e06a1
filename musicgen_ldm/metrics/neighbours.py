"""The `novelty` verb as a function: generated folder and bank in, ratios and neighbours out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_ldm.audio import Waveform, read_audio
from musicgen_ldm.bank import (
    MIN_CALIBRATION,
    ROWS_A_CLIP,
    Bank,
    Neighbour,
    best_of_clips,
    novelty_threshold,
)
from musicgen_ldm.config.novelty import Threshold
from musicgen_ldm.errors import AudioError, MetricError
from musicgen_ldm.metrics import alignment, families, novelty
from musicgen_ldm.metrics.analysis import Analysis
from musicgen_ldm.metrics.banking import window_vectors
from musicgen_ldm.metrics.checks import Array, IntArray
from musicgen_ldm.metrics.clips import Prompt
from musicgen_ldm.metrics.embedders import Embedder, TextEmbedder, window_starts
from musicgen_ldm.metrics.results import Result, Results, refused, result
from musicgen_ldm.metrics.scoring import embedded, pair_warnings, score_text
from musicgen_ldm.metrics.statistics import share_estimate

NUM_NEIGHBOURS = 5  # in the table, of different clips
BASELINE_STRETCHES = 1000  # of the training set, compared with the rest of it
NULL_PAIRS = 40  # unrelated pairs that show what alignment reaches by style alone
SECOND_OPINIONS = 200  # clips, most similar first; more where more exceed a threshold
NULL_QUANTILE = 0.95


@dataclass
class ClipNovelty:
    """The nearest training clips of one generated clip.

    Attributes:
        clip: Generated.
        neighbours: Best window match of each training clip, most similar first.
        starts_s: Where in the generated clip each match begins.
        is_exact_copy: Whether its file is in the training set, byte for byte.
        opinion: Alignments with the nearest neighbour, "mel" and "chroma", where its audio is
            at hand.
    """

    clip: Analysis
    neighbours: list[Neighbour]
    starts_s: list[float]
    is_exact_copy: bool
    opinion: dict[str, alignment.Alignment] = field(default_factory=dict)

    @property
    def nearest(self) -> float:
        """Largest similarity."""
        return self.neighbours[0].similarity

    def to_json(self) -> dict[str, Any]:
        """For `neighbours` of `results.json`."""
        pairs = zip(self.neighbours, self.starts_s, strict=True)
        return {
            "id": self.clip.file.id,
            "nearest": self.nearest,
            "is_exact_copy": self.is_exact_copy,
            "second_opinion": {name: asdict(found) for name, found in self.opinion.items()},
            "neighbours": [
                {"similarity": n.similarity, "gen_start_s": start, **n.entry} for n, start in pairs
            ],
        }


@dataclass
class Novelty:
    """Everything that came out for one embedder.

    Attributes:
        embedder: Its name.
        window_s: Length of a match.
        metrics: Without embedder and preset in the name.
        curves: Survival curves by name, over `novelty.CURVE`.
        clips: By generated clip.
        null_opinion: 95 % quantile of each alignment over unrelated pairs.
        text_fit: Cosine with its prompt by clip id, where a CLAP hears and a prompt is known.
    """

    embedder: str
    window_s: float
    metrics: Results
    curves: dict[str, list[float]]
    clips: list[ClipNovelty]
    null_opinion: dict[str, float] = field(default_factory=dict)
    text_fit: dict[str, float] = field(default_factory=dict)


def check_bank(bank: Bank, embedder: Embedder) -> None:
    """Refuse to compare embeddings of different models.

    Raises:
        MetricError: If the bank was made with other weights or windows, or is empty.
    """
    if (bank.embedder, bank.identity) != (embedder.name, embedder.identity):
        raise MetricError(
            f"{bank.folder}: made with {bank.embedder} ({bank.identity}), asked for "
            f"{embedder.name} ({embedder.identity}); build the bank with this embedder"
        )
    if not len(bank):
        raise MetricError(f"{bank.folder}: the bank is empty; extend it")


def measure_novelty(
    gen: Sequence[Analysis],
    bank: Bank,
    embedder: Embedder,
    *,
    heldout: Sequence[Analysis] | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> Novelty:
    """Nearest neighbours of every generated clip, ratios and baselines.

    A clip's similarity is the largest of its windows'.

    Args:
        gen: Generated clips, analysed with `embedder`.
        bank: Of the training set.
        embedder: That made the bank.
        heldout: Clips of the same kind that were not trained on.
        device: Of the search.
        seed: Of the training rows in the baseline.

    Raises:
        MetricError: If the bank is of another embedder, or a held-out clip is in it.
    """
    check_bank(bank, embedder)
    copies = {entry.get("sha256") for entry in bank.all_entries()}
    if trained := [clip.file.id for clip in heldout or () if clip.file_sha256 in copies]:
        raise MetricError(
            f"{len(trained)} of {len(heldout or ())} held-out clips were trained on "
            f"({trained[0]}, …); leave them out, or name a --heldout-split of the manifest"
        )
    clips = nearest_clips(gen, bank, embedder, copies, device)
    nearest = np.array([clip.nearest for clip in clips])
    num_windows = int(np.median([len(clip.features[embedder.name].frames) for clip in gen]))
    train = _train_train(bank, num_windows, device, np.random.default_rng(seed))
    held = None
    if heldout:
        held = np.array([c.nearest for c in nearest_clips(heldout, bank, embedder, device=device)])
    prompts = [clip.file.prompt_id for clip in gen]
    metrics = _ratios(nearest, train, held, novelty_threshold(bank, device), len(bank), prompts)
    exact = sum(clip.is_exact_copy for clip in clips)
    codes = ("TRAINING_OVERLAP",) if exact else ()
    metrics["exact_copies"] = result(
        float(exact), n_gen=len(clips), n_ref=len(bank), warnings=codes
    )
    curves = {"generated": nearest, "train against train": train, "held-out against train": held}
    return Novelty(
        embedder.name,
        embedder.window_s,
        metrics,
        {k: novelty.survival_curve(v).tolist() for k, v in curves.items() if v is not None},
        clips,
    )


def _ratios(
    nearest: Array,
    train: Array | None,
    held: Array | None,
    calibrated: Threshold,
    num_rows: int,
    prompts: Sequence[str],
) -> Results:
    """Ratios, baselines and excesses by name; what is not there is null with its reason.

    A baseline says nothing of the generated clips, so it rests on none of them.
    """
    thresholds = dict(novelty.THRESHOLDS)
    if calibrated.is_calibrated:
        thresholds[novelty.CALIBRATED] = calibrated.similarity
    scores = novelty.evaluate(
        nearest, train_train=train, heldout_train=held, thresholds=thresholds, prompts=prompts
    )
    reasons = {
        "train_train": "the training set is one recording, so none is left to compare with",
        "heldout_train": "no held-out music; give --heldout",
    }
    uncalibrated = f"needs {MIN_CALIBRATION} training clips with another recording beside them"
    sizes = {"sim_aa": (len(nearest), num_rows)}
    for name, baseline in (("train_train", train), ("heldout_train", held)):
        size = 0 if baseline is None else len(baseline)
        sizes |= {name: (0, size), f"{novelty.EXCESS}{name}": (len(nearest), size)}
    found: Results = {}
    for tag in novelty.TAGS:
        reached = [scores[name].value for b in reasons if (name := f"{b}@{tag}") in scores]
        is_saturated = any(share > novelty.SATURATED_SHARE for share in reached)
        for kind, (n_gen, n_ref) in sizes.items():
            name = f"{kind}@{tag}"
            if name not in scores:
                reason = reasons.get(kind.removeprefix(novelty.EXCESS), "")
                found[name] = refused(reason if tag in thresholds else uncalibrated)
                continue
            found[name] = result(
                scores[name],
                n_gen=n_gen,
                n_ref=n_ref,
                warnings=("BASELINE_SATURATED",) if is_saturated and n_gen else (),
                details={"threshold": thresholds[tag]},
            )
    return found


def nearest_clips(
    clips: Sequence[Analysis],
    bank: Bank,
    embedder: Embedder,
    copies: Collection[Any] = (),
    device: str = "cpu",
) -> list[ClipNovelty]:
    """The nearest training clips of each clip, over all its windows.

    Args:
        clips: Analysed with `embedder`.
        bank: Of the training set.
        embedder: That made the bank.
        copies: Hashes of the training files.
        device: Of the search.

    Raises:
        MetricError: If a clip is silent throughout, so that nothing is near to it.
    """
    vectors, starts_s = zip(*(_heard_windows(clip, embedder) for clip in clips), strict=True)
    k = min(ROWS_A_CLIP * NUM_NEIGHBOURS, len(bank))
    matches = bank.nearest(np.concatenate(vectors), k, device=device)
    bounds = np.cumsum([0, *map(len, vectors)])
    found = []
    for clip, starts, first, last in zip(clips, starts_s, bounds, bounds[1:], strict=False):
        best = best_of_clips(chain.from_iterable(matches[first:last]), NUM_NEIGHBOURS)
        heard_s = [starts[match.query - first] for match in best]
        found.append(ClipNovelty(clip, best, heard_s, clip.file_sha256 in copies))
    return found


def _heard_windows(clip: Analysis, embedder: Embedder) -> tuple[Array, list[float]]:
    """Vectors (W, D) and starts of the windows that have a direction: not digital silence."""
    vectors = window_vectors(clip, embedder)
    heard = np.flatnonzero(vectors.any(axis=1))
    if not len(heard):
        raise MetricError(f"{clip.file.id}: nothing is heard in it, so nothing is near; remove it")
    starts = window_starts(len(vectors), embedder)
    return vectors[heard], [starts[index] for index in heard]


def _train_train(
    bank: Bank, num_windows: int, device: str, rng: np.random.Generator
) -> Array | None:
    """Nearest similarity of training stretches to other recordings; None with one recording.

    A stretch has as many windows as a generated clip: more windows are more chances to match.
    """
    tracks = bank.tracks()
    if len(np.unique(tracks)) < 2:
        return None
    chosen = np.sort(rng.choice(len(bank), size=min(BASELINE_STRETCHES, len(bank)), replace=False))
    stretches = [_stretch(tracks, int(row), num_windows) for row in chosen]
    rows = np.unique(np.concatenate(stretches))
    similarities, _ = bank.search(bank.rows(rows), 1, exclude_tracks=tracks[rows], device=device)
    nearest = dict(zip(rows.tolist(), similarities[:, 0].tolist(), strict=True))
    return np.array([max(nearest[row] for row in stretch) for stretch in stretches])


def _stretch(tracks: IntArray, row: int, num_windows: int) -> list[int]:
    """Consecutive rows of one track around `row`, `num_windows` of them where it has as many."""
    first, last = row, row + 1
    while last - first < num_windows and last < len(tracks) and tracks[last] == tracks[row]:
        last += 1
    while last - first < num_windows and first > 0 and tracks[first - 1] == tracks[row]:
        first -= 1
    return list(range(first, last))


def add_text_fit(
    found: Novelty, gen: Sequence[Analysis], prompts: Mapping[str, Prompt], embedder: TextEmbedder
) -> None:
    """Text-audio similarity of the clips, which the paper's table holds beside the ratios.

    Args:
        found: Gains `text_fit` and, first of its metrics, `clap`.
        gen: Generated clips, analysed with `embedder`.
        prompts: By prompt id; none gives a null.
        embedder: A CLAP.
    """
    if not prompts:
        found.metrics = {"clap": refused(families.NO_PROMPTS), **found.metrics}
        return
    heard = embedded(gen, embedder)
    rows, text = families.prompt_vectors(prompts, heard, embedder)
    scores, by_clip = score_text(heard, rows, text, None)
    found.metrics = {"clap": scores["clap"], **found.metrics}
    found.text_fit = dict(zip([heard.ids[row] for row in rows], by_clip["clap"], strict=True))


def add_second_opinions(found: Novelty, root: Path | None, rng: np.random.Generator) -> None:
    """Align the most similar clips with their nearest neighbours, and unrelated pairs as a null.

    Args:
        found: Gains `opinion` of its clips, `null_opinion` and two metrics.
        root: Folder that the bank's paths are relative to; None refuses both metrics.
        rng: Of the unrelated pairs.
    """
    names = ("mel", "chroma")
    if root is None:
        reason = "no training audio to listen to; give --train-audio"
        found.metrics |= {f"{name}_aligned": refused(reason) for name in names}
        return
    thresholds = [metric.details.get("threshold", 1.0) for metric in found.metrics.values()]
    flagged = sum(clip.nearest > min(thresholds) for clip in found.clips)
    ranked = sorted(found.clips, key=lambda clip: -clip.nearest)
    ranked = ranked[: max(flagged, SECOND_OPINIONS)]
    for clip in ranked:
        clip.opinion = _opinion(clip.clip, clip.neighbours[0], root)
    null = _unrelated_opinions(found.clips, root, rng)
    judged = [clip for clip in ranked if clip.opinion]
    for name in names:
        found.metrics[f"{name}_aligned"] = _aligned(found, name, judged, null)


def _unrelated_opinions(
    clips: Sequence[ClipNovelty], root: Path, rng: np.random.Generator
) -> list[dict[str, alignment.Alignment]]:
    """Clips aligned with the neighbour of another clip that is not near to themselves."""
    null = []
    for _ in range(NULL_PAIRS if len(clips) > 1 else 0):
        mine, other = rng.choice(len(clips), size=2, replace=False)
        theirs = clips[other].neighbours[0]
        if theirs.entry["id"] not in {n.entry["id"] for n in clips[mine].neighbours}:
            null.append(_opinion(clips[mine].clip, theirs, root))
    return [opinion for opinion in null if opinion]


def _aligned(
    found: Novelty,
    name: str,
    judged: Sequence[ClipNovelty],
    null: Sequence[dict[str, alignment.Alignment]],
) -> Result:
    """Share of the judged clips that align better than unrelated pairs do."""
    if not judged or not null:
        return refused(
            "no pair could be aligned: it takes training audio under the given folder, clips of "
            "3 s, and two clips with different neighbours"
        )
    limit = float(np.quantile([opinion[name].similarity for opinion in null], NULL_QUANTILE))
    found.null_opinion[name] = limit
    above = [clip.opinion[name].similarity > limit for clip in judged]
    share = share_estimate(above, [clip.clip.file.prompt_id for clip in judged])
    sizes = {"n_gen": len(judged), "n_ref": len(null)}
    return result(share, **sizes, warnings=pair_warnings(len(null)), details={"null_95": limit})


def _opinion(clip: Analysis, neighbour: Neighbour, root: Path) -> dict[str, alignment.Alignment]:
    """Both alignments, or nothing where the training audio is not there or too short."""
    try:
        theirs = training_audio(neighbour, root)
        return alignment.evaluate(read_audio(clip.file.path), theirs)
    except (AudioError, MetricError):
        return {}


def training_audio(neighbour: Neighbour, root: Path, *, window_s: float | None = None) -> Waveform:
    """The sound of a bank's entry.

    Args:
        neighbour: Found in the bank.
        root: Folder that the bank's paths are relative to.
        window_s: Length of the matched window, to hear that alone; None: the whole clip.

    Raises:
        AudioError: If its file is not under `root`.
    """
    entry = neighbour.entry
    start_s, duration_s = entry.get("start_s") or 0.0, entry.get("duration_s")
    if window_s is not None:
        offset_s = entry.get("window_s", 0.0)
        start_s += offset_s
        duration_s = min(window_s, np.inf if duration_s is None else duration_s - offset_s)
    return read_audio(root / entry["path"], start_s=start_s, duration_s=duration_s)
