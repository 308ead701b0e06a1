"""What `generate` has to render: requests from options and prompts files, and their files."""

import argparse
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicgen_ldm.config.generation import Blend, GenerateRequest
from musicgen_ldm.errors import MusicGenError, OutputError, RequestError
from musicgen_ldm.prompts import file_name, read_prompts

if TYPE_CHECKING:
    from musicgen_ldm.pipeline import MusicLDM

FORMATS = ("wav", "flac", "ogg", "mp3")
DEFAULT_FOLDER = Path("outputs")
MAX_NAME_CHARACTERS = 60

Job = tuple[Path, GenerateRequest]  # path of the first take


def jobs_of(args: argparse.Namespace) -> Iterator[Job]:
    """Path of the first take and request, one a prompt."""
    suffix = f".{args.format}" if args.format else ".wav"
    if args.prompts is None:
        request = request_from(args, {})
        path = args.output or DEFAULT_FOLDER
        if path.suffix.lower().lstrip(".") not in FORMATS:
            _require_folder(path)
            path = path / f"{slug(request)}{suffix}"
        elif args.format and path.suffix.lower() != suffix:
            raise RequestError(f"-o {path} and --format {args.format} disagree; give one of them")
        yield path, request
        return
    if args.prompt:
        raise RequestError("give a prompt or --prompts FILE, not both")
    folder = args.output or DEFAULT_FOLDER
    _require_folder(folder)
    names: set[str] = set()
    for number, line in read_prompts(args.prompts):
        try:
            name = file_name(line.pop("id", None), number, names)
            request = request_from(args, line)
        except RequestError as error:
            raise RequestError(f"{args.prompts}:{number}: {error}") from error
        names.add(name)
        yield folder / f"{name}{suffix}", request


def _require_folder(path: Path) -> None:
    """Refuse what is meant as a file: `song.m4a`, `/dev/null`, `all.wav` for many prompts."""
    if path.is_dir():
        return
    if path.exists():
        raise OutputError(f"-o {path}: is no folder; give a folder, or a file ending in "
                          f"{', '.join(FORMATS)} for a single prompt")  # fmt: skip
    if re.fullmatch(r"\.[a-z][a-z0-9]{1,4}", path.suffix.lower()):
        raise OutputError(
            f"-o {path}: {path.suffix} files are not written here; give a folder, or for a single "
            f"prompt a file ending in {', '.join(FORMATS)}"
        )


def slug(request: GenerateRequest) -> str:
    """A file name that says what is inside."""
    words = re.sub(r"\W+", "-", request.conditioning_text.lower()).strip("-") or "audio-prompt"
    return f"{words[:MAX_NAME_CHARACTERS].rstrip('-')}-{request.seed}"


def take_path(path: Path, request: GenerateRequest, take: int) -> Path:
    """Where a take goes: the path itself if there is only one, else with its number."""
    if request.takes == 1:
        return path
    return path.with_name(f"{path.stem}-take{take}{path.suffix}")


def paths_of(path: Path, request: GenerateRequest) -> list[Path]:
    """Where all takes of a request go."""
    last = request.first_take + request.takes
    return [take_path(path, request, take) for take in range(request.first_take, last)]


def left_of(
    path: Path, request: GenerateRequest, model: "MusicLDM", args: argparse.Namespace
) -> list[Job]:
    """What an earlier run of this prompts file has left of a job: all, some takes or nothing.

    Raises:
        OutputError: If a file of that name was made from something else.
    """
    if args.prompts is None or args.overwrite:
        return [(path, request)]
    left: list[Job] = []
    targets = paths_of(path, request)
    for number, target in enumerate(targets, start=request.first_take):
        alone = replace(request, takes=1, first_take=number)
        if not target.exists():
            left.append((target, alone))
        elif _origin(target) != (alone, model.identity, model.loaded):
            raise OutputError(
                f"{target}: exists already, from another request, checkpoint or precision; "
                "choose another folder with -o, or add --overwrite"
            )
    return [(path, request)] if len(left) == len(targets) else left


def _origin(path: Path) -> tuple[GenerateRequest, str, dict[str, Any]] | None:
    """Request, checkpoint and how it was loaded for a file that we wrote; None for any other."""
    from musicgen_ldm.provenance import how_loaded, read_record

    try:
        record = read_record(path)
        request = GenerateRequest.from_json(record["request"])
        return request, record["checkpoint"]["sha256"], how_loaded(record)
    except (MusicGenError, KeyError):
        return None


def check_jobs(jobs: list[Job], args: argparse.Namespace) -> None:
    """Refuse before any work what would fail after it."""
    from musicgen_ldm.measure import parse_key
    from musicgen_ldm.provenance import check_target

    is_resumable = args.prompts is not None
    for path, request in jobs:
        if request.key is not None:
            parse_key(request.key)
        for target in paths_of(path, request):
            replaces = args.overwrite or is_resumable
            check_target(target, subtype=args.subtype, overwrite=replaces, like=request.kept_file)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path.parent}: cannot be made ({error.strerror})") from error
        if not os.access(path.parent, os.W_OK):
            raise OutputError(f"{path.parent}: is read-only; choose another folder with -o")


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
        "candidates": args.candidates,
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
    if "sampling" in chosen:
        chosen["sampling"] = values["sampling"] | chosen["sampling"]
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
