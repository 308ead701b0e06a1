"""Score beat trackers against clips whose beats are known.

    musicgen-ldm corpus build data/beats-test --preset test --clips 200 --seed 31
    python benchmarks/beat_trackers.py data/beats-test/manifest.jsonl [--trackers tcn librosa]

F-measures by mir_eval (+-70 ms, nothing trimmed); tempo counts as right within 4 %, "octaves"
admits double, half, triple and third. Clips without a beat are left out of the scores; the last
column says how confident the tracker wrongly is on them.
"""

import argparse
import json
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import mir_eval.beat
import numpy as np

from musicgen_ldm.audio import Waveform, read_audio
from musicgen_ldm.beats import TRACKERS, Beats, BeatTracker, get_tracker
from musicgen_ldm.data.manifest import Clip, read_manifest
from musicgen_ldm.errors import CheckpointError, MissingExtraError
from musicgen_ldm.measure.tempo import tempo_of_beats

MIN_BEATS = 4  # fewer known beats make a score of one clip meaningless
NOISE_DB = -10.0  # relative to the music, for --noise


@dataclass(frozen=True)
class Score:
    """One clip under one tracker."""

    id: str
    group: str
    beat_f: float
    downbeat_f: float
    tempo: bool
    tempo_octaves: bool
    confidence: float
    seconds: float


def score_clip(tracker: BeatTracker, clip: Clip, waveform: Waveform) -> Score:
    """Scores of `tracker` on one clip with known beats."""
    began = time.perf_counter()
    found = tracker(waveform)
    seconds = time.perf_counter() - began
    tempo, bpm = tempo_of_beats(found), 60 / float(np.median(np.diff(clip.beats_s)))
    return Score(
        id=clip.id,
        group=str(clip.extra.get("kind", "all")),
        beat_f=f_measure(clip.beats_s, found.beats_s),
        downbeat_f=f_measure(clip.downbeats_s, found.downbeats_s),
        tempo=tempo.matches(bpm),
        tempo_octaves=tempo.matches(bpm, octaves=True),
        confidence=found.confidence,
        seconds=seconds,
    )


def f_measure(known: tuple[float, ...], found: tuple[float, ...]) -> float:
    """Beat F-measure; 0 when nothing was found."""
    if not found or not known:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(mir_eval.beat.f_measure(np.asarray(known), np.asarray(found)))


def with_noise(waveform: Waveform, seed: int) -> Waveform:
    """`waveform` under white noise at `NOISE_DB`."""
    samples = waveform.samples
    level = np.sqrt(np.mean(np.square(samples))) * 10 ** (NOISE_DB / 20)
    noise = np.random.default_rng(seed).normal(0, level, samples.shape)
    return Waveform(samples + noise.astype(np.float32), waveform.sample_rate)


def print_table(scores: dict[str, list[Score]], beatless: dict[str, list[Beats]]) -> None:
    """One row a tracker, then F by group."""
    print("| tracker | F | F > 0.8 | downbeat F | tempo +-4 % | with octaves | s/clip | beatless |")
    print("|---|---|---|---|---|---|---|---|")
    for name, rows in scores.items():
        columns = [
            f"{np.mean([s.beat_f for s in rows]):.3f}",
            f"{np.mean([s.beat_f > 0.8 for s in rows]):.0%}",
            f"{np.mean([s.downbeat_f for s in rows]):.3f}",
            f"{np.mean([s.tempo for s in rows]):.0%}",
            f"{np.mean([s.tempo_octaves for s in rows]):.0%}",
            f"{np.median([s.seconds for s in rows]):.2f}",
            f"{np.mean([b.confidence for b in beatless[name]]):.2f}" if beatless[name] else "-",
        ]
        print(f"| {name} | " + " | ".join(columns) + " |")
    groups = sorted({s.group for rows in scores.values() for s in rows})
    print("\n| F by kind | " + " | ".join(groups) + " |")
    print("|---" * (len(groups) + 1) + "|")
    for name, rows in scores.items():
        means = [np.mean([s.beat_f for s in rows if s.group == group]) for group in groups]
        print(f"| {name} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")


def main() -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--trackers", nargs="+", default=list(TRACKERS), choices=TRACKERS)
    parser.add_argument("--clips", type=int, help="only the first N")
    parser.add_argument("--noise", action="store_true", help="add white noise at -10 dB")
    parser.add_argument("--out", type=Path, help="JSON file with the score of every clip")
    args = parser.parse_args()
    trackers: dict[str, BeatTracker] = {}
    for name in args.trackers:
        try:
            trackers[name] = get_tracker(name)
        except (MissingExtraError, CheckpointError) as error:
            print(f"{name} left out: {error}")
    scores: dict[str, list[Score]] = {name: [] for name in trackers}
    beatless: dict[str, list[Beats]] = {name: [] for name in trackers}
    for number, clip in enumerate(list(read_manifest(args.manifest))[: args.clips]):
        waveform = read_audio(
            args.manifest.parent / clip.path, start_s=clip.start_s, duration_s=clip.duration_s
        )
        waveform = with_noise(waveform, number) if args.noise else waveform
        for name, tracker in trackers.items():
            if len(clip.beats_s) >= MIN_BEATS:
                scores[name].append(score_clip(tracker, clip, waveform))
            else:
                beatless[name].append(tracker(waveform))
    counts = next(iter(scores.values())), next(iter(beatless.values()))
    print(f"{len(counts[0])} clips with a beat, {len(counts[1])} without\n")
    print_table(scores, beatless)
    if args.out:
        record = {name: [asdict(score) for score in rows] for name, rows in scores.items()}
        args.out.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
