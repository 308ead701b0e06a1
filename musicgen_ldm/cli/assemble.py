"""Put the four trained stages together into one checkpoint folder."""

import argparse
from pathlib import Path

from musicgen_ldm.config.generation import SamplingConfig

HELP = "make a checkpoint from the four training runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("output", type=Path, metavar="FOLDER", help="checkpoint folder to write")
    for stage in ("clap", "vae", "vocoder", "ldm"):
        source = f"{stage} run folder, or a checkpoint that has it"
        parser.add_argument(f"--{stage}", type=Path, required=True, metavar="RUN", help=source)
    parser.add_argument("--name", help="what it calls itself (default: the folder's name)")
    parser.add_argument("--full-precision", action="store_true", help="float32, twice the size")
    defaults = parser.add_argument_group("default sampling, stored with the checkpoint")
    defaults.add_argument("--sampler", default="dpm++")
    defaults.add_argument("--steps", type=int, default=20)
    defaults.add_argument("--guidance", type=float, default=3.0)
    defaults.add_argument("--guidance-rescale", type=float, default=0.0)
    defaults.add_argument("--bridge", default="none")
    defaults.add_argument("--default-vocoder", default="hifi-gan", metavar="NAME")
    defaults.add_argument("--candidates", type=int, default=1)


def run(args: argparse.Namespace) -> None:
    """Assemble and print where it is."""
    from musicgen_ldm.training.assemble import STAGES, assemble

    folder = assemble(
        {stage: getattr(args, stage) for stage in STAGES},
        args.output,
        name=args.name or args.output.name,
        sampling=SamplingConfig(
            sampler=args.sampler,
            steps=args.steps,
            guidance=args.guidance,
            guidance_rescale=args.guidance_rescale,
            bridge=args.bridge,
            vocoder=args.default_vocoder,
            candidates=args.candidates,
        ),
        half=not args.full_precision,
    )
    print(f"{folder}; next: musicgen-ldm info {folder}, and complete its model card README.md")
