"""Does every genre sound like one loop? Nearest neighbours and spread within genres.

    python benchmarks/corpus_diversity.py data/train/manifest.jsonl [--clips 2000]

Distance is Euclidean between mel statistics (`corpus_features.py`), standardised and reduced to
the components that hold 95 % of the variance. "Same pattern" means that the nearest neighbour
shares a pattern of the clip's leading kind: drums, else comping, arpeggio, melody, else any. The
spread of a genre is the mean distance of its clips to their centre over that of all clips; none
may fall below `FLOOR`, a little above the spread of different renderings of one piece (0.36).
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from corpus_features import describe, read_clips
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from musicgen_ldm.data.manifest import Clip

LEADING_KINDS = ("drums", "comp", "arpeggio", "lead")
MIN_CLIPS = 8  # of a genre, for a spread to mean something
VARIANCE = 0.95
FLOOR = 0.4  # of the spread within a genre; the target, not a measurement


def leading_patterns(clip: Clip) -> set[str]:
    """The clip's patterns of the most telling kind it has."""
    patterns = clip.extra["patterns"]
    for kind in LEADING_KINDS:
        of_kind = {name for name in patterns if name.startswith(f"{kind}:")}
        if of_kind:
            return of_kind
    return set(patterns)


def neighbours(points: np.ndarray, clips: list[Clip]) -> dict[str, float]:
    """What a clip's nearest neighbour has in common with it; its own pair does not count."""
    _, order = NearestNeighbors(n_neighbors=3).fit(points).kneighbors(points)
    pairs = [clip.extra.get("pair", {}).get("id") for clip in clips]
    same_genre = same_pattern = 0
    for index, candidates in enumerate(order):
        nearest = next(
            j for j in candidates if j != index and (pairs[j] is None or pairs[j] != pairs[index])
        )
        same_genre += clips[index].tags.genre == clips[nearest].tags.genre
        same_pattern += bool(leading_patterns(clips[index]) & leading_patterns(clips[nearest]))
    return {
        "nearest_of_same_genre": same_genre / len(clips),
        "nearest_of_same_pattern": same_pattern / len(clips),
    }


def spreads(points: np.ndarray, clips: list[Clip]) -> dict[str, float]:
    """Spread of each genre relative to that of all clips, lowest first."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, clip in enumerate(clips):
        groups[clip.tags.genre or ""].append(index)

    def radius(rows: np.ndarray) -> float:
        return float(np.linalg.norm(rows - rows.mean(axis=0), axis=1).mean())

    overall = radius(points)
    found = {
        name: round(radius(points[rows]) / overall, 3)
        for name, rows in groups.items()
        if len(rows) >= MIN_CLIPS
    }
    return dict(sorted(found.items(), key=lambda item: item[1]))


def main() -> None:
    """Print the measures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--clips", type=int, default=2000, help="at most this many")
    args = parser.parse_args()
    clips = read_clips(args.manifest, args.clips)
    features = describe(clips, [args.manifest.parent] * len(clips)).broad
    reduced = PCA(VARIANCE, random_state=0).fit_transform(StandardScaler().fit_transform(features))
    table = spreads(reduced, clips)
    record = {
        "clips": len(clips),
        "dimensions": reduced.shape[1],
        **neighbours(reduced, clips),
        "spread_median": float(np.median(list(table.values()))) if table else None,
        "below_floor": {name: value for name, value in table.items() if value < FLOOR},
        "spread": table,
    }
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
