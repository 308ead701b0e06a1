"""Turn a folder of music into training data, or say what is wrong with it (--check)."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from musicgen_ldm.config.prepare import PrepareConfig
    from musicgen_ldm.prepare.doctor import Finding

HELP = "turn a folder of your own music into training data"

EXIT_FINE = 0
EXIT_UNUSABLE = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder with music")
    parser.add_argument("--out", metavar="DATA", type=Path, help="folder for manifest and report")
    parser.add_argument("--check", action="store_true", help="examine DIR and write nothing")
    parser.add_argument("--licence", metavar="NAME",
                        help="of tracks that do not state one, e.g. CC-BY-4.0")  # fmt: skip
    parser.add_argument("--source", metavar="TEXT", help="where the recordings come from")
    parser.add_argument("--attribution", metavar="TEXT", help="whom to name")
    parser.add_argument("--captions", metavar="CSV", type=Path,
                        help="table with columns path and caption")  # fmt: skip
    parser.add_argument("--clip-seconds", type=float, metavar="S", help="default: 10.24")
    parser.add_argument("--min-seconds", type=float, metavar="S",
                        help="leave out shorter pieces (default: 5)")  # fmt: skip
    parser.add_argument("--valid-fraction", type=float, metavar="X", help="default: 0.05")
    parser.add_argument("--test-fraction", type=float, metavar="X", help="default: 0.05")
    parser.add_argument("--tracker", metavar="NAME", help="beat tracker (default: auto)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--shards", action="store_true", help="also write WebDataset shards")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.epilog = (
        "captions are read from song.txt, song.json, the table or the file's own tags. "
        "exit code: 0 fine, 1 some file is left out, 2 nothing could be done"
    )


def run(args: argparse.Namespace) -> int:
    """Check or prepare."""
    from musicgen_ldm.errors import RequestError
    from musicgen_ldm.prepare.captions import read_table

    if args.out is None and not args.check:
        raise RequestError("prepare needs --out DATA to write to, or --check to write nothing")
    if args.workers < 1:
        raise RequestError(f"--workers {args.workers}: must be at least 1")
    table = read_table(args.captions) if args.captions else None
    return (_check if args.check else _prepare)(args, _config(args), table)


def _config(args: argparse.Namespace) -> "PrepareConfig":
    from musicgen_ldm.config.prepare import PrepareConfig

    names = ("licence", "source", "attribution", "clip_seconds", "min_seconds", "valid_fraction",
             "test_fraction", "tracker")  # fmt: skip
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return PrepareConfig(**given)


def _check(args: argparse.Namespace, config: "PrepareConfig", table: Any) -> int:
    from musicgen_ldm.prepare import examine
    from musicgen_ldm.prepare.build import findings_json
    from musicgen_ldm.prepare.doctor import table_of

    collection, findings = examine(
        args.folder, config, table=table, workers=args.workers, show_progress=True
    )
    if args.json:
        record = {
            "schema": 1,
            "tracks": len(collection.tracks),
            "hours": round(sum(track.seconds for track in collection.tracks) / 3600, 4),
            "findings": findings_json(findings),
        }
        print(json.dumps(record, ensure_ascii=False))
    else:
        print(f"{len(collection.tracks)} audio files below {args.folder}")
        print(table_of(findings))
    return _exit_code(findings)


def _prepare(args: argparse.Namespace, config: "PrepareConfig", table: Any) -> int:
    from musicgen_ldm.parallel import workers
    from musicgen_ldm.prepare import prepare
    from musicgen_ldm.prepare.shards import write_shards

    launched = workers()
    prepared = prepare(
        args.folder, args.out, config, table=table, workers=args.workers,
        show_progress=launched.is_main, launched=launched if launched.count > 1 else None,
    )  # fmt: skip
    if not launched.is_main:
        return EXIT_FINE
    shards = write_shards(args.out, prepared.clips, show_progress=True) if args.shards else []
    totals = prepared.totals()
    if args.json:
        record = {"manifest": str(prepared.manifest), **totals, "shards": [str(s) for s in shards]}
        print(json.dumps(record, ensure_ascii=False))
    else:
        print(f"{totals['clips']} clips of {totals['tracks']} tracks, {totals['hours']:.2f} h: "
              f"{prepared.manifest}")  # fmt: skip
        print("splits:   " + _counts(totals["splits"]))
        print("licences: " + _counts(totals["licences"]))
        print(_advice(prepared.findings, args.out))
    # A launcher of several processes would take another code for a crash.
    return _exit_code(prepared.findings) if launched.count == 1 else EXIT_FINE


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _advice(findings: "Sequence[Finding]", out: Path) -> str:
    if not findings:
        return "nothing to complain about"
    left_out = len({finding.path for finding in findings if finding.is_left_out})
    return f"files left out: {left_out}, findings: {len(findings)}, see {out / 'report.json'}"


def _exit_code(findings: "Sequence[Finding]") -> int:
    return EXIT_UNUSABLE if any(finding.is_left_out for finding in findings) else EXIT_FINE
