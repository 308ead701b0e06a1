"""Open the web demo: `python app.py`, the same as `musicgen-ldm demo`."""

import sys

from musicgen_ldm.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
