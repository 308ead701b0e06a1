"""Measure a folder of generated audio, or compare measured folders."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics.names import METRICS, PRESET_NAMES

if TYPE_CHECKING:
    from musicgen_ldm.metrics.cache import Cache
    from musicgen_ldm.metrics.embedders import Embedder
    from musicgen_ldm.metrics.request import Evaluation, EvaluationRequest
    from musicgen_ldm.parallel import Workers

HELP = "measure a folder of generated audio"
EXIT_FAILED_CHECK = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("--gen", type=Path, metavar="DIR", help="folder of generated audio")
    parser.add_argument(
        "--ref", type=Path, metavar="DIR|JSONL|NPZ",
        help="reference audio: folder, manifest, or statistics of it",
    )  # fmt: skip
    parser.add_argument("--ref-split", metavar="SPLIT", help="of a manifest (default: every clip)")
    parser.add_argument(
        "--train", type=Path, metavar="DIR|JSONL|BANK",
        help="training audio, to warn of overlap (default: the bank beside an embedding CLAP)",
    )  # fmt: skip
    parser.add_argument(
        "--prompts", type=Path, metavar="JSONL", help="default: the records beside the files"
    )
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder for results and report")
    parser.add_argument(
        "--metrics", type=names, default=METRICS, metavar="A,B", help=f"of {', '.join(METRICS)}"
    )
    parser.add_argument(
        "--embedder",
        type=names,
        metavar="A,B",
        help="tagger, logmel, chroma, clap-NAME, ast, panns, … (default: the preset's)",
    )
    parser.add_argument("--preset", choices=PRESET_NAMES, default="v1", help="(default: v1)")
    parser.add_argument("--is-splits", type=int, metavar="N", help="parts of the inception score")
    parser.add_argument("--seed", type=int, default=0, help="of subsets and groups (default: 0)")
    parser.add_argument("--save-stats", type=Path, metavar="DIR", help="write the reference's .npz")
    parser.add_argument("--card", type=Path, metavar="README", help="put the metrics in this card")
    add_shared_arguments(parser)
    compare = parser.add_subparsers(dest="action", metavar="compare").add_parser(
        "compare", help="paired tests between runs", description="Compare runs with the first."
    )
    compare.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the first is the base")
    compare.add_argument(
        "--fail-if", action="append", default=[], metavar="EXPRESSION",
        help='for example "fad.clap-music.v1 > base+2se"; exit code 1 if it holds',
    )  # fmt: skip
    compare.add_argument("--json", action="store_true", help="print JSON instead of a table")


def add_shared_arguments(parser: argparse.ArgumentParser, *, is_nested: bool = False) -> None:
    """Options of every verb that reads folders of audio.

    Nested under a parser that has them too, they leave a value given there alone.
    """
    text = argparse.SUPPRESS if is_nested else None
    flag = argparse.SUPPRESS if is_nested else False
    device = argparse.SUPPRESS if is_nested else "auto"
    parser.add_argument("--cache", type=Path, metavar="DIR", default=text, help="of embeddings")
    parser.add_argument("--device", default=device, help="auto, cpu, cuda or mps")
    for name, meaning in (
        ("offline", "never ask the hub"),
        ("overwrite", "replace existing results"),
        ("allow-unread", "go on without broken files"),
        ("allow-missing", "go on without unpaired clips"),
    ):
        parser.add_argument(f"--{name}", action="store_true", default=flag, help=meaning)


def names(text: str) -> tuple[str, ...]:
    """A list written with commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def run(args: argparse.Namespace) -> int:
    """Evaluate or compare; the exit code is 1 if a check fails."""
    if args.action == "compare":
        return _compare(args)
    for option in ("gen", "out"):
        if getattr(args, option) is None:
            raise MetricError(f"evaluate needs --{option}; see musicgen-ldm evaluate --help")
    from dataclasses import replace

    from musicgen_ldm.metrics import evaluation
    from musicgen_ldm.metrics.presets import get_preset
    from musicgen_ldm.metrics.request import EvaluationRequest
    from musicgen_ldm.metrics.results import refuse_overwriting
    from musicgen_ldm.parallel import workers as launched_workers

    refuse_overwriting(args.out, allowed=args.overwrite)
    if args.save_stats and (args.ref is None or args.ref.suffix == ".npz"):
        raise MetricError("--save-stats needs --ref with a folder or manifest of audio")
    preset = get_preset(args.preset)
    if args.is_splits is not None:
        preset = replace(preset, is_splits=args.is_splits)
    workers = launched_workers()
    embedders = load_embedders(args.embedder or preset.embedders, args, workers)
    request = EvaluationRequest(
        gen=args.gen,
        ref=args.ref,
        ref_split=args.ref_split,
        train=args.train,
        prompts=args.prompts,
        metrics=args.metrics,
        preset=preset,
        seed=args.seed,
        allow_unread=args.allow_unread,
        allow_missing=args.allow_missing,
    )
    found = evaluation.evaluate(request, embedders, open_cache(args), workers)
    if not workers.is_main:
        return 0
    if args.save_stats:
        _save_statistics(found, embedders, request, args.save_stats)
    return _publish(found, args)


