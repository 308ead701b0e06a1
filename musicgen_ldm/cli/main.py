"""The `musicgen-ldm` command: one verb a module, each imported only as far as argparse needs.

A verb module offers `HELP`, `add_arguments(parser)` and `run(args)`. It imports torch and its
like inside `run`, so that `--help` answers at once.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from musicgen_ldm import __version__
from musicgen_ldm.errors import MusicGenError, is_full_disk, is_full_memory

VERBS = ("generate", "info", "verify", "reproduce", "demo", "corpus", "prepare", "train",
         "mixup", "assemble", "evaluate", "novelty")  # fmt: skip

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error does."""

    def error(self, message: str) -> NoReturn:
        """Print it and leave."""
        self.exit(EXIT_USER_ERROR, f"error: {message}; see `{self.prog} --help`\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command and of all its verbs."""
    parser = Parser(
        prog="musicgen-ldm", description="Text-to-music latent diffusion: generate, train, measure."
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name in VERBS:
        module = import_module(f"musicgen_ldm.cli.{name}")
        verb = verbs.add_parser(name, help=module.HELP, description=module.__doc__)
        module.add_arguments(verb)
        verb.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        args = build_parser().parse_args(argv)
        code = args.run(args) or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read our output has seen enough, as `head` does; nothing can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except MusicGenError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except (OSError, ImportError, MemoryError) as error:  # which any line of a library may meet
        if is_full_disk(error):
            remedy = "the disk is full; free some space"
        elif is_full_memory(error):
            remedy = "the memory is full; close other programs"
        else:
            raise
        where = getattr(error, "filename", None)
        place = f"{where}: " if where else ""
        print(f"error: {place}{remedy} and repeat the command", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("interrupted; finished files are kept", file=sys.stderr)
        return EXIT_INTERRUPTED
