"""`python -m musicgen_ldm` and `accelerate launch -m musicgen_ldm`."""

import sys

from musicgen_ldm.cli.main import main

sys.exit(main())
