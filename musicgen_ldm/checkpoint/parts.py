"""Parts of a checkpoint by their stock classes: safetensors only, every key accounted for."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

from musicgen_ldm.checkpoint.quiet import quiet_libraries
from musicgen_ldm.checkpoint_folders import first_line
from musicgen_ldm.errors import CheckpointError
from musicgen_ldm.models.clap import ClapEmbedder

# Keys that came and went between transformers versions and carry no weights.
HARMLESS_KEYS = ("position_ids", "num_batches_tracked")

# diffusers and transformers redirect every module's weights while they build one, in all threads:
# of two models that load at once, one would be left without any.
_reading = threading.RLock()


def load_network(network_class: Any, folder: Path, **options: Any) -> Any:
    """A network of a stock class.

    Args:
        network_class: Of diffusers or transformers.
        folder: Holds its configuration and safetensors.
        options: Entries of the configuration to change.

    Raises:
        CheckpointError: If files are missing or damaged, or do not fit their configuration.
    """
    network, report = read_part(
        network_class.from_pretrained,
        folder,
        use_safetensors=True,
        output_loading_info=True,
        **options,
    )
    missing = [key for key in report["missing_keys"] if not key.endswith(HARMLESS_KEYS)]
    mismatched = [entry[0] for entry in report.get("mismatched_keys", ())]
    if missing or mismatched:
        example = ", ".join((missing + mismatched)[:3])
        raise CheckpointError(
            f"{folder}: {len(missing)} weights are missing and {len(mismatched)} have another "
            f"shape ({example}); the files do not fit their configuration, copy them again"
        )
    return network


def read_part(read: Callable[..., Any], folder: Path, **options: Any) -> Any:
    """What a stock class reads from a folder on disk, without its advice.

    Raises:
        CheckpointError: If it cannot.
    """
    try:
        with _reading, quiet_libraries():
            return read(folder, local_files_only=True, **options)
    except MemoryError:
        raise
    # Damaged files make the libraries raise nearly anything, bare `Exception` among it.
    except Exception as error:
        raise CheckpointError(
            f"{folder}: cannot be loaded ({first_line(error)}); copy the folder again"
        ) from error


def load_clap(folder: Path, model_class: Any = ClapModel) -> ClapEmbedder:
    """A CLAP with its tokenizer and, if it has an audio tower, its feature extractor.

    Args:
        folder: Of a pipeline, which holds them side by side, or of the plain model.
        model_class: AudioLDM-style pipelines have a `ClapTextModelWithProjection`.

    Raises:
        CheckpointError: If a part is missing or damaged.
    """
    is_pipeline = (folder / "text_encoder").is_dir()
    names = ("text_encoder", "tokenizer", "feature_extractor") if is_pipeline else ("", "", "")
    model, tokenizer, extractor = (folder / name for name in names)
    return ClapEmbedder(
        load_network(model_class, model),
        read_part(AutoTokenizer.from_pretrained, tokenizer),
        read_part(ClapFeatureExtractor.from_pretrained, extractor) if extractor.is_dir() else None,
    )
