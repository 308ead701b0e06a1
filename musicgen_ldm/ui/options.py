"""Flags of the demo, shared by `app.py` and `musicgen-ldm demo`; imports nothing heavy."""

import argparse
from dataclasses import fields
from pathlib import Path

from musicgen_ldm.config.demo import DemoConfig

HELP = {
    "checkpoint": "name, folder or hub id to load first",
    "outputs": "folder of the rendered files",
    "host": "address to listen on; 0.0.0.0 opens the page to the network",
    "port": "TCP port",
    "auth": "USER:PASSWORD; without it the page needs none",
    "auth_file": "text file with one USER:PASSWORD a line, for several users",
    "max_seconds": "longest rendering",
    "max_takes": "most takes in one request",
    "max_prompts": "most lines of a batch file",
    "max_upload_mb": "largest uploaded file, in MB",
    "max_queue": "requests waiting in all",
    "max_waiting_per_user": "requests of one visitor that wait or run at a time",
    "keep_days": "files that are no favourites are deleted after so many days",
    "keep_mb": "and the oldest ones when all together exceed so many MB",
    "device": "auto, cpu, cuda or mps",
    "train_audio": "folder of the training manifest, to hear clips near to a take",
    "mcp": "be a tool for agents too (Model Context Protocol); needs the extra of that name",
}
TYPES = {"auth": str, "auth_file": Path}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One flag for every field of `DemoConfig`."""
    for field in fields(DemoConfig):
        flag = f"--{field.name.replace('_', '-')}"
        if field.default is False:
            parser.add_argument(flag, action="store_true", help=HELP[field.name])
            continue
        parser.add_argument(
            flag,
            type=TYPES.get(field.name, type(field.default)),
            default=field.default,
            help=f"{HELP[field.name]} (default: {field.default})",
        )


def config_from(args: argparse.Namespace) -> DemoConfig:
    """The configuration that the flags describe."""
    return DemoConfig(**{field.name: getattr(args, field.name) for field in fields(DemoConfig)})
