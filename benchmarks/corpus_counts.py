"""What a corpus holds: counts, levels, words and licences, as Markdown.

    python benchmarks/corpus_counts.py data/train/manifest.jsonl [--sounds 2000]

Every line of the manifest is counted; with --sounds only so many clips, evenly spread, are read
for levels and size.
"""

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from corpus_features import thinned
from tqdm import tqdm

from musicgen_ldm.audio import peak, read_audio, rms_dbfs
from musicgen_ldm.corpus.clip import silent_share
from musicgen_ldm.data.manifest import Clip, read_manifest

PERCENTILES = (5, 50, 95)
FULL_SCALE = 1 - 2**-15  # of 16-bit sound


def percentiles(values: Iterable[float]) -> str:
    """5th, 50th and 95th percentile."""
    return " / ".join(f"{value:.1f}" for value in np.percentile(list(values), PERCENTILES))


def counted(names: Iterable[str]) -> str:
    """Names with their counts, most frequent first."""
    return ", ".join(f"{name} {count}" for name, count in Counter(names).most_common())


def levels(clips: list[Clip], folder: Path) -> list[tuple[str, str]]:
    """Rows about the sound itself, one clip in memory at a time."""
    rms, peaks, silence = [], [], []
    for clip in tqdm(clips, unit="clip"):
        sound = read_audio(folder / clip.path)
        rms.append(rms_dbfs(sound.mono))
        peaks.append(peak(sound.samples))
        silence.append(silent_share(sound))
    return [
        ("clips listened to", str(len(clips))),
        ("RMS, dBFS (p5 / p50 / p95)", percentiles(rms)),
        ("highest peak", f"{max(peaks):.3f}"),
        ("clips that reach full scale", str(sum(value >= FULL_SCALE for value in peaks))),
        ("most silence in a clip", f"{max(silence):.0%}"),
        (
            "kilobytes a clip",
            f"{np.mean([(folder / c.path).stat().st_size for c in clips]) / 1e3:.0f}",
        ),
    ]


def facts(clips: list[Clip]) -> list[tuple[str, str]]:
    """Rows about what the manifest says."""
    captions = [caption for clip in clips for caption in clip.captions]
    words = {word.strip(".,:;!?|").lower() for caption in captions for word in caption.split()}
    ingredients = {
        (item["name"].split("/")[0], item["licence"])
        for clip in clips
        for item in clip.extra["ingredients"]
    }
    pairs = Counter(clip.extra["pair"]["recipe"] for clip in clips if "pair" in clip.extra)
    solos = [clip.extra["facts"]["lead"] for clip in clips if clip.extra.get("kind") == "solo"]
    patterns = {name for clip in clips for name in clip.extra["patterns"]}
    return [
        ("clips", str(len(clips))),
        ("hours", f"{sum(clip.duration_s for clip in clips) / 3600:.2f}"),
        ("kinds", counted(clip.extra.get("kind", "two pieces") for clip in clips)),
        ("clips in pairs", counted(pairs.elements())),
        ("patterns, progressions and themes heard", str(len(patterns))),
        ("captions, distinct", f"{len(captions)}, {len(set(captions))}"),
        ("distinct words", str(len(words))),
        ("bpm (p5 / p50 / p95)", percentiles(c.tags.bpm for c in clips if c.tags.bpm)),
        ("modes", counted(clip.tags.mode or "none" for clip in clips)),
        ("metres", counted(clip.tags.meter or "none" for clip in clips)),
        ("moods", counted(clip.tags.mood or "two" for clip in clips)),
        ("genres", counted(clip.tags.genre or "two" for clip in clips)),
        ("leads of solo pieces", counted(solos)),
        ("instruments", counted(name for clip in clips for name in clip.tags.instruments)),
        ("ingredients", ", ".join(f"{name} ({terms})" for name, terms in sorted(ingredients))),
    ]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--sounds", type=int, help="read at most this many (default: all)")
    args = parser.parse_args()
    clips = list(read_manifest(args.manifest))
    heard = levels(thinned(clips, args.sounds), args.manifest.parent)
    print("| | |\n|---|---|")
    for name, value in facts(clips) + heard:
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
