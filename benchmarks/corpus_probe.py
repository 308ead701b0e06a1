"""Are the words audible? Plain classifiers hear genre, instruments, tempo, mode, drums and mood.

    musicgen-ldm corpus build data/train --clips 3500 --seed 1
    musicgen-ldm corpus build data/test --preset test --clips 500 --seed 1
    python benchmarks/corpus_probe.py data/train/manifest.jsonl [--test data/test/manifest.jsonl]

Linear classifiers on mel statistics (`corpus_features.py`): discriminants for classes, ridge
regression for presences. 5-fold cross-validation, or, with --test, fitted on the first manifest
and scored on the second, whose patterns it never heard. Both halves of a contrast pair stay in one
fold.

Genres are judged one by one and merged (`musicgen_ldm/data/merged_genres.yaml`: those that ten
seconds do not tell apart); the probability of a merged genre is the sum over its genres. To
compare numbers of classes, "kappa" is the share of first guesses above chance, (p - c) / (1 - c),
with c the agreement of guesses drawn from the classes' own frequencies.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from corpus_features import Features, describe, from_tonic, read_clips
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from musicgen_ldm.data.manifest import Clip
from musicgen_ldm.data.merged_genres import merged_genre

FOLDS = 5
SHRINKAGE = 0.3  # of the discriminants' covariance
PENALTY = 0.3  # of the regression, a clip
OUTLIER = 4.0  # standard deviations a statistic counts at most
SLOW_BPM, FAST_BPM = 85.0, 140.0
MIN_EXAMPLES, MIN_SCORED = 20, 5  # of an instrument, in all and scored, or its AUC means little
Split = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
Guess = tuple[npt.NDArray, npt.NDArray, npt.NDArray]  # probabilities, classes, truths


class Probe:
    """Features, clips and how they are divided."""

    def __init__(self, features: Features, splits: Sequence[Split]) -> None:
        self.features = features
        self.splits = splits

    def guesses(self, labels: npt.NDArray) -> list[Guess]:
        """Probabilities (clips, classes), classes and truths of each test part."""
        found = []
        for train, test in self.splits:
            model = linear(LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE))
            model.fit(self.features[train], labels[train])
            out = model.predict_proba(self.features[test])
            found.append((out, model.classes_, labels[test]))
        return found

    def auc(
        self, labels: npt.NDArray[np.bool_], rows: npt.NDArray[np.bool_] | None = None
    ) -> npt.NDArray[np.float64]:
        """Area under the ROC curve of yes-or-no questions.

        Args:
            labels: (clips, questions).
            rows: Which clips are asked, (clips,); None asks all.
        """
        rows = np.ones(len(labels), bool) if rows is None else rows
        scores, truths = [], []
        for train, test in self.splits:
            fit, score = train[rows[train]], test[rows[test]]
            model = linear(Ridge(alpha=PENALTY * len(fit)))
            model.fit(self.features[fit], labels[fit].astype(float))
            # For a single question it gives no column.
            scores.append(model.predict(self.features[score]).reshape(len(score), -1))
            truths.append(labels[score])
        truth, guess = np.concatenate(truths), np.concatenate(scores)
        return np.array([roc_auc_score(t, g) for t, g in zip(truth.T, guess.T, strict=True)])


def linear(model: ClassifierMixin | RegressorMixin) -> Pipeline:
    """A linear model of standardised statistics without outliers."""
    clipped = FunctionTransformer(np.clip, kw_args={"a_min": -OUTLIER, "a_max": OUTLIER})
    return make_pipeline(StandardScaler(), clipped, model)


def top(guesses: Sequence[Guess], ranks: Sequence[int]) -> dict[str, float]:
    """Share of clips whose class is among the first guesses, beside what chance would give."""
    hits = {rank: [] for rank in ranks}
    for out, classes, truth in guesses:
        order = classes[np.argsort(-out, axis=1)]
        for rank in ranks:
            hits[rank] += list((order[:, :rank] == truth[:, None]).any(axis=1))
    counts = np.array(list(Counter(np.concatenate([g[2] for g in guesses])).values()))
    chance = float(np.square(counts / counts.sum()).sum())
    shares = {f"top-{rank}": float(np.mean(hits[rank])) for rank in ranks}
    return shares | {
        "classes": len(counts),
        "majority": float(counts.max() / counts.sum()),
        "kappa": (shares["top-1"] - chance) / (1 - chance),
    }


def merged(guesses: Sequence[Guess]) -> list[Guess]:
    """The same guesses with genres that are judged as one added up."""
    result = []
    for out, classes, truth in guesses:
        groups = np.array([merged_genre(name) for name in classes])
        names = np.unique(groups)
        sums = np.stack([out[:, groups == name].sum(axis=1) for name in names], axis=1)
        result.append((sums, names, np.array([merged_genre(name) for name in truth])))
    return result


def instrument_auc(probe: Probe, clips: Sequence[Clip]) -> dict[str, float]:
    """AUC of the presence of each instrument named often enough."""
    scored = np.concatenate([test for _, test in probe.splits])
    in_all = Counter(name for clip in clips for name in clip.tags.instruments)
    in_scored = Counter(name for row in scored for name in clips[row].tags.instruments)
    names = sorted(
        name
        for name, count in in_all.items()
        if count >= MIN_EXAMPLES and MIN_SCORED <= in_scored[name] < len(scored)
    )
    labels = np.array([[name in clip.tags.instruments for name in names] for clip in clips])
    return dict(zip(names, probe.auc(labels).tolist(), strict=True))


def measure(clips: Sequence[Clip], folders: Sequence[Path], splits: Sequence[Split]) -> dict:
    """All probes as one record."""
    described = describe(clips, folders)
    probe = Probe(np.hstack([described.broad, described.details]), splits)
    tonal = Probe(from_tonic(described.chroma, clips), splits)
    genres = np.array([clip.tags.genre for clip in clips])
    moods = np.array([clip.tags.mood for clip in clips])
    felt = np.array([clip.extra["felt_bpm"] or 100.0 for clip in clips])
    modes = np.array([clip.tags.mode or "" for clip in clips])
    drums = np.array([bool(clip.extra["facts"]["has_drums"]) for clip in clips])
    guessed = probe.guesses(genres)
    instruments = instrument_auc(probe, clips)
    weakest = sorted(instruments, key=lambda name: instruments[name])[:8]

    def asked(judge: Probe, yes: npt.NDArray, rows: npt.NDArray | None = None) -> float:
        return float(judge.auc(yes[:, None], rows)[0])

    return {
        "clips": len(clips),
        "scored": sum(len(test) for _, test in splits),
        "genre": top(guessed, (1, 5)),
        "merged_genre": top(merged(guessed), (1, 5)),
        "instruments": {
            "mean_auc": float(np.mean(list(instruments.values()))),
            "names": len(instruments),
            "weakest": {name: round(instruments[name], 3) for name in weakest},
        },
        "slow_or_fast_auc": asked(probe, felt > FAST_BPM, (felt < SLOW_BPM) | (felt > FAST_BPM)),
        "major_or_minor_auc": asked(tonal, modes == "minor", np.isin(modes, ("major", "minor"))),
        "drums_auc": asked(probe, drums),
        "mood": top(probe.guesses(moods), (1, 3)),
    }


def main() -> None:
    """Print the record as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--test", type=Path, help="score on this manifest instead of folds")
    parser.add_argument("--clips", type=int, help="use at most this many of the first manifest")
    args = parser.parse_args()
    clips = read_clips(args.manifest, args.clips)
    folders = [args.manifest.parent] * len(clips)
    if args.test:
        tests = read_clips(args.test)
        splits = [(np.arange(len(clips)), len(clips) + np.arange(len(tests)))]
        clips += tests
        folders += [args.test.parent] * len(tests)
    else:
        # Halves of a pair are nearly the same sound: one must not teach the other.
        pieces = [clip.extra.get("pair", {}).get("id", clip.id) for clip in clips]
        folds = GroupKFold(FOLDS, shuffle=True, random_state=0)
        splits = list(folds.split(clips, groups=pieces))
    print(json.dumps(measure(clips, folders, splits), indent=2))


if __name__ == "__main__":
    main()
