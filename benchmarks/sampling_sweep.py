"""Which default sampling suits a checkpoint: a grid over validation prompts, one row a setting.

    python benchmarks/sampling_sweep.py pocket data/corpus/manifest.jsonl --clips 48 \
        --steps 10 20 30 --guidance 2 3 4.5 --bridge none ridge

Every setting draws the same prompts (one caption of each validation clip) with the same noise.
`text fit` is the mean cosine of prompt and sound, `real` the same for the clips themselves;
`kad` the kernel distance (Chung et al. 2025) to those clips in the checkpoint's own CLAP; `sound`
the mean health (silence, clipping, DC); `x real time` how much faster than playing it was drawn.
Text fit chooses among candidates, so it flatters many; `evaluate --metrics obedience` does not.
"""

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from musicgen_ldm.audio import read_audio
from musicgen_ldm.config.generation import GenerateRequest
from musicgen_ldm.config.signal import CLIP_SECONDS
from musicgen_ldm.data.manifest import Clip, read_manifest
from musicgen_ldm.metrics import kernel
from musicgen_ldm.pipeline import MusicLDM

AXES = {
    "steps": int, "candidates": int, "guidance": float, "guidance_rescale": float,
    "bridge": str, "sampler": str,
}  # fmt: skip


def validation_clips(manifest: Path, count: int) -> list[Clip]:
    """Single pieces of the split "valid", evenly thinned."""
    clips = [c for c in read_manifest(manifest) if c.split == "valid" and "sequence" not in c.extra]
    return [clips[i] for i in np.linspace(0, len(clips) - 1, min(count, len(clips))).astype(int)]


def measure(
    model: MusicLDM, clips: list[Clip], real: torch.Tensor, seconds: float, sampling: dict[str, Any]
) -> list[float]:
    """One row: text fit, kernel distance, its error, health, speed."""
    clap, sounds, fits, healths, render_s = model.checkpoint.clap, [], [], [], 0.0
    for clip in clips:
        request = GenerateRequest(prompt=clip.captions[0], seconds=seconds, sampling=sampling)
        start = time.perf_counter()
        (take,) = model.generate(request)
        render_s += time.perf_counter() - start
        sounds.append(clap.audio([take.waveform]))
        fits.append(take.scores["text_fit"])
        healths.append(take.scores["health"])
    distance = kernel.evaluate(torch.cat(sounds).numpy(), real.numpy())["kad"]
    speed = seconds * len(clips) / render_s
    return [float(np.mean(fits)), distance.value, distance.se,
            float(np.mean(healths)), speed]  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("checkpoint")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=CLIP_SECONDS)
    for name, kind in AXES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, nargs="+")
    args = parser.parse_args()
    model = MusicLDM.from_pretrained(args.checkpoint)
    clips = validation_clips(args.manifest, args.clips)
    clap, folder = model.checkpoint.clap, args.manifest.parent
    real = torch.cat([clap.audio([read_audio(folder / clip.path)]) for clip in clips])
    fit = (real * clap.text([clip.captions[0] for clip in clips])).sum(dim=1).mean()
    print(f"real: text fit {fit:.3f} over {len(clips)} clips\n")
    axes = {name: getattr(args, name) for name in AXES if getattr(args, name)}
    heads = [*axes, "text fit", "kad", "+-", "sound", "x real time"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for values in itertools.product(*axes.values()):
        row = measure(model, clips, real, args.seconds, dict(zip(axes, values, strict=True)))
        print("| " + " | ".join([*map(str, values), *(f"{x:.3f}" for x in row)]) + " |", flush=True)


if __name__ == "__main__":
    main()
