"""Saving a checkpoint in the stock diffusers layout, and verifying it by its hashes."""

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors import SafetensorError

from musicgen_ldm.checkpoint.components import Checkpoint
from musicgen_ldm.checkpoint.quiet import quiet_libraries
from musicgen_ldm.checkpoint_folders import INDEX_FILE, first_line, read_json, resolve
from musicgen_ldm.errors import CheckpointError, OutputError

METADATA_FILE = "musicgen_ldm.json"
METADATA_SCHEMA = 1
BRIDGE_FOLDER = "bridge"
BANK_FOLDER = "novelty"
TOKENIZER_CLASS = "PreTrainedTokenizerFast"
MAX_SHARD_SIZE = "45MB"  # keeps every file below the 50 MB that code hosts warn about


def save(
    checkpoint: Checkpoint,
    folder: str | Path,
    *,
    metadata: Mapping[str, Any] | None = None,
    half: bool = False,
) -> Path:
    """Write the stock pipeline layout, whole or not at all.

    Args:
        checkpoint: What to save.
        folder: Must not exist yet.
        metadata: Further entries for `musicgen_ldm.json`, such as the data's hash and the step.
        half: Store float16; loading casts back.

    Raises:
        CheckpointError: If the folder exists.
        OutputError: If it cannot be written, because the disk is full for example.
    """
    folder = Path(folder)
    if folder.exists():
        raise CheckpointError(f"{folder}: exists already; remove it or choose another name")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with quiet_libraries():
            _write_components(checkpoint, partial, half=half)
        extra = dict(checkpoint.metadata) | dict(metadata or {})
        extra |= {
            "schema": METADATA_SCHEMA,
            "sampling": asdict(checkpoint.sampling),
            "mel_ceiling": checkpoint.mel_ceiling,
            "files": file_hashes(partial),
        }
        text = json.dumps(extra, indent=2, sort_keys=True) + "\n"
        (partial / METADATA_FILE).write_text(text, encoding="utf-8")
        os.replace(partial, folder)
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"{folder}: cannot be written ({first_line(error)}); "
            "choose a folder that can be written and has space"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _write_components(checkpoint: Checkpoint, folder: Path, *, half: bool) -> None:
    index: dict[str, Any] = {
        "_class_name": "MusicLDMPipeline",
        "_diffusers_version": diffusers.__version__,
    }
    for name, network in checkpoint.networks.items():
        stored = copy.deepcopy(network).to(torch.float16) if half else network
        stored.save_pretrained(folder / name, max_shard_size=MAX_SHARD_SIZE)
        library = "diffusers" if name in ("unet", "vae") else "transformers"
        index[name] = [library, type(network).__name__]
        # diffusers loads float16 files as float32; transformers would keep them, and the stock
        # pipeline would fail on two precisions at once. Where a network was read from would tell
        # a stranger about this machine.
        precision = {"dtype": "float32"} if library == "transformers" else {}
        _change_json(folder / name / "config.json", precision, without="_name_or_path")
    checkpoint.scheduler.save_pretrained(folder / "scheduler")
    index["scheduler"] = ["diffusers", type(checkpoint.scheduler).__name__]
    _write_tokenizer(checkpoint, folder / "tokenizer")
    index["tokenizer"] = ["transformers", TOKENIZER_CLASS]
    if checkpoint.clap.feature_extractor is not None:
        checkpoint.clap.feature_extractor.save_pretrained(folder / "feature_extractor")
        index["feature_extractor"] = ["transformers", "ClapFeatureExtractor"]
    for name, bridge in checkpoint.bridges.items():
        bridge.save(folder / BRIDGE_FOLDER / name)
    (folder / INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _write_tokenizer(checkpoint: Checkpoint, folder: Path) -> None:
    # transformers 5 writes the name of a class that older releases do not know.
    checkpoint.clap.tokenizer.save_pretrained(folder)
    _change_json(folder / "tokenizer_config.json", {"tokenizer_class": TOKENIZER_CLASS})


def _change_json(file: Path, changes: Mapping[str, Any], *, without: str = "") -> None:
    settings = read_json(file) | dict(changes)
    settings.pop(without, None)
    file.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a checkpoint, by relative path.

    Metadata, model card and novelty bank are left out: they may be edited, and a track removed
    from the bank, without making another model of it.
    """
    skipped = {METADATA_FILE, "README.md"}
    return {
        path.relative_to(folder).as_posix(): _sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in skipped
        and path.relative_to(folder).parts[0] != BANK_FOLDER
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity(checkpoint: Checkpoint) -> str:
    """One hash for all that decides how a checkpoint sounds; names it in records.

    Files are hashed as they are, or weights by value where there are none, and the ceiling of
    the mels. Files that were put beside those of the checkpoint do not count.
    """
    hashes: dict[str, Any] = {}
    if checkpoint.folder is not None:
        own = checkpoint.metadata.get("files")
        hashes = {
            name: value
            for name, value in file_hashes(checkpoint.folder).items()
            if not isinstance(own, dict) or name in own
        }
    else:
        hashes = {
            f"{name}.{key}": hashlib.sha256(value.cpu().numpy().tobytes()).hexdigest()
            for name, network in checkpoint.networks.items()
            for key, value in network.state_dict().items()
        }
    ceiling = checkpoint.mel_ceiling
    parts = hashes if ceiling is None else hashes | {"mel_ceiling": ceiling}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def verify(folder: str | Path) -> list[str]:
    """Differences between a folder and its stored hashes, one sentence each; empty when intact.

    Raises:
        CheckpointError: If the folder has no stored hashes.
    """
    folder = resolve(folder, offline=True)
    stored = (
        read_json(folder / METADATA_FILE).get("files")
        if (folder / METADATA_FILE).is_file()
        else None
    )
    if not isinstance(stored, dict):
        raise CheckpointError(f"{folder}: carries no hashes; only checkpoints saved here do")
    actual = file_hashes(folder)
    return [f"{name} is missing" for name in sorted(stored.keys() - actual.keys())] + [
        f"{name} was changed"
        for name in sorted(stored)
        if actual.get(name, "") not in ("", stored[name])
    ]
