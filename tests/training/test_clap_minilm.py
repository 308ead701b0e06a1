"""The stock text tower filled with MiniLM is the original encoder."""

import pytest
import torch
from transformers import BertModel

from musicgen_ldm.config.models import PRESETS, ClapAudioConfig, ClapConfig
from musicgen_ldm.errors import CheckpointError
from musicgen_ldm.models.clap import build_clap
from musicgen_ldm.models.minilm import load_text_tower, packaged_folder

SENTENCES = [
    "a relaxed bossa nova with nylon guitar and flute",
    "fast techno, 140 bpm",
    "",
    "solo cello",
]


def test_hidden_states_equal_the_original_encoder():
    audio = ClapAudioConfig(patch_channels=8, depths=(1, 1), num_heads=(1, 2), sample_rate=16_000)
    model = build_clap(ClapConfig(text=PRESETS["pocket"].clap.text, audio=audio)).eval()
    tokenizer = load_text_tower(model, "minilm")
    original = BertModel.from_pretrained(packaged_folder()).eval()
    tokens = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    mask = tokens["attention_mask"]
    with torch.no_grad():
        ours = model.text_model(
            input_ids=tokens["input_ids"], attention_mask=mask, output_hidden_states=True
        )
        theirs = original(
            input_ids=tokens["input_ids"], attention_mask=mask, output_hidden_states=True
        )
    assert len(ours.hidden_states) == len(theirs.hidden_states) == 7
    kept = mask.bool()
    for mine, expected in zip(ours.hidden_states, theirs.hidden_states, strict=True):
        torch.testing.assert_close(mine[kept], expected[kept], atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.pooler_output, theirs.pooler_output, atol=1e-5, rtol=0)


def test_another_size_is_refused():
    with pytest.raises(CheckpointError, match="choose the preset made for it"):
        load_text_tower(build_clap(PRESETS["tiny"].clap), "minilm")


def test_an_unreadable_encoder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="minilm, random, or the folder"):
        load_text_tower(build_clap(PRESETS["tiny"].clap), str(tmp_path))
