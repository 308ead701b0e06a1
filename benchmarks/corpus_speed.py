"""How fast clips are made: CPU seconds each, and how many times real time on one core.

    OMP_NUM_THREADS=1 python benchmarks/corpus_speed.py [--clips 40]

Soundfonts are loaded and kernels compiled on a first run over the same clips, not counted.
"""

import argparse
import resource
import time

from musicgen_ldm.corpus.clip import make_clip
from musicgen_ldm.corpus.compose import compose
from musicgen_ldm.corpus.recipe import PRESETS, plan_clips
from musicgen_ldm.corpus.render import SoundBank


def main() -> None:
    """Print the speed of composing alone and of the whole clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    plans = plan_clips(PRESETS["train"], args.clips, args.seed)
    bank = SoundBank.open()
    for plan in plans:
        make_clip(plan, bank)
    start = time.process_time()
    for plan in plans:
        make_clip(plan, bank)
    whole = (time.process_time() - start) / len(plans)
    start = time.process_time()
    for plan in plans:
        compose(plan.seed, genre=plan.genre, split=plan.split)
    composing = (time.process_time() - start) / len(plans)
    seconds = sum(plan.clip_seconds for plan in plans) / len(plans)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{whole:.3f} CPU s a clip, {seconds / whole:.0f}x real time; "
        f"of it composing {composing:.3f} s; {memory:.2f} GiB"
    )


if __name__ == "__main__":
    main()
