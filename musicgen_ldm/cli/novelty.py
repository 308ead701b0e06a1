"""Find generated music that is close to the training set, and keep the bank that answers it."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from musicgen_ldm.cli.evaluate import (
    add_shared_arguments,
    chosen_device,
    load_embedders,
    names,
    open_cache,
    print_warnings,
)
from musicgen_ldm.errors import MetricError

if TYPE_CHECKING:
    from musicgen_ldm.metrics.analysis import Analysis
    from musicgen_ldm.metrics.clips import AudioFile, Prompt
    from musicgen_ldm.metrics.embedders import Embedder
    from musicgen_ldm.metrics.neighbours import Novelty
    from musicgen_ldm.parallel import Workers

HELP = "find generated music that is close to the training set"
DEFAULT_EMBEDDERS = ("clap-pocket",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("--gen", type=Path, metavar="DIR", help="folder of generated audio")
    parser.add_argument(
        "--train", type=Path, metavar="DIR|JSONL|BANK", help="training audio, manifest or bank"
    )
    parser.add_argument(
        "--heldout", type=Path, metavar="DIR|JSONL", help="like --train, but not trained on"
    )
    parser.add_argument(
        "--heldout-split", metavar="SPLIT", help="of its manifest (default: every clip)"
    )
    parser.add_argument(
        "--train-audio", type=Path, metavar="DIR", help="where a bank's audio lies, for listening"
    )
    parser.add_argument(
        "--prompts", type=Path, metavar="JSONL",
        help="for text fit by a CLAP (default: the records beside the files)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder for results and report")
    parser.add_argument(
        "--embedder", type=names, metavar="A,B",
        help="default: the bank's, else clap-pocket; NAME-3s looks for partial copies",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the baselines (default: 0)")
    add_shared_arguments(parser)
    bank = parser.add_subparsers(dest="action", metavar="bank").add_parser(
        "bank", help="build, extend, prune or query a bank", description="Keep a novelty bank."
    )
    actions = bank.add_subparsers(dest="bank_action", required=True, metavar="ACTION")
    build = actions.add_parser("build", help="embed training audio into a new bank")
    build.add_argument("bank", type=Path, metavar="BANK")
    build.add_argument("--train", type=Path, required=True, metavar="DIR|JSONL", dest="source")
    build.add_argument("--split", default="train", help="of a manifest (default: train)")
    build.add_argument("--embedder", type=names, dest="bank_embedder", default=DEFAULT_EMBEDDERS)
    extend = actions.add_parser("extend", help="add audio to a bank")
    extend.add_argument("bank", type=Path, metavar="BANK")
    extend.add_argument("--train", type=Path, required=True, metavar="DIR|JSONL", dest="source")
    extend.add_argument("--split", default="train", help="of a manifest (default: train)")
    extend.add_argument("--embedder", type=names, dest="bank_embedder")
    prune = actions.add_parser("prune", help="remove tracks or clips")
    prune.add_argument("bank", type=Path, metavar="BANK")
    prune.add_argument("tracks", nargs="+", metavar="ID", help="clip id, track or file hash")
    query = actions.add_parser("query", help="nearest training clips of files, one JSON a line")
    query.add_argument("bank", type=Path, metavar="BANK")
    query.add_argument("files", nargs="+", type=Path, metavar="FILE")
    query.add_argument("-k", type=int, default=5, help="neighbours, at most 5 (default: 5)")
    query.add_argument("--embedder", type=names, dest="bank_embedder")
    for action in (build, extend, query):
        add_shared_arguments(action, is_nested=True)


def run(args: argparse.Namespace) -> None:
    """Measure novelty, or work on a bank."""
    if args.action == "bank":
        {"build": _build, "extend": _extend, "prune": _prune, "query": _query}[args.bank_action](
            args
        )
        return
    for option in ("gen", "train", "out"):
        if getattr(args, option) is None:
            raise MetricError(f"novelty needs --{option}; see musicgen-ldm novelty --help")
    _measure(args)


def _measure(args: argparse.Namespace) -> None:
    import numpy as np

    from musicgen_ldm.bank import Bank
    from musicgen_ldm.metrics import banking, neighbours, report
    from musicgen_ldm.metrics.clips import Source, list_audio, open_source
    from musicgen_ldm.metrics.embedders import TextEmbedder
    from musicgen_ldm.metrics.embedders.base import identify
    from musicgen_ldm.metrics.novelty_report import write_novelty
    from musicgen_ldm.metrics.results import refuse_overwriting
    from musicgen_ldm.parallel import workers as launched_workers

    refuse_overwriting(args.out, allowed=args.overwrite)
    workers, cache = launched_workers(), open_cache(args)
    gen_source = Source(list_audio(args.gen), {}, args.gen)
    given = Bank.open(args.train) if banking.is_bank(args.train) else None
    train = None if given else open_source(args.train, "train")
    held = open_source(args.heldout, args.heldout_split) if args.heldout else None
    wanted = args.embedder or ((given.embedder,) if given else DEFAULT_EMBEDDERS)
    root = args.train_audio or (train.root if train else None)
    embedders = load_embedders(wanted, args, workers)
    prompts = _prompts(args, gen_source.files, embedders)
    unread: list[str] = []

    def heard(source: Source | None) -> "list[Analysis]":
        if source is None:
            return []
        allowed = {"allow_unread": args.allow_unread}
        clips, bad = banking.embed_source(source, embedders, cache, workers, **allowed)
        unread.extend(entry.file.id for entry in bad)
        return clips

    gen, heldout, trained = heard(gen_source), heard(held), heard(train)
    if not workers.is_main:
        return
    found = []
    for embedder in embedders:
        bank = given
        if train is not None:
            bank = banking.cached_bank(trained, train, embedder, cache)
        assert bank is not None
        options = {"heldout": heldout, "device": chosen_device(args, workers), "seed": args.seed}
        one = neighbours.measure_novelty(gen, bank, embedder, **options)
        if isinstance(embedder, TextEmbedder):
            neighbours.add_text_fit(one, gen, prompts, embedder)
        neighbours.add_second_opinions(one, root, np.random.default_rng(args.seed))
        found.append(one)
    summary = {
        "n_gen": len(gen),
        "n_train": found[0].metrics["exact_copies"].n_ref,
        "n_heldout": len(heldout),
        "n_prompts": len(prompts),
        "train_sha256": identify(sorted(banking.trained_files(args.train))),
        "heldout_sha256": identify(sorted(c.sha256 for c in heldout)) if heldout else None,
        "unread": unread or None,
        "seed": args.seed,
        "embedders": {e.name: {"identity": e.identity, "dim": e.dim} for e in embedders},
        "warnings": _warnings(found, unread, set(prompts) - {c.file.prompt_id for c in gen}),
    }
    record = write_novelty(found, summary, args.out, root, overwrite=args.overwrite)
    print(report.table(record["metrics"]))
    print_warnings(summary["warnings"])


def _warnings(found: "list[Novelty]", unread: list[str], unheard: set[str]) -> list[str]:
    """Codes of the metrics and of the set as a whole, sorted."""
    codes = {code for one in found for metric in one.metrics.values() for code in metric.warnings}
    present = {"UNREAD_FILES": unread, "UNHEARD_PROMPTS": unheard}
    return sorted(codes | {code for code, names in present.items() if names})


def _prompts(
    args: argparse.Namespace, files: "list[AudioFile]", embedders: "list[Embedder]"
) -> "dict[str, Prompt]":
    """What the clips were asked to be, by prompt id, if an embedder reads sentences."""
    from musicgen_ldm.metrics.clips import check_prompts, read_prompts, recorded_prompts
    from musicgen_ldm.metrics.embedders import TextEmbedder

    if not any(isinstance(embedder, TextEmbedder) for embedder in embedders):
        if args.prompts:
            raise MetricError("--prompts needs a CLAP that reads them; add clap-NAME to --embedder")
        return {}
    prompts = read_prompts(args.prompts) if args.prompts else recorded_prompts(files)
    check_prompts(files, prompts, args.prompts, allow_missing=args.allow_missing)
    return prompts


def _embedder(args: argparse.Namespace, default: str) -> "tuple[Embedder, Workers]":
    from musicgen_ldm.parallel import workers as launched_workers

    workers = launched_workers()
    wanted = args.bank_embedder or (default,)
    if len(wanted) != 1:
        raise MetricError("a bank has one embedder; build one bank for each")
    return load_embedders(wanted, args, workers)[0], workers


def _build(args: argparse.Namespace) -> None:
    from musicgen_ldm.metrics import banking
    from musicgen_ldm.metrics.clips import open_source

    embedder, workers = _embedder(args, DEFAULT_EMBEDDERS[0])
    bank = banking.build_bank(
        args.bank,
        open_source(args.source, args.split),
        embedder,
        open_cache(args),
        workers,
        allow_unread=args.allow_unread,
        overwrite=args.overwrite,
    )
    print(f"{bank.folder}: {len(bank)} rows of {bank.embedder}")


def _extend(args: argparse.Namespace) -> None:
    from musicgen_ldm import bank as banks
    from musicgen_ldm.metrics import banking
    from musicgen_ldm.metrics.clips import open_source
    from musicgen_ldm.metrics.neighbours import check_bank

    bank = banks.Bank.open(args.bank)
    embedder, workers = _embedder(args, bank.embedder)
    check_bank(bank, embedder)
    source = open_source(args.source, args.split)
    clips, _ = banking.embed_source(
        source, [embedder], open_cache(args), workers, allow_unread=args.allow_unread
    )
    before = len(bank)
    bank = banks.extend(bank, banking.rows(clips, source, embedder))
    print(f"{bank.folder}: {len(bank)} rows, {len(bank) - before} of them new")


def _prune(args: argparse.Namespace) -> None:
    from musicgen_ldm import bank as banks

    bank, removed = banks.prune(banks.Bank.open(args.bank), args.tracks)
    print(f"{bank.folder}: removed {removed} rows, {len(bank)} remain")


def _query(args: argparse.Namespace) -> None:
    from musicgen_ldm.bank import Bank
    from musicgen_ldm.metrics import banking
    from musicgen_ldm.metrics.clips import AudioFile, Source
    from musicgen_ldm.metrics.neighbours import check_bank, nearest_clips

    bank = Bank.open(args.bank)
    embedder, workers = _embedder(args, bank.embedder)
    check_bank(bank, embedder)
    files = [AudioFile(str(path), path) for path in args.files]
    source = Source(files, {}, Path())
    clips, _ = banking.embed_source(
        source, [embedder], open_cache(args), workers, allow_unread=args.allow_unread
    )
    for found in nearest_clips(clips, bank, embedder, device=chosen_device(args, workers)):
        neighbours = [{"similarity": n.similarity, **n.entry} for n in found.neighbours[: args.k]]
        print(json.dumps({"path": found.clip.file.id, "neighbours": neighbours},
                         ensure_ascii=False))  # fmt: skip
