"""Say whether files were made by musicgen-ldm, with what, and whether their audio is unchanged."""

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING

from musicgen_ldm.errors import MusicGenError

if TYPE_CHECKING:
    from musicgen_ldm.provenance import Verification

HELP = "say whether a file carries our record and mark"

EXIT_INTACT = 0
EXIT_NOT_OURS_OR_ALTERED = 1
EXIT_ERROR = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to `parser`."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="audio files")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.epilog = (
        "exit code: 0 all files are ours and unchanged, 1 a file is not ours or was changed, "
        "2 a file cannot be read"
    )


def run(args: argparse.Namespace) -> int:
    """Verify each file; a file that cannot be read does not stop the others."""
    from musicgen_ldm.provenance import verify

    exit_code = EXIT_INTACT
    for name in args.files:
        try:
            result = verify(name)
        except MusicGenError as error:
            exit_code = EXIT_ERROR
            if args.json:
                print(json.dumps({"file": name, "error": str(error)}, ensure_ascii=False))
            else:
                print(f"error: {error}", file=sys.stderr)
            continue
        if not (result.made_by_us and result.intact):
            exit_code = max(exit_code, EXIT_NOT_OURS_OR_ALTERED)
        if args.json:
            fields = {"file": name, **dataclasses.asdict(result)}
            print(json.dumps(fields, ensure_ascii=False, sort_keys=True))
        else:
            print(_sentence(name, result))
    return exit_code


def _sentence(name: str, result: "Verification") -> str:
    """The verdict on one line, the notes indented below it."""
    if not result.made_by_us:
        verdict = "not made by musicgen_ldm, as far as the file tells"
    else:
        version = result.record["generator"].get("version") if result.record else None
        state = "unchanged" if result.intact else "CHANGED"
        verdict = f"made by musicgen_ldm {version}, audio {state}"
    prompt = (result.record or {}).get("prompt")
    lines = [f"{name}: {verdict}"]
    lines += [f"  prompt: {prompt}"] if prompt else []
    return "\n".join(lines + [f"  {note}" for note in result.notes])
