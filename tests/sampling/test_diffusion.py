"""Closed forms of the forward process, guidance and noise."""

import pytest
import torch

from musicgen_ldm.config.generation import SAMPLERS
from musicgen_ldm.config.models import DiffusionConfig
from musicgen_ldm.diffusion import (
    build_scheduler,
    draw_noise,
    guide,
    make_sampler,
    predict_clean,
    set_steps,
    take_generator,
)
from musicgen_ldm.errors import ConfigError, RequestError

V_PREDICTION = DiffusionConfig(prediction_type="v_prediction", zero_terminal_snr=True)


def test_betas_interpolate_between_square_roots() -> None:
    betas = build_scheduler(DiffusionConfig()).betas
    expected = torch.linspace(0.0015**0.5, 0.0195**0.5, 1000) ** 2
    torch.testing.assert_close(betas, expected)


def test_zero_terminal_snr_ends_in_pure_noise() -> None:
    assert build_scheduler(V_PREDICTION).alphas_cumprod[-1] == 0
    with pytest.raises(ConfigError, match="v_prediction or sample"):
        DiffusionConfig(zero_terminal_snr=True)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_clean_latent_is_recovered_from_the_target(prediction_type: str) -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(2, 3, 4, generator=generator)
    noise = torch.randn(2, 3, 4, generator=generator)
    alpha_bar = torch.tensor(0.3)
    a, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    noisy = a * clean + s * noise
    target = {"epsilon": noise, "v_prediction": a * noise - s * clean, "sample": clean}
    found = predict_clean(target[prediction_type], noisy, alpha_bar, prediction_type)
    torch.testing.assert_close(found, clean, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("config", [DiffusionConfig(), V_PREDICTION])
def test_every_sampler_recovers_the_clean_latent_of_an_oracle(
    name: str, config: DiffusionConfig
) -> None:
    """With a network that always knows x_0, the reverse process ends there."""
    clean = torch.randn(1, 2, 8, 4, generator=torch.Generator().manual_seed(1))
    sampler = make_sampler(name, build_scheduler(config))
    sampler.set_timesteps(20)
    latent = draw_noise(take_generator(0, 0), (2, 8, 4)) * sampler.init_noise_sigma
    for timestep in sampler.timesteps:
        noisy = sampler.scale_model_input(latent, timestep)
        alpha_bar = sampler.alphas_cumprod[int(timestep)]
        a, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        noise = (noisy - a * clean) / s
        target = a * noise - s * clean if config is V_PREDICTION else noise
        latent = sampler.step(target, timestep, latent).prev_sample
    # The first timestep of the released schedule keeps a trace of noise.
    torch.testing.assert_close(latent, clean, atol=0.2, rtol=0)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [20, 200, 600, 999])
def test_every_solver_begins_next_to_pure_noise(name: str, steps: int) -> None:
    sampler = make_sampler(name, build_scheduler(DiffusionConfig()))
    set_steps(sampler, steps, torch.device("cpu"))
    assert len(sampler.timesteps) == steps
    missing = 1000 % steps if name == "ddim" else 0  # leading steps leave a remainder
    assert 999 - sampler.timesteps[0] <= 1000 // steps + missing


def test_more_steps_than_timesteps_are_refused() -> None:
    sampler = make_sampler("ddim", build_scheduler(DiffusionConfig()))
    with pytest.raises(RequestError, match="steps is 1000; this checkpoint has at most 999"):
        set_steps(sampler, 1000, torch.device("cpu"))


def test_guidance_limits() -> None:
    generator = torch.Generator().manual_seed(0)
    conditional = torch.randn(1, 2, 8, 4, generator=generator)
    unconditional = torch.randn(1, 2, 8, 4, generator=generator)
    torch.testing.assert_close(guide(conditional, unconditional, 1.0, 0.0), conditional)
    torch.testing.assert_close(guide(conditional, unconditional, 0.0, 0.0), unconditional)
    rescaled = guide(conditional, unconditional, 7.0, 1.0)
    torch.testing.assert_close(rescaled.std(), conditional.std())


def test_noise_belongs_to_seed_and_take() -> None:
    def draw(seed: int, take: int, frames: int = 8) -> torch.Tensor:
        return draw_noise(take_generator(seed, take), (4, frames, 4))

    assert torch.equal(draw(1, 2), draw(1, 2))
    assert not torch.equal(draw(1, 2), draw(1, 3))
    assert not torch.equal(draw(1, 2), draw(2, 2))
    assert torch.equal(draw(1, 2, frames=16)[:, :, :8], draw(1, 2))
    many = torch.stack([draw(0, take) for take in range(500)])
    assert abs(many.mean()) < 0.02
    assert abs(many.std() - 1) < 0.02
