"""Say what a checkpoint is and whether its files are the ones that were saved."""

import argparse
import json
from typing import Any

HELP = "describe a checkpoint and verify its files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        "checkpoint", nargs="?", default="pocket", help="name, folder or hub id (default: pocket)"
    )
    parser.add_argument("--offline", action="store_true", help="never ask the hub")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Load, count and verify; exit code 1 if a file was changed."""
    description = describe(args.checkpoint, offline=args.offline)
    if args.json:
        print(json.dumps(description, indent=2))
    else:
        for name, value in description.items():
            print(f"{name.replace('_', ' '):18} {_one_line(value)}")
    return 1 if description["problems"] else 0


def describe(name: str, *, offline: bool) -> dict[str, Any]:
    """What is known about a checkpoint, as plain values."""
    from dataclasses import asdict

    from musicgen_ldm.checkpoint import identity, load, verify
    from musicgen_ldm.errors import CheckpointError

    checkpoint = load(name, offline=offline)
    try:
        problems = verify(checkpoint.folder or name)
        verified = "yes" if not problems else "no"
    except CheckpointError:
        problems, verified = [], "no stored hashes"
    mel, unet = checkpoint.mel, checkpoint.unet.config
    return {
        "folder": str(checkpoint.folder),
        "preset": checkpoint.metadata.get("preset", "not one of ours"),
        "sha256": identity(checkpoint),
        "verified": verified,
        "problems": problems,
        "parameters_m": {
            part: round(sum(p.numel() for p in network.parameters()) / 1e6, 2)
            for part, network in checkpoint.networks.items()
        },
        "sample_rate": mel.sample_rate,
        "mel_bins": mel.num_bins,
        "embedding_dim": checkpoint.clap.dim,
        "attention_heads": unet.attention_head_dim,
        "prediction": checkpoint.scheduler.config.prediction_type,
        "bridges": ["none", *checkpoint.bridges],
        "defaults": asdict(checkpoint.sampling),
        "trained": checkpoint.metadata.get("training", {}),
    }


def _one_line(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return str(value)
