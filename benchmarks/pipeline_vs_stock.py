"""Ours against the stock diffusers pipeline: time per step and peak memory, in one run.

Both run the full-size released architecture with the same random weights, the same DDIM steps,
guidance and precision. Each measurement is a fresh process, the two alternate, and the ratios of
the medians are printed.

    python benchmarks/pipeline_vs_stock.py --steps 2 --rounds 3
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from musicgen_ldm import GenerateRequest, MusicLDM
from musicgen_ldm.checkpoint import initialise, save
from musicgen_ldm.diffusion import draw_noise, take_generator
from musicgen_ldm.pipeline.conditioning import make_condition

GUIDANCE = 2.0


def run_ours(folder: Path, steps: int, seconds: float) -> float:
    """Wall seconds of one of our renderings, loading left out."""
    model = MusicLDM.from_pretrained(folder, device="cpu")
    request = GenerateRequest(
        prompt="slow piano",
        seconds=seconds,
        sampling={"sampler": "ddim", "steps": steps, "guidance": GUIDANCE},
    )
    start = time.perf_counter()
    take = next(model.iterate(request))
    # Scores and measurements are ours alone and no part of the comparison.
    return min(take.record["render_s"], time.perf_counter() - start)


def run_stock(folder: Path, steps: int, seconds: float) -> float:
    """Wall seconds of one stock rendering from the same embeddings and noise."""
    from diffusers import DiffusionPipeline

    warnings.simplefilter("ignore")
    model = MusicLDM.from_pretrained(folder, device="cpu")
    condition = make_condition(model.checkpoint, GenerateRequest(prompt="slow piano"), "none")
    shape = (
        model.checkpoint.vae.config.latent_channels,
        round(seconds * model.checkpoint.mel.frame_rate) // 4,
        model.checkpoint.mel.num_bins // 4,
    )
    del model
    stock = DiffusionPipeline.from_pretrained(folder)
    stock.set_progress_bar_config(disable=True)
    start = time.perf_counter()
    stock(
        prompt_embeds=condition.positive,
        negative_prompt_embeds=condition.negative,
        audio_length_in_s=seconds,
        num_inference_steps=steps,
        guidance_scale=GUIDANCE,
        latents=draw_noise(take_generator(0, 0), shape),
    )
    return time.perf_counter() - start


def main() -> None:
    """Measure, alternating, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="musicldm")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=2, metavar=("WHICH", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        which, folder = args.child
        run = run_ours if which == "ours" else run_stock
        seconds = run(Path(folder), args.steps, args.seconds)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "memory_mib": memory}))
        return
    found: dict[str, list[dict[str, float]]] = {"ours": [], "stock": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = save(initialise(args.preset), Path(temporary) / "checkpoint")
        for _ in range(args.rounds):
            for which, results in found.items():
                command = [sys.executable, __file__, "--child", which, str(folder)]
                command += ["--steps", str(args.steps), "--seconds", str(args.seconds)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                results.append(json.loads(done.stdout.splitlines()[-1]))
    for figure in ("seconds", "memory_mib"):
        ours, stock = (statistics.median(r[figure] for r in found[w]) for w in ("ours", "stock"))
        print(f"{figure:11} ours {ours:9.1f}  stock {stock:9.1f}  ratio {ours / stock:.3f}")


if __name__ == "__main__":
    main()
