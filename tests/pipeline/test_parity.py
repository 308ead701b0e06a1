"""Ours against the stock pipeline: same weights, same noise, same DDIM, same waveform."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from musicgen_ldm import GenerateRequest, MusicLDM
from musicgen_ldm.diffusion import draw_noise, take_generator
from musicgen_ldm.pipeline.conditioning import make_condition


@pytest.mark.parametrize("guidance", [1.0, 2.0, 5.0])
def test_same_waveform_as_the_stock_pipeline(
    tiny_model: MusicLDM, tiny_folder: Path, guidance: float
) -> None:
    request = GenerateRequest(
        prompt="slow piano",
        negative_prompt="drums",
        seconds=2.56,
        seed=5,
        sampling={"sampler": "ddim", "steps": 6, "guidance": guidance},
    )
    take = tiny_model.generate(request)[0]
    condition = make_condition(tiny_model.checkpoint, request, "none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stock = DiffusionPipeline.from_pretrained(tiny_folder)
        stock.set_progress_bar_config(disable=True)
        audio = stock(
            prompt_embeds=condition.positive,
            negative_prompt_embeds=condition.negative,
            audio_length_in_s=2.56,
            num_inference_steps=6,
            guidance_scale=guidance,
            latents=draw_noise(take_generator(5, 0), (4, 64, 16)),
            output_type="pt",
        ).audios
    expected = torch.as_tensor(audio)[0].numpy()
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(take.waveform.samples[0], expected, atol=1e-4)
