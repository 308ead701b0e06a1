"""Ours against the stock pipeline: same weights, same noise, same DDIM, same waveform.

Diffusers removed its own tests of this pipeline. What each of them asked is asked here of ours:

    ddim slice, latents given          this file, against the stock pipeline itself
    prompt and negative embeddings     this file (both paths take embeddings)
    negative prompt, PNDM, LMS         test_generate.py (controls), test_checkpoint.py (schedulers)
    waveforms a prompt, batch = single test_generate.py (alone, in a batch, after a reload)
    audio length                       test_generate.py (the length is the one asked for)
    vocoder of other mel bins          test_architecture.py (wider mel)
    attention slicing, float16         test_generate.py, test_checkpoint.py (half precision)
    save, load, callback               test_checkpoint.py, test_generate.py (progress)
"""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from musicgen_ldm import GenerateRequest, MusicLDM
from musicgen_ldm.checkpoint import load
from musicgen_ldm.config.models import PRESETS, ModelConfig
from musicgen_ldm.diffusion import draw_noise, take_generator
from musicgen_ldm.pipeline.conditioning import make_condition

POCKET = Path(__file__).parents[2] / "checkpoints" / "pocket"


def assert_parity(
    model: MusicLDM, folder: Path, sizes: ModelConfig, guidance: float, steps: int
) -> None:
    """Ours and the stock pipeline, opened from a folder by its defaults, within 1e-4."""
    request = GenerateRequest(
        prompt="slow piano",
        negative_prompt="drums",
        seconds=2.56,
        seed=5,
        sampling={
            "sampler": "ddim",
            "steps": steps,
            "guidance": guidance,
            "vocoder": "hifi-gan",
            "candidates": 1,
        },
    )
    take = model.generate(request)[0]
    condition = make_condition(model.checkpoint, request, "none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stock = DiffusionPipeline.from_pretrained(folder)
        stock.set_progress_bar_config(disable=True)
        audio = stock(
            prompt_embeds=condition.positive,
            negative_prompt_embeds=condition.negative,
            audio_length_in_s=request.seconds,
            num_inference_steps=steps,
            guidance_scale=guidance,
            latents=draw_noise(take_generator(5, 0), sizes.latent_shape(2.56)),
            output_type="pt",
        ).audios
    expected = torch.as_tensor(audio)[0].numpy()
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(take.waveform.samples[0], expected, atol=1e-4)


@pytest.mark.parametrize("guidance", [1.0, 2.0, 5.0])
def test_same_waveform_as_the_stock_pipeline(
    tiny_model: MusicLDM, tiny_folder: Path, guidance: float
) -> None:
    assert_parity(tiny_model, tiny_folder, PRESETS["tiny"], guidance, steps=6)


def test_same_waveform_of_the_shipped_half_precision_checkpoint() -> None:
    """Apart from the ceiling of its mels, which stock tools do not know."""
    checkpoint = replace(load(POCKET), mel_ceiling=None)
    assert_parity(MusicLDM(checkpoint, device="cpu"), POCKET, PRESETS["pocket"], 2.0, steps=3)
