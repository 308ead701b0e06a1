"""CLAP with tokenizer and feature extractor, as folders of a run's export or a checkpoint."""

from pathlib import Path

from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

from musicgen_ldm.checkpoint.parts import read_part
from musicgen_ldm.checkpoint.quiet import quiet_libraries
from musicgen_ldm.models.clap import ClapEmbedder
from musicgen_ldm.training.components import component_folder, load_component


def load_clap(path: str | Path) -> ClapEmbedder:
    """Read `text_encoder/`, `tokenizer/` and `feature_extractor/`.

    Args:
        path: An export folder, the folder of its run, or a checkpoint.

    Raises:
        CheckpointError: If a part is missing or damaged.
    """
    return ClapEmbedder(
        load_component(ClapModel, path, "text_encoder"),
        read_part(AutoTokenizer.from_pretrained, component_folder(path, "tokenizer")),
        read_part(
            ClapFeatureExtractor.from_pretrained, component_folder(path, "feature_extractor")
        ),
    )


def save_clap(clap: ClapEmbedder, folder: str | Path) -> None:
    """Write what `load_clap` reads."""
    folder = Path(folder)
    with quiet_libraries():
        clap.model.save_pretrained(folder / "text_encoder")
    clap.tokenizer.save_pretrained(folder / "tokenizer")
    if clap.feature_extractor is not None:
        clap.feature_extractor.save_pretrained(folder / "feature_extractor")
