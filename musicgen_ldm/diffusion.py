"""The diffusion process: schedule, solvers, noise, guidance.

Latents are (B, C, N', M'). In the letters of the literature x_t = a_t x_0 + s_t eps with
a_t^2 + s_t^2 = 1; the v target is a_t eps - s_t x_0 (Salimans & Ho 2022).
"""

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)
from einops import rearrange
from torch import Tensor

from musicgen_ldm.config.generation import SamplerName
from musicgen_ldm.config.models import DiffusionConfig
from musicgen_ldm.errors import RequestError


def build_scheduler(config: DiffusionConfig) -> DDIMScheduler:
    """The scheduler a checkpoint stores; every solver is built from its configuration.

    "Linear" betas of the reference interpolate between square roots, which is the stock
    "scaled_linear".
    """
    return DDIMScheduler(
        num_train_timesteps=config.num_train_timesteps,
        beta_start=config.beta_start,
        beta_end=config.beta_end,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=0 if config.zero_terminal_snr else 1,
        prediction_type=config.prediction_type,
        rescale_betas_zero_snr=config.zero_terminal_snr,
        # Only trailing steps visit the last, signal-free timestep (Lin et al. 2024).
        timestep_spacing="trailing" if config.zero_terminal_snr else "leading",
    )


def make_sampler(name: SamplerName, scheduler: SchedulerMixin) -> SchedulerMixin:
    """The solver `name` over the process of a stored scheduler.

    DDIM visits the stored timesteps, as the reference does. Under "leading" ones the multistep
    solvers would begin far from pure noise (at 801 of 1000 with 200 steps), so all others take
    "trailing" ones (Lin et al. 2024).
    """
    if name == "ddim":
        return DDIMScheduler.from_config(scheduler.config)
    config = dict(scheduler.config) | {"timestep_spacing": "trailing"}
    if name == "dpm++":
        return DPMSolverMultistepScheduler.from_config(
            config, algorithm_type="dpmsolver++", solver_order=2, lower_order_final=True
        )
    if name == "unipc":
        return UniPCMultistepScheduler.from_config(config, solver_order=2)
    return EulerDiscreteScheduler.from_config(config)


def set_steps(sampler: SchedulerMixin, steps: int, device: torch.device) -> None:
    """Choose the timesteps of a solver.

    Raises:
        RequestError: If the process has fewer timesteps than `steps`.
    """
    config = sampler.config
    is_shifted = config.timestep_spacing == "leading"
    most = config.num_train_timesteps - (config.steps_offset if is_shifted else 0)
    if steps > most:
        raise RequestError(f"steps is {steps}; this checkpoint has at most {most}")
    sampler.set_timesteps(steps, device=device)


def take_generator(seed: int, take: int) -> torch.Generator:
    """The CPU noise source of one take, the same whatever else is rendered beside it."""
    state = np.random.SeedSequence([seed, take]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def draw_noise(generator: torch.Generator, shape: tuple[int, int, int]) -> Tensor:
    """Standard normal latent (1, C, N', M') of one take.

    Time is the slowest axis of the draw, so a longer canvas begins with the noise of a shorter
    one.
    """
    channels, frames, bins = shape
    return rearrange(torch.randn(frames, channels, bins, generator=generator), "n c m -> 1 c n m")


def predict_clean(output: Tensor, noisy: Tensor, alpha_bar: Tensor, prediction_type: str) -> Tensor:
    """x_0 estimate from a network output.

    Args:
        output: Network output, any shape.
        noisy: x_t in variance-preserving scale, the same shape.
        alpha_bar: a_t^2, scalar.
        prediction_type: "epsilon", "v_prediction" or "sample".
    """
    a, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    if prediction_type == "epsilon":
        return (noisy - s * output) / a
    if prediction_type == "v_prediction":
        return a * noisy - s * output
    return output


def guide(conditional: Tensor, unconditional: Tensor, scale: float, rescale: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022) with rescaling (Lin et al. 2024, eq. 15-16).

    Args:
        conditional: Prediction under the prompt, (B, C, N', M').
        unconditional: Prediction under the negative prompt, the same shape.
        scale: 1 returns `conditional`.
        rescale: Share of the standard deviation to bring back, 0 to 1.
    """
    guided = unconditional + scale * (conditional - unconditional)
    if rescale == 0:
        return guided
    axes = tuple(range(1, guided.ndim))
    ratio = conditional.std(dim=axes, keepdim=True) / guided.std(dim=axes, keepdim=True)
    return guided * (rescale * ratio + 1 - rescale)
