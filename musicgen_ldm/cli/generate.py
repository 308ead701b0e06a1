"""Turn a sentence into music files."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from musicgen_ldm.cli.jobs import FORMATS, check_jobs, jobs_of, left_of, take_path
from musicgen_ldm.config.generation import (
    MAX_SECONDS,
    PRECISIONS,
    SAMPLERS,
    VOCODERS,
    GenerateRequest,
)
from musicgen_ldm.errors import RequestError

if TYPE_CHECKING:
    from musicgen_ldm.pipeline import MusicLDM, Take
    from musicgen_ldm.sampling import Progress

HELP = "turn a sentence into music files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("prompt", nargs="?", default="", help="what the music should sound like")
    files = parser.add_argument_group("files")
    files.add_argument("-o", "--output", type=Path, help="file, or folder for several takes")
    files.add_argument("--format", choices=FORMATS, help="default: the output's suffix, or wav")
    files.add_argument(
        "--subtype",
        choices=("16", "24", "float"),
        help="sample depth (default: 16, or that of the file that is edited)",
    )
    files.add_argument("--overwrite", action="store_true", help="replace existing files")
    files.add_argument("--no-mark", action="store_true", help="leave out the AI-made mark")
    files.add_argument(
        "--prompts", type=Path, metavar="FILE", help="many prompts: text or JSONL, resumable"
    )
    files.add_argument("--json", action="store_true", help="print one record a line")
    music = parser.add_argument_group("music")
    music.add_argument("--seconds", type=float, help=f"length, up to {MAX_SECONDS:g}")
    music.add_argument("--seed", type=int, default=0, help="whole number (default: 0)")
    music.add_argument("--takes", type=int, default=1, help="variants to render (default: 1)")
    music.add_argument(
        "--take", type=int, default=0, metavar="K", help="number of the first take (default: 0)"
    )
    music.add_argument("--negative", default="", metavar="TEXT", help="what to steer away from")
    music.add_argument("--bpm", type=float, help="tempo; asked for and measured")
    music.add_argument("--key", help='for example "A minor"; asked for and measured')
    music.add_argument("--bars", type=int, help="length in 4/4 bars, with --bpm")
    music.add_argument("--loop", action="store_true", help="seamless loop of exact length")
    sources = parser.add_argument_group("working on sounds")
    sources.add_argument("--init", metavar="FILE", help="vary this sound")
    sources.add_argument("--strength", type=float, help="0 keeps --init, 1 ignores it")
    sources.add_argument(
        "--repaint",
        nargs="+",
        default=[],
        metavar="A-B",
        help="render these seconds of it anew",
    )
    sources.add_argument("--continue", dest="continue_file", metavar="FILE", help="go on from here")
    sources.add_argument(
        "--continue-side", choices=("after", "before"), default="after", help="(default: after)"
    )
    sources.add_argument("--audio-prompt", metavar="FILE", help="a sound as the prompt")
    sources.add_argument(
        "--blend", nargs="+", default=[], metavar="TEXT:W", help="mix in other texts by weight"
    )
    sources.add_argument(
        "--blend-audio", nargs="+", default=[], metavar="FILE:W", help="mix in sounds by weight"
    )
    engine = parser.add_argument_group("engine (defaults come with the checkpoint)")
    engine.add_argument("--checkpoint", default="pocket", help="name, folder or hub id")
    engine.add_argument("--sampler", help=f"one of {', '.join(SAMPLERS)}")
    engine.add_argument("--steps", type=int, help="denoiser steps")
    engine.add_argument("--guidance", type=float, help="1 switches it off")
    engine.add_argument("--guidance-interval", metavar="A-B", help="guided share of the steps, 0-1")
    engine.add_argument("--guidance-rescale", type=float, help="0 to 1")
    engine.add_argument("--eta", type=float, help="noise of the ddim sampler, 0 to 1")
    engine.add_argument("--bridge", help="step from text to audio embedding")
    engine.add_argument("--vocoder", help=f"one of {', '.join(VOCODERS)}")
    engine.add_argument("--candidates", type=int, help="draws that each take is the best of")
    engine.add_argument("--stock-heads", action="store_true", help="do not correct head counts")
    engine.add_argument(
        "--precision", default="fp32", help=f"one of {', '.join(PRECISIONS)}; half halves memory"
    )
    engine.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    engine.add_argument("--offline", action="store_true", help="never ask the hub")


def run(args: argparse.Namespace) -> None:
    """Check everything, then load the model, then render and write."""
    jobs = list(jobs_of(args))
    if not jobs:
        raise RequestError(f"{args.prompts}: holds no prompt; write one sentence a line")
    check_jobs(jobs, args)
    from musicgen_ldm.pipeline import MusicLDM

    model = MusicLDM.from_pretrained(
        args.checkpoint,
        device=args.device,
        precision=args.precision,
        offline=args.offline,
        reference_heads=not args.stock_heads,
    )
    left = [job for whole in jobs for job in left_of(*whole, model, args)]
    for path, request in left:
        _render(model, path, request, args)


def _render(
    model: "MusicLDM", path: Path, request: GenerateRequest, args: argparse.Namespace
) -> None:
    from musicgen_ldm.provenance import depth_keeping, write_audio

    kept, subtype = request.kept_file, args.subtype
    if kept is not None and subtype is None:
        subtype = depth_keeping(kept, path)
    finished: list[tuple[float, str]] = []
    with ProgressBar(request) as bar:
        for take in model.iterate(request, on_progress=bar.update):
            target = take_path(path, request, take.take)
            write_audio(
                take.waveform,
                target,
                record=take.record,
                subtype=subtype,
                mark=not args.no_mark,
                overwrite=args.overwrite or args.prompts is not None,
            )
            said = json.dumps({"path": str(target), **take.record})
            finished.append((take.scores["rank"], said if args.json else line(target, take)))
    for _, said in sorted(finished, key=lambda pair: -pair[0]):
        print(said)


def line(path: Path, take: "Take") -> str:
    """One take in words."""
    found = take.measured
    parts = [f"{take.waveform.seconds:.2f} s in {take.record['render_s']:.1f} s"]
    if "text_fit" in take.scores:
        parts.append(f"text fit {take.scores['text_fit']:.2f}")
    if "asked_bpm" in found:
        measured = "no pulse" if found["bpm"] is None else f"{found['bpm']:.1f}"
        parts.append(f"asked {found['asked_bpm']:g} bpm, measured {measured}")
    if "bars" in found:
        parts.append(f"asked {take.record['request']['bars']} bars, measured {found['bars']:.1f}")
    if "asked_key" in found:
        parts.append(f"asked {found['asked_key']}, measured {found['key']}")
    if "seam" in found:
        parts.append(f"seam {found['seam']:.2f}")
    parts += [f"fault: {fault}" for fault in found["faults"]]
    return f"{path}  {'; '.join(parts)}"


class ProgressBar:
    """Steps of all takes of one request on a terminal; silent in a pipe."""

    def __init__(self, request: GenerateRequest) -> None:
        from tqdm import tqdm

        self.takes = request.takes
        self.bar = tqdm(
            desc=request.conditioning_text[:40],
            unit="step",
            leave=False,
            disable=not sys.stderr.isatty(),
        )

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.close()

    def update(self, take: int, progress: "Progress") -> None:
        """Count one step."""
        if self.bar.total is None:
            self.bar.total = progress.total * self.takes
        self.bar.total = max(self.bar.total, self.bar.n + 1)  # a silent draw is drawn again
        self.bar.update()
