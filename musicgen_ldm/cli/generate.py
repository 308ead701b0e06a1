"""Turn a sentence into music files."""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicgen_ldm.config.generation import (
    MAX_SECONDS,
    PRECISIONS,
    SAMPLERS,
    VOCODERS,
    Blend,
    GenerateRequest,
)
from musicgen_ldm.errors import MusicGenError, OutputError, RequestError
from musicgen_ldm.prompts import read_prompts

if TYPE_CHECKING:
    from musicgen_ldm.pipeline import MusicLDM, Take
    from musicgen_ldm.sampling import Progress

HELP = "turn a sentence into music files"
FORMATS = ("wav", "flac", "ogg", "mp3")
DEFAULT_FOLDER = Path("outputs")
MAX_NAME_CHARACTERS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("prompt", nargs="?", default="", help="what the music should sound like")
    files = parser.add_argument_group("files")
    files.add_argument("-o", "--output", type=Path, help="file, or folder for several takes")
    files.add_argument("--format", choices=FORMATS, help="default: the output's suffix, or wav")
    files.add_argument("--subtype", choices=("16", "24", "float"), help="sample depth")
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
    engine.add_argument("--stock-heads", action="store_true", help="do not correct head counts")
    engine.add_argument(
        "--precision", default="fp32", help=f"one of {', '.join(PRECISIONS)}; half halves memory"
    )
    engine.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    engine.add_argument("--offline", action="store_true", help="never ask the hub")


def run(args: argparse.Namespace) -> None:
    """Check everything, then load the model, then render and write."""
    jobs = list(_jobs(args))
    if not jobs:
        raise RequestError(f"{args.prompts}: holds no prompt; write one sentence a line")
    _check_jobs(jobs, args)
    from musicgen_ldm.pipeline import MusicLDM

    model = MusicLDM.from_pretrained(
        args.checkpoint,
        device=args.device,
        precision=args.precision,
        offline=args.offline,
        reference_heads=not args.stock_heads,
    )
    left = [job for job in jobs if not _is_done(*job, model, args)]
    for path, request in left:
        _render(model, path, request, args)


def request_from(args: argparse.Namespace, overrides: dict[str, Any]) -> GenerateRequest:
    """The request of the options, with the fields of one line of a prompts file on top."""
    sampling = {
        "sampler": args.sampler,
        "steps": args.steps,
        "guidance": args.guidance,
        "guidance_rescale": args.guidance_rescale,
        "eta": args.eta,
        "bridge": args.bridge,
        "vocoder": args.vocoder,
    }
    if args.guidance_interval is not None:
        sampling["guidance_interval"] = parse_range(args.guidance_interval, "--guidance-interval")
    values: dict[str, Any] = {
        "prompt": args.prompt,
        "negative_prompt": args.negative,
        "seconds": args.seconds,
        "seed": args.seed,
        "takes": args.takes,
        "first_take": args.take,
        "bpm": args.bpm,
        "key": args.key,
        "bars": args.bars,
        "loop": args.loop,
        "audio_prompt": args.audio_prompt,
        "init": args.init,
        "strength": args.strength,
        "repaint": tuple(parse_range(text, "--repaint") for text in args.repaint),
        "continue_file": args.continue_file,
        "continue_side": args.continue_side,
        "sampling": {name: value for name, value in sampling.items() if value is not None},
    }
    blends = [Blend(text=text, weight=weight) for text, weight in map(parse_blend, args.blend)]
    blends += [Blend(audio=f, weight=weight) for f, weight in map(parse_blend, args.blend_audio)]
    from_file = GenerateRequest.from_json({"prompt": "-", **overrides}).to_json()
    chosen = {name: from_file[name] for name in overrides}
    return GenerateRequest(**{**values, "blends": tuple(blends), **chosen})


def parse_range(text: str, option: str) -> tuple[float, float]:
    """Two numbers written as `A-B`."""
    match = re.fullmatch(r"\s*([0-9.]+)\s*-\s*([0-9.]+)\s*", text)
    try:
        if match:
            return float(match[1]), float(match[2])
    except ValueError:
        pass
    raise RequestError(f"{option} {text!r}; write START-END, for example 3-6")


def parse_blend(text: str) -> tuple[str, float]:
    """Text and weight written as `TEXT:0.3`."""
    name, _, weight = text.rpartition(":")
    try:
        return name, float(weight)
    except ValueError:
        raise RequestError(
            f"blend {text!r}; write TEXT:WEIGHT, for example 'strings:0.3'"
        ) from None


