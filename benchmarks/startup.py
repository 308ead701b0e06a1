"""How long `musicgen-ldm --help` takes, beside an empty Python process.

    python benchmarks/startup.py [--runs 20]

Target: under 0.3 s for the help.
"""

import argparse
import statistics
import subprocess
import sys
import time

TARGET_S = 0.3
COMMANDS = {
    "empty process": ["-c", "pass"],
    "import musicgen_ldm": ["-c", "import musicgen_ldm"],
    "musicgen-ldm --help": ["-m", "musicgen_ldm", "--help"],
    "musicgen-ldm generate --help": ["-m", "musicgen_ldm", "generate", "--help"],
}


def seconds(arguments: list[str]) -> float:
    """Wall time of one Python process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Measure each command in turn and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    for name, arguments in COMMANDS.items():
        seconds(arguments)  # fills the disk cache
        times = [seconds(arguments) for _ in range(runs)]
        print(
            f"{name:30} median {statistics.median(times):.3f} s, "
            f"min {min(times):.3f}, max {max(times):.3f}, n={runs}"
        )
    print(f"target for --help: {TARGET_S} s")


if __name__ == "__main__":
    main()
