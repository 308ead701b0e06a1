"""CLAP with tokenizer and feature extractor, as folders of a run's export or a checkpoint."""

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

from musicgen_ldm.checkpoint.quiet import quiet_libraries
from musicgen_ldm.errors import CheckpointError
from musicgen_ldm.models.clap import ClapEmbedder
from musicgen_ldm.training.components import load_component


def load_clap(path: str | Path) -> ClapEmbedder:
    """Read `text_encoder/`, `tokenizer/` and `feature_extractor/`.

    Args:
        path: An export folder, the folder of its run, or a checkpoint.

    Raises:
        CheckpointError: If a part is missing or damaged.
    """
    model = load_component(ClapModel, path, "text_encoder")
    return ClapEmbedder(
        model,
        _read(AutoTokenizer, path, "tokenizer"),
        _read(ClapFeatureExtractor, path, "feature_extractor"),
    )


def _read(reader: Any, path: str | Path, name: str) -> Any:
    candidates = [Path(path) / name, Path(path) / "export" / name]
    folder = next((c for c in candidates if c.is_dir()), None)
    if folder is None:
        raise CheckpointError(
            f"{path}: holds no {name}; give the export folder of a clap run or a checkpoint"
        )
    try:
        with quiet_libraries():
            return reader.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{folder}: cannot be loaded as {name} ({reason})") from error


def save_clap(clap: ClapEmbedder, folder: str | Path) -> None:
    """Write what `load_clap` reads."""
    folder = Path(folder)
    with quiet_libraries():
        clap.model.save_pretrained(folder / "text_encoder")
    clap.tokenizer.save_pretrained(folder / "tokenizer")
    if clap.feature_extractor is not None:
        clap.feature_extractor.save_pretrained(folder / "feature_extractor")
