"""Ours against the stock diffusers pipeline: time per step and peak memory, in one run.

Both take the full-size released architecture with the same random weights from the same CLAP
embeddings and the same noise to a waveform, with the same DDIM steps, guidance and precision. The
stock pipeline cannot read a text under transformers 5 and neither measures nor scores a single
take, so what `generate` adds, all of these, is told apart. Each measurement is a fresh process,
the kinds alternate, and the ratios of the medians are printed. Linux only.

    python benchmarks/pipeline_vs_stock.py --steps 2 --rounds 3
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch

GUIDANCE = 2.0
PROMPT = "slow piano"
KINDS = ("ours", "stock", "generate")


def prepare(preset: str, seconds: float, steps: int, folder: Path) -> None:
    """Write a random checkpoint, embeddings, noise and the request for the measured processes."""
    from musicgen_ldm import GenerateRequest
    from musicgen_ldm.checkpoint import initialise, save
    from musicgen_ldm.diffusion import draw_noise, take_generator
    from musicgen_ldm.pipeline.conditioning import make_condition
    from musicgen_ldm.pipeline.plans import make_plan

    checkpoint = initialise(preset)
    save(checkpoint, folder / "checkpoint")
    sampling = {"sampler": "ddim", "steps": steps, "guidance": GUIDANCE}
    request = GenerateRequest(prompt=PROMPT, seconds=seconds, sampling=sampling)
    condition = make_condition(checkpoint, request, "none")
    noise = draw_noise(take_generator(0, 0), make_plan(checkpoint, request).canvas.shape)
    given = {"positive": condition.positive, "negative": condition.negative, "noise": noise}
    np.savez(folder / "given.npz", **{name: value.numpy() for name, value in given.items()})
    (folder / "request.json").write_text(json.dumps(request.to_json()))


def run_ours(folder: Path, *, complete: bool) -> float:
    """Wall seconds of one of our renderings, loading left out.

    Args:
        folder: What `prepare` wrote.
        complete: Read the prompt, measure and score as well, as `generate` does.
    """
    from musicgen_ldm import GenerateRequest, MusicLDM
    from musicgen_ldm.pipeline.plans import make_plan
    from musicgen_ldm.sampling import Condition

    model = MusicLDM.from_pretrained(folder / "checkpoint", device="cpu")
    request = GenerateRequest.from_json(json.loads((folder / "request.json").read_text()))
    given = np.load(folder / "given.npz")
    start = time.perf_counter()
    if complete:
        waveform = model.generate(request)[0].waveform
    else:
        condition = Condition(*(torch.from_numpy(given[k]) for k in ("positive", "negative")))
        waveform = model.draw(request, condition, make_plan(model.checkpoint, request), 0)
    seconds = time.perf_counter() - start
    np.save(folder / f"{'generate' if complete else 'ours'}.npy", waveform.samples[0])
    return seconds


def run_stock(folder: Path) -> float:
    """Wall seconds of one stock rendering, loading left out."""
    from diffusers import DiffusionPipeline

    warnings.simplefilter("ignore")
    request = json.loads((folder / "request.json").read_text())
    given = np.load(folder / "given.npz")
    stock = DiffusionPipeline.from_pretrained(folder / "checkpoint")
    stock.set_progress_bar_config(disable=True)
    start = time.perf_counter()
    audios = stock(
        prompt_embeds=torch.from_numpy(given["positive"]),
        negative_prompt_embeds=torch.from_numpy(given["negative"]),
        audio_length_in_s=request["seconds"],
        num_inference_steps=request["sampling"]["steps"],
        guidance_scale=GUIDANCE,
        latents=torch.from_numpy(given["noise"]),
    ).audios
    seconds = time.perf_counter() - start
    np.save(folder / "stock.npy", audios[0])
    return seconds


def peak_mib() -> float:
    """Largest resident memory of this process.

    The kernel's `ru_maxrss` would begin at what the parent process held when it started this one.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found.group(1)) / 1024


def measure(kind: str, folder: Path) -> dict[str, float]:
    """Seconds and peak memory of one rendering in a process of its own."""
    command = [sys.executable, __file__, "--child", kind, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def report(found: dict[str, list[dict[str, float]]], folder: Path) -> None:
    """Print medians, ratios to stock, and how far the waveforms are apart."""
    for figure in ("seconds", "memory_mib"):
        ours, stock, complete = (statistics.median(r[figure] for r in found[k]) for k in KINDS)
        print(
            f"{figure:11} ours {ours:9.1f}  stock {stock:9.1f}  ratio {ours / stock:.3f}"
            f"  (generate, with text, measuring and scores: {complete:.1f})"
        )
    ours, stock = (np.load(folder / f"{kind}.npy") for kind in ("ours", "stock"))
    print(f"waveforms   differ by at most {np.abs(ours - stock).max():.1e}")


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
        kind, folder = args.child[0], Path(args.child[1])
        stock = kind == "stock"
        seconds = run_stock(folder) if stock else run_ours(folder, complete=kind == "generate")
        print(json.dumps({"seconds": seconds, "memory_mib": peak_mib()}))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(args.preset, args.seconds, args.steps, folder)
        found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
        for _ in range(args.rounds):
            for kind in KINDS:
                found[kind].append(measure(kind, folder))
        report(found, folder)


if __name__ == "__main__":
    main()
