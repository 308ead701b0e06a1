"""Train one stage: clap, vae, vocoder, ldm or beats.

`accelerate launch -m musicgen_ldm train …` does the same on several processes.
"""

import argparse
import json
import logging
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

HELP = "train one stage from a configuration file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", metavar="CONFIG", help="YAML file, e.g. configs/pocket/vae.yaml")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="change a value, e.g. optim.lr=3e-5"
    )
    parser.add_argument("--out", metavar="DIR", help="run folder, in place of run.out")
    parser.add_argument(
        "--allow-licence",
        action="append",
        default=[],
        metavar="NAME",
        help="train on clips of this licence only, in place of data.licences; may be repeated",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the newest checkpoint of the run folder"
    )
    parser.add_argument(
        "--features",
        action="store_true",
        help="compute the mels, latents and embeddings that the stage stores, and stop",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print configuration, sizes, memory and the first batch's shapes, and stop",
    )
    parser.parse_known_args = partial(  # type: ignore[method-assign]
        _parse_overrides_anywhere, parser.parse_known_args
    )


def _parse_overrides_anywhere(
    parse: Callable[..., tuple[Any, list[str]]],
    words: Sequence[str] | None = None,
    namespace: argparse.Namespace | None = None,
) -> tuple[Any, list[str]]:
    """Accept key=value after an option too; argparse alone knows it only beside CONFIG."""
    args, unknown = parse(words, namespace)
    late = [word for word in unknown if re.match(r"[\w.]+=", word)]
    args.overrides = [*args.overrides, *late]
    return args, [word for word in unknown if word not in late]


def run(args: argparse.Namespace) -> int:
    """Train, or describe what would be trained."""
    from musicgen_ldm.training.stages import load_stage_config, task_factory

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    overrides = args.overrides + ([f"run.out={args.out}"] if args.out else [])
    if args.allow_licence:
        overrides.append(f"data.licences={json.dumps(args.allow_licence)}")
    config = load_stage_config(args.config, overrides)
    make_task = task_factory(config)
    if args.dry_run:
        from musicgen_ldm.data.sampler import split_batch
        from musicgen_ldm.training.dry_run import describe

        micro_batch, _ = split_batch(config.batch_size, config.run.micro_batch, num_processes=1)
        print(describe(config, make_task(), micro_batch))
        return 0
    if args.features:
        from musicgen_ldm.parallel import workers
        from musicgen_ldm.training.features import fill_features

        launched = workers()
        stored = fill_features(config, make_task(), launched)
        if launched.is_main:
            print(f"{config.stage}: {stored} clips' features are stored")
        return 0
    from musicgen_ldm.training.loop import Trainer

    trainer = Trainer(config, make_task, resume=args.resume)
    finished = trainer.fit()
    if trainer.accelerator.is_main_process:
        state = "finished" if finished else "stopped early; go on with --resume"
        print(f"{trainer.run.path}: step {trainer.step} of {config.max_steps}, {state}")
    return 0
