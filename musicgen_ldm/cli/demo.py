"""Open the web demo on this machine."""

import argparse

HELP = "open the web demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    from musicgen_ldm.ui.options import add_arguments as add_demo_arguments

    add_demo_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Serve the page until interrupted."""
    from musicgen_ldm.ui.options import config_from

    config = config_from(args)  # refuses before seconds of imports
    from musicgen_ldm.ui.serve import serve

    serve(config, announce=print)
