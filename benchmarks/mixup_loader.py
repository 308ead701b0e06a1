"""What beat-synchronous mixup costs in the loader, per clip of 10.24 s.

    python benchmarks/mixup_loader.py [--clips 64] [--format flac]

Prints CPU milliseconds per example without mixup and with each kind. Reading a second file is part
of mixing; "mixing alone" leaves reading out. Target: under 5 ms a clip, so that one loader process
feeds a GPU that takes 200 clips a second.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from musicgen_ldm.config.mixup import MixupConfig
from musicgen_ldm.config.signal import CLIP_SECONDS, MelConfig
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.manifest import Clip, Tags
from musicgen_ldm.data.mixed_clips import MixedClipDataset
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.mixup.mix import mix_tracks

RATE = MelConfig().sample_rate
KINDS = {
    "none": MixupConfig(),
    "plain": MixupConfig(kind="plain", probability=1.0),
    "bam": MixupConfig(kind="bam", probability=1.0),
    "bam, energy matched": MixupConfig(kind="bam", probability=1.0, match_energy=True),
    "bam, tempo": MixupConfig(kind="bam", probability=1.0, sync="tempo", start="overlap"),
    "bam, downbeats": MixupConfig(kind="bam", probability=1.0, sync="downbeats", start="overlap"),
    "blm": MixupConfig(kind="blm", probability=1.0),
}


def write_clips(folder: Path, count: int, suffix: str) -> ClipDataset:
    """Pulsed noise at 118.5 to 119.5 bpm, music enough for a codec and a mixer."""
    clips = []
    for number in range(count):
        rng = np.random.default_rng(number)
        time_s = np.arange(round(CLIP_SECONDS * RATE)) / RATE
        beats = np.arange(rng.uniform(0, 0.5), CLIP_SECONDS, 60 / rng.uniform(118.5, 119.5))
        tone = np.sin(2 * np.pi * rng.uniform(100, 2000) * time_s)
        samples = 0.3 * tone * np.exp(-4 * (time_s % 0.5)) + 0.02 * rng.standard_normal(len(tone))
        path = folder / f"{number}.{suffix}"
        soundfile.write(path, samples, RATE)
        clips.append(
            Clip(
                id=str(number), path=path.name, sha256="", start_s=0.0, duration_s=CLIP_SECONDS,
                sample_rate=RATE, captions=("noise",), tags=Tags(), beats_s=tuple(beats),
                downbeats_s=tuple(beats[::4]), split="train", licence="CC0-1.0", source="",
                attribution="",
            )
        )  # fmt: skip
    return ClipDataset(
        clips, folder, sample_rate=RATE, num_samples=round(CLIP_SECONDS * RATE), peak=0.5, seed=0
    )


def milliseconds(call: Callable[[Any], Any], arguments: Iterable[Any]) -> float:
    """Median CPU time of calls."""
    times = []
    for argument in arguments:
        start = time.process_time()
        call(argument)
        times.append(1000 * (time.process_time() - start))
    return statistics.median(times)


def mixing_alone(dataset: MixedClipDataset) -> float:
    """CPU milliseconds of mixing two clips that are in memory."""
    tracks = [dataset.track(clip) for clip in dataset.source.clips]
    rng = np.random.default_rng(0)
    pairs = zip(tracks, tracks[1:] + tracks[:1], strict=True)
    return milliseconds(lambda pair: mix_tracks(*pair, dataset.config, rng), pairs)


def main() -> None:
    """Time every kind of mixup."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--format", default="flac", choices=("flac", "wav", "ogg"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clips = write_clips(Path(folder), args.clips, args.format)
        print(f"{'':22}{'example':>10}{'mixing alone':>14}   (CPU ms, median of {args.clips})")
        for name, config in KINDS.items():
            dataset = MixedClipDataset(clips, config)
            dataset[ClipRef(0, 0)]  # compiles the varispeed
            refs = [ClipRef(1, index) for index in range(args.clips)]
            example = milliseconds(dataset.__getitem__, refs)
            alone = mixing_alone(dataset) if config.kind != "none" else 0.0
            print(f"{name:22}{example:10.2f}{alone:14.2f}")


if __name__ == "__main__":
    main()
