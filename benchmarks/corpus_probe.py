"""Are the words audible? Plain classifiers hear genre, instruments, tempo, mode, drums and mood.

    musicgen-ldm corpus build data/train --clips 3500 --seed 1
    musicgen-ldm corpus build data/test --preset test --clips 500 --seed 1
    python benchmarks/corpus_probe.py data/train/manifest.jsonl [--test data/test/manifest.jsonl]

ExtraTrees on mel statistics (`corpus_features.py`): 5-fold cross-validation, or, with --test,
fitted on the first manifest and scored on the second, whose patterns it never heard. Both halves
of a contrast pair stay in one fold.

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
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from musicgen_ldm.data.manifest import Clip
from musicgen_ldm.data.merged_genres import merged_genre

TREES = 300
FOLDS = 5
SLOW_BPM, FAST_BPM = 85.0, 140.0
MIN_EXAMPLES, MIN_SCORED = 20, 5  # of an instrument, in all and scored, or its AUC means little
Split = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
Guess = tuple[npt.NDArray, npt.NDArray, npt.NDArray]  # probabilities, classes, truths


class Probe:
    """Features, clips and how they are divided."""

    def __init__(self, features: Features, splits: Sequence[Split]) -> None:
        self.features = features
        self.splits = splits

    def scores(self, labels: npt.NDArray, rows: npt.NDArray[np.bool_]) -> tuple[list, list]:
        """Probabilities and truths over the test parts, among `rows` only.

        Args:
            labels: (clips,) classes, or (clips, L) of 0 and 1.
            rows: Which clips have a label.
        """
        probabilities, truths = [], []
        for train, test in self.splits:
            fit, score = train[rows[train]], test[rows[test]]
            forest = ExtraTreesClassifier(TREES, min_samples_leaf=2, random_state=0)
            forest.fit(self.features[fit], labels[fit])
            out = forest.predict_proba(self.features[score])
            if labels.ndim == 2:  # a list of (rows, 2), one a label
                out = np.stack([p[:, 1] if p.shape[1] == 2 else p[:, 0] * 0 for p in out], axis=1)
            probabilities.append((out, forest.classes_))
            truths.append(labels[score])
        return probabilities, truths

    def guesses(self, labels: npt.NDArray) -> list[Guess]:
        """Probabilities (clips, classes), classes and truths of each test part."""
        probabilities, truths = self.scores(labels, np.ones(len(labels), bool))
        return [
            (out, classes, truth)
            for (out, classes), truth in zip(probabilities, truths, strict=True)
        ]

    def auc(self, labels: npt.NDArray[np.bool_], rows: npt.NDArray[np.bool_]) -> float:
        """Area under the ROC curve of a yes-or-no question."""
        probabilities, truths = self.scores(labels.astype(int), rows)
        scores = np.concatenate([out[:, 1] for out, _ in probabilities])
        return float(roc_auc_score(np.concatenate(truths), scores))


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
    counts = Counter(name for clip in clips for name in clip.tags.instruments)
    names = sorted(name for name, count in counts.items() if count >= MIN_EXAMPLES)
    labels = np.array([[int(name in clip.tags.instruments) for name in names] for clip in clips])
    probabilities, truths = probe.scores(labels, np.ones(len(clips), bool))
    scores = np.concatenate([out for out, _ in probabilities])
    truth = np.concatenate(truths)
    return {
        name: float(roc_auc_score(truth[:, i], scores[:, i]))
        for i, name in enumerate(names)
        if MIN_SCORED <= truth[:, i].sum() < len(truth)
    }


def measure(clips: Sequence[Clip], folders: Sequence[Path], splits: Sequence[Split]) -> dict:
    """All probes as one record."""
    features, chroma = describe(clips, folders)
    probe = Probe(features, splits)
    genres = np.array([clip.tags.genre for clip in clips])
    moods = np.array([clip.tags.mood for clip in clips])
    felt = np.array([clip.extra["felt_bpm"] or 100.0 for clip in clips])
    modes = np.array([clip.tags.mode or "" for clip in clips])
    drums = np.array([bool(clip.extra["facts"]["has_drums"]) for clip in clips])
    guessed = probe.guesses(genres)
    instruments = instrument_auc(probe, clips)
    tonal = Probe(from_tonic(chroma, clips), splits)
    everything = np.ones(len(clips), bool)
    weakest = sorted(instruments, key=lambda name: instruments[name])[:8]
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
        "slow_or_fast_auc": probe.auc(felt > FAST_BPM, (felt < SLOW_BPM) | (felt > FAST_BPM)),
        "major_or_minor_auc": tonal.auc(modes == "minor", np.isin(modes, ("major", "minor"))),
        "drums_auc": probe.auc(drums, everything),
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
