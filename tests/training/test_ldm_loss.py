"""Conditions, targets and weights of the denoiser's loss."""

import pytest
import torch
from torch.nn import functional as F

from musicgen_ldm.config.ldm_training import ConditionConfig
from musicgen_ldm.config.models import DiffusionConfig
from musicgen_ldm.diffusion import build_scheduler, predict_clean
from musicgen_ldm.errors import ConfigError
from musicgen_ldm.training.conditioning import choose_condition, drop_condition
from musicgen_ldm.training.diffusion_loss import (
    diffusion_loss,
    diffusion_target,
    even_timesteps,
    min_snr_weight,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def unit(n, dim=8, seed=0):
    return F.normalize(torch.randn(n, dim, generator=generator(seed)), dim=1)


def test_conditions_are_dropped_at_their_rate_to_the_exact_null_vector():
    condition, null = unit(20_000), unit(1, seed=1)
    dropped = drop_condition(condition, null, 0.1, generator())
    is_null = (dropped == null).all(dim=1)
    assert is_null.float().mean() == pytest.approx(0.1, abs=0.01)
    assert torch.equal(dropped[~is_null], condition[~is_null])
    assert torch.equal(drop_condition(condition, null, 0.0, generator()), condition)
    assert torch.equal(drop_condition(condition, null, 1.0, generator())[0], null[0])


def test_sources_of_the_condition():
    audio, text = unit(4000), unit(4000, seed=1)
    for source, expected in (("audio", audio), ("text", text)):
        chosen = choose_condition(audio, text, ConditionConfig(source=source), generator())
        assert torch.equal(chosen, expected)
    mixed = choose_condition(
        audio, text, ConditionConfig(source="mixed", text_share=0.3), generator()
    )
    is_text = (mixed == text).all(dim=1)
    assert is_text.float().mean() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(mixed[~is_text], audio[~is_text])


def test_noise_keeps_audio_conditions_on_the_sphere():
    audio = unit(500, dim=512)
    config = ConditionConfig(audio_noise=0.001**0.5)
    noisy = choose_condition(audio, audio, config, generator(5))
    torch.testing.assert_close(noisy.norm(dim=1), torch.ones(500))
    # |noise|^2 is about 512 / 1000, so the cosine is about 1 / sqrt(1.512)
    assert (noisy * audio).sum(dim=1).mean() == pytest.approx(1.512**-0.5, abs=0.01)


@pytest.mark.parametrize("change", [{"dropout": 1.2}, {"text_share": -0.1}])
def test_shares_beyond_one_are_refused(change):
    with pytest.raises(ConfigError, match=r"must lie in \[0, 1\]"):
        ConditionConfig(**change)
    with pytest.raises(ConfigError, match="audio_noise=-1"):
        ConditionConfig(audio_noise=-1)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_target_recovers_the_clean_latent(prediction):
    scheduler = build_scheduler(DiffusionConfig(prediction_type=prediction))
    clean, noise = torch.randn(2, 5, 2, 4, 4, generator=generator())
    timesteps = torch.tensor([0, 200, 500, 800, 999])
    noisy = scheduler.add_noise(clean, noise, timesteps)
    target = diffusion_target(scheduler, clean, noise, timesteps)
    for row, timestep in enumerate(timesteps):
        alpha_bar = scheduler.alphas_cumprod[timestep]
        recovered = predict_clean(target[row], noisy[row], alpha_bar, prediction)
        torch.testing.assert_close(recovered, clean[row], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_min_snr_weights_are_one_clipped_clean_loss(prediction):
    """Weight x loss equals min(SNR, gamma) x |x_0 error|^2 whatever is predicted."""
    scheduler = build_scheduler(DiffusionConfig(prediction_type=prediction))
    timesteps = torch.tensor([10, 300, 900])
    alpha_bar = scheduler.alphas_cumprod[timesteps]
    snr = alpha_bar / (1 - alpha_bar)
    # |target error|^2 per |x_0 error|^2: SNR for epsilon, SNR + 1 for v, 1 for the sample
    per_clean = {"epsilon": snr, "v_prediction": snr + 1, "sample": torch.ones(3)}[prediction]
    weight = min_snr_weight(scheduler, timesteps, 5.0)
    torch.testing.assert_close(weight * per_clean, snr.clamp(max=5.0))


def test_weights_of_one_change_nothing_and_zero_removes_a_clip():
    prediction, target = torch.randn(2, 3, 2, 4, 4, generator=generator())
    plain = diffusion_loss(prediction, target)
    torch.testing.assert_close(plain, F.mse_loss(prediction, target))
    torch.testing.assert_close(diffusion_loss(prediction, target, torch.ones(3)), plain)
    only = diffusion_loss(prediction, target, torch.tensor([3.0, 0, 0]))
    torch.testing.assert_close(only, F.mse_loss(prediction[0], target[0]))


def test_validation_timesteps_are_spread_evenly():
    assert even_timesteps(4, 1000).tolist() == [125, 375, 625, 875]
