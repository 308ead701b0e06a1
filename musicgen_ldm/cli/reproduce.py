"""Render a file again from its own record and compare bit for bit."""

import argparse
import json
from pathlib import Path
from typing import Any

HELP = "render a file again from its record and compare"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("file", type=Path, help="a file that `generate` wrote")
    parser.add_argument("-o", "--output", type=Path, help="also keep the new rendering here")
    parser.add_argument("--checkpoint", help="use this one instead of the recorded one")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--offline", action="store_true", help="never ask the hub")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when the audio is identical, 1 when it differs."""
    report = reproduce(args)
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        print("identical" if report["identical"] else "different")
        for line in report["differences"]:
            print(f"  {line}")
    return 0 if report["identical"] else 1


def reproduce(args: argparse.Namespace) -> dict[str, Any]:
    """Render again and say what differs, in plain values."""
    import tempfile

    import numpy as np

    from musicgen_ldm.audio import read_audio
    from musicgen_ldm.config.generation import GenerateRequest
    from musicgen_ldm.errors import AudioError, OutputError
    from musicgen_ldm.pipeline import MusicLDM
    from musicgen_ldm.provenance import (
        check_target,
        environment,
        how_loaded,
        read_record,
        write_audio,
    )

    record = read_record(args.file)
    if not _is_whole(record):
        raise AudioError(
            f"{args.file}: its record holds no whole request; only files made by `generate` can "
            "be rendered again"
        )
    if args.output is not None:
        if args.output.suffix.lower() != args.file.suffix.lower():
            raise OutputError(f"-o {args.output}: give it the suffix {args.file.suffix}")
        check_target(args.output)
    # The chosen draw is rendered alone: another processor might choose another by its last bits.
    request = GenerateRequest.from_json(
        record["request"]
        | {"sampling": record["sampling"] | {"candidates": 1}}
        | {"first_take": record.get("draw", record["request"]["first_take"])}
    )
    name = args.checkpoint or record["checkpoint"]["name"]
    loaded = how_loaded(record)
    model = MusicLDM.from_pretrained(
        name,
        device=args.device,
        precision=loaded["precision"],
        offline=args.offline,
        reference_heads=loaded["reference_heads"],
    )
    take = next(model.iterate(request))

    suffix = args.file.suffix
    with tempfile.TemporaryDirectory() as folder:
        copy = args.output or Path(folder) / f"again{suffix}"
        subtype = {"PCM_16": "16", "PCM_24": "24", "FLOAT": "float"}.get(record["audio"]["subtype"])
        write_audio(take.waveform, copy, record=take.record, subtype=subtype)
        again = read_record(copy)
        old, new = read_audio(args.file), read_audio(copy)
    identical = again["audio"]["sha256"] == record["audio"]["sha256"]
    differences = []
    if model.identity != record["checkpoint"]["sha256"]:
        differences.append(
            f"checkpoint {model.identity[:12]} instead of {record['checkpoint']['sha256'][:12]}"
        )
    if model.device.type != record.get("device", model.device.type):
        differences.append(f"device {model.device.type} instead of {record['device']}")
    for role, digest in take.record["sources"].items():
        if record["sources"].get(role) != digest:
            differences.append(f"the {role} file has changed since")
    for package, version in environment().items():
        if record["environment"].get(package) != version:
            differences.append(
                f"{package} {version} instead of {record['environment'].get(package)}"
            )
    if not identical:
        if old.samples.shape != new.samples.shape:
            differences.append(f"audio of shape {new.samples.shape} instead of {old.samples.shape}")
        else:
            largest = float(np.abs(old.samples - new.samples).max())
            differences.append(f"audio differs by up to {largest:.2g} of full scale")
    return {
        "identical": identical,
        "differences": differences,
        "sha256": again["audio"]["sha256"],
        "recorded_sha256": record["audio"]["sha256"],
    }


def _is_whole(record: dict[str, Any]) -> bool:
    """Whether a record has all that a rendering and its comparison need."""
    needed = {
        "request": (), "sampling": (), "sources": (), "environment": (),
        "checkpoint": ("name", "sha256"), "audio": ("subtype", "sha256"),
    }  # fmt: skip
    return isinstance(record.get("loaded", {}), dict) and all(
        isinstance(record.get(part), dict)
        and all(isinstance(record[part].get(name), str) for name in names)
        for part, names in needed.items()
    )