def _jobs(args: argparse.Namespace) -> Iterator[tuple[Path, GenerateRequest]]:
    """Path of the first take and request, one a prompt."""
    suffix = f".{args.format}" if args.format else ".wav"
    if args.prompts is None:
        request = request_from(args, {})
        path = args.output or DEFAULT_FOLDER
        if path.suffix.lower().lstrip(".") not in FORMATS:
            path = path / f"{slug(request)}{suffix}"
        elif args.format and path.suffix.lower() != suffix:
            raise RequestError(f"-o {path} and --format {args.format} disagree; give one of them")
        yield path, request
        return
    if args.prompt:
        raise RequestError("give a prompt or --prompts FILE, not both")
    folder = args.output or DEFAULT_FOLDER
    names: set[str] = set()
    for number, line in read_prompts(args.prompts):
        name = str(line.pop("id", f"{number:04d}"))
        if not re.fullmatch(r"[\w.-]+", name) or name.startswith(".") or name in names:
            raise RequestError(
                f"{args.prompts}:{number}: id {name!r} must be unique and of letters, digits, . _ -"
            )
        names.add(name)
        try:
            request = request_from(args, line)
        except RequestError as error:
            raise RequestError(f"{args.prompts}:{number}: {error}") from error
        yield folder / f"{name}{suffix}", request


def slug(request: GenerateRequest) -> str:
    """A file name that says what is inside."""
    words = re.sub(r"\W+", "-", request.conditioning_text.lower()).strip("-") or "audio-prompt"
    return f"{words[:MAX_NAME_CHARACTERS].rstrip('-')}-{request.seed}"


def take_path(path: Path, request: GenerateRequest, take: int) -> Path:
    """Where a take goes: the path itself if there is only one, else with its number."""
    if request.takes == 1:
        return path
    return path.with_name(f"{path.stem}-take{take}{path.suffix}")


def _paths(path: Path, request: GenerateRequest) -> list[Path]:
    last = request.first_take + request.takes
    return [take_path(path, request, take) for take in range(request.first_take, last)]


def _is_done(
    path: Path, request: GenerateRequest, model: "MusicLDM", args: argparse.Namespace
) -> bool:
    """Whether an earlier run of this prompts file has written all takes of a request.

    Raises:
        OutputError: If a file of that name was made from something else.
    """
    if args.prompts is None or args.overwrite:
        return False
    targets = _paths(path, request)
    for number, target in enumerate(targets, start=request.first_take):
        alone = replace(request, takes=1, first_take=number)
        if target.exists() and _origin(target) != (alone, model.identity, model.loaded):
            raise OutputError(
                f"{target}: exists already, from another request, checkpoint or precision; "
                "choose another folder with -o, or add --overwrite"
            )
    return all(target.exists() for target in targets)


def _origin(path: Path) -> tuple[GenerateRequest, str, dict[str, Any]] | None:
    """Request, checkpoint and how it was loaded for a file that we wrote; None for any other."""
    from musicgen_ldm.provenance import read_record

    try:
        record = read_record(path)
        request = GenerateRequest.from_json(record["request"])
        return request, record["checkpoint"]["sha256"], record["loaded"]
    except (MusicGenError, KeyError):
        return None


def _check_jobs(jobs: list[tuple[Path, GenerateRequest]], args: argparse.Namespace) -> None:
    """Refuse before any work what would fail after it."""
    from musicgen_ldm.measure import parse_key
    from musicgen_ldm.provenance import check_target

    is_resumable = args.prompts is not None
    for path, request in jobs:
        if request.key is not None:
            parse_key(request.key)
        for target in _paths(path, request):
            check_target(target, subtype=args.subtype, overwrite=args.overwrite or is_resumable)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path.parent}: cannot be made ({error.strerror})") from error
        if not os.access(path.parent, os.W_OK):
            raise OutputError(f"{path.parent}: is read-only; choose another folder with -o")


def _render(
    model: "MusicLDM", path: Path, request: GenerateRequest, args: argparse.Namespace
) -> None:
    from musicgen_ldm.provenance import write_audio

    finished: list[tuple[float, str]] = []
    with ProgressBar(request) as bar:
        for take in model.iterate(request, on_progress=bar.update):
            target = take_path(path, request, take.take)
            write_audio(
                take.waveform,
                target,
                record=take.record,
                subtype=args.subtype,
                mark=not args.no_mark,
                overwrite=args.overwrite or args.prompts is not None,
            )
            said = json.dumps({"path": str(target), **take.record})
            finished.append((take.scores["rank"], said if args.json else line(target, take)))
    for _, said in sorted(finished, key=lambda pair: -pair[0]):
        print(said)


def line(path: Path, take: "Take") -> str:
    """One take in words."""
    asked, found = take.record["request"], take.measured
    parts = [f"{take.waveform.seconds:.2f} s in {take.record['render_s']:.1f} s"]
    if "text_fit" in take.scores:
        parts.append(f"text fit {take.scores['text_fit']:.2f}")
    if asked["bpm"] is not None:
        measured = "no pulse" if found.get("bpm") is None else f"{found['bpm']:.1f}"
        parts.append(f"asked {asked['bpm']:g} bpm, measured {measured}")
    if asked["key"] is not None and "key" in found:
        parts.append(f"asked {asked['key']}, measured {found['key']}")
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
        self.bar.update()
