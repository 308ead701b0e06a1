"""The checkpoint that is shipped: whole, open to stock tools, and the one its samples tell of."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from musicgen_ldm import GenerateRequest, MusicLDM
from musicgen_ldm.checkpoint import verify
from musicgen_ldm.diffusion import draw_noise, take_generator
from musicgen_ldm.pipeline.conditioning import make_condition

ROOT = Path(__file__).parents[2]
POCKET = ROOT / "checkpoints" / "pocket"
MOST_BYTES, MOST_BYTES_A_FILE = 130e6, 50e6


@pytest.fixture(scope="module")
def pocket() -> MusicLDM:
    return MusicLDM.from_pretrained(POCKET, device="cpu")


def test_it_is_whole_and_small() -> None:
    assert verify(POCKET) == []
    sizes = [path.stat().st_size for path in POCKET.rglob("*") if path.is_file()]
    assert sum(sizes) <= MOST_BYTES
    assert max(sizes) <= MOST_BYTES_A_FILE


def test_a_take_is_sound_and_knows_its_neighbours(pocket: MusicLDM) -> None:
    request = GenerateRequest(prompt="upbeat funk with drums", seconds=2.56, sampling={"steps": 4})
    take = pocket.generate(request)[0]
    assert take.waveform.samples.shape == (1, 40_960)
    assert take.measured["faults"] == []
    assert len(take.record["nearest"]) == 3


def test_the_samples_are_its_own(pocket: MusicLDM) -> None:
    records = sorted((ROOT / "docs" / "samples").glob("*.json"))
    assert len(records) == 8
    for path in records:
        assert json.loads(path.read_text())["checkpoint"]["sha256"] == pocket.identity, path


def test_stock_diffusers_renders_the_same_by_its_defaults(pocket: MusicLDM) -> None:
    """Apart from what stock tools do not know: the mel ceiling, and the package's own vocoder."""
    model = MusicLDM(replace(pocket.checkpoint, mel_ceiling=None), device="cpu")
    sampling = {"sampler": "ddim", "steps": 3, "guidance": 2.0, "vocoder": "hifi-gan"}
    request = GenerateRequest(prompt="slow piano", seconds=2.56, seed=5, sampling=sampling)
    take = model.generate(request)[0]
    condition = make_condition(model.checkpoint, request, "none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stock = DiffusionPipeline.from_pretrained(POCKET)
        stock.set_progress_bar_config(disable=True)
        audio = stock(
            prompt_embeds=condition.positive,
            negative_prompt_embeds=condition.negative,
            audio_length_in_s=2.56,
            num_inference_steps=3,
            guidance_scale=2.0,
            latents=draw_noise(take_generator(5, 0), (16, 32, 8)),
            output_type="pt",
        ).audios
    expected = torch.as_tensor(audio)[0].numpy()
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(take.waveform.samples[0], expected, atol=1e-4)