def _publish(found: "Evaluation", args: argparse.Namespace) -> int:
    """Write everything that was asked for and print the table."""
    from musicgen_ldm.metrics import evaluation, obedience_report, report
    from musicgen_ldm.metrics.card import update_card
    from musicgen_ldm.metrics.families import silent_reason

    record = evaluation.write(found, args.out, overwrite=args.overwrite)
    report.write_report(found, record, args.out)
    if args.card:
        update_card(args.card, record)
    print(report.table(record["metrics"]))
    obedience = obedience_report.table(record["metrics"])
    if obedience:
        print(f"\n{obedience}")
    print_warnings(record["summary"]["warnings"])
    reason = silent_reason(found)
    if reason:
        print(f"error: {reason}", file=sys.stderr)
        return EXIT_FAILED_CHECK
    return 0


def load_embedders(
    wanted: tuple[str, ...], args: argparse.Namespace, workers: "Workers"
) -> "list[Embedder]":
    """The embedders of the named kinds on the chosen device."""
    from musicgen_ldm.metrics import embedders

    device = chosen_device(args, workers)
    return embedders.load_embedders(wanted, device=device, offline=args.offline)


def chosen_device(args: argparse.Namespace, workers: "Workers") -> str:
    """The device of the options; "auto" is that of this worker."""
    if args.device == "auto":
        return workers.device
    from musicgen_ldm.pipeline.musicldm import choose_device

    return str(choose_device(args.device))


def print_warnings(codes: list[str]) -> None:
    """What is wrong with the set as a whole, in words on the error stream."""
    from musicgen_ldm.metrics.results import WARNINGS

    for code in codes:
        print(f"warning: {WARNINGS[code]} ({code})", file=sys.stderr)


def open_cache(args: argparse.Namespace) -> "Cache":
    """The cache that the options name."""
    from musicgen_ldm.metrics.cache import Cache, default_root

    return Cache(args.cache or default_root())


def _save_statistics(
    found: "Evaluation", embedders: "list[Embedder]", request: "EvaluationRequest", folder: Path
) -> None:
    from musicgen_ldm.metrics.analysis import feature_identity
    from musicgen_ldm.metrics.moments import GroupedMoments, save_moments

    folder.mkdir(parents=True, exist_ok=True)
    for embedder in embedders:
        _, ref = found.embedded[embedder.name]
        assert ref is not None
        save_moments(
            folder / f"{embedder.name}.npz",
            GroupedMoments.of(ref.frames, ref.clips, seed=request.seed),
            embedder=embedder.name,
            identity=feature_identity(embedder, request.preset),
        )


def _compare(args: argparse.Namespace) -> int:
    import json

    from musicgen_ldm.metrics import compare

    comparison = compare.compare(args.runs)
    failures = compare.failures(comparison, args.fail_if)
    if args.json:
        print(json.dumps(compare.to_json(comparison), indent=1))
    else:
        print(compare.table(comparison))
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return EXIT_FAILED_CHECK if failures else 0
