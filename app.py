"""Open the web demo: `python app.py`, then http://127.0.0.1:7860 in a browser."""

import argparse
import sys

from musicgen_ldm.errors import MusicGenError
from musicgen_ldm.ui.options import add_arguments

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    arguments = parser.parse_args()
    try:
        from musicgen_ldm.ui.serve import serve

        serve(arguments)
    except MusicGenError as error:
        sys.exit(f"error: {error}")
