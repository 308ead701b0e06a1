"""The reverse process: from noise to a latent, under guidance, on a canvas of any length."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import SchedulerMixin, UNet2DConditionModel
from torch import Tensor

from musicgen_ldm.config.generation import SamplingConfig
from musicgen_ldm.diffusion import draw_noise, guide, make_sampler, predict_clean, set_steps
from musicgen_ldm.errors import NumericsError
from musicgen_ldm.models.unet import reduction
from musicgen_ldm.windows import iterate_windows, window_size


@dataclass(frozen=True)
class Condition:
    """CLAP vectors (1, D) that pull towards the prompt and away from the negative prompt."""

    positive: Tensor
    negative: Tensor


@dataclass(frozen=True)
class Known:
    """A latent (1, C, N', M') and the time frames (N',) of it that must stay as they are."""

    latent: Tensor
    keep: Tensor


@dataclass(frozen=True)
class Progress:
    """What a progress callback is told.

    Attributes:
        step: Steps done, 1 to `total`.
        total: Steps in all.
        clean: Current estimate of the final latent (1, C, N', M'); decode it for a preview.
    """

    step: int
    total: int
    clean: Tensor


@dataclass(frozen=True)
class Canvas:
    """The shape of what is drawn.

    Attributes:
        shape: (C, N', M').
        window: Time frames N' of a training clip.
        circular: Whether the end meets the beginning.
    """

    shape: tuple[int, int, int]
    window: int
    circular: bool = False


class Denoiser:
    """A UNet under guidance, applied window by window."""

    def __init__(self, unet: UNet2DConditionModel, condition: Condition, canvas: Canvas) -> None:
        """Move the condition to the network's device and type."""
        self.unet = unet
        self.canvas = canvas
        embeddings = torch.cat([condition.negative, condition.positive])
        self.embeddings = embeddings.to(unet.device, unet.dtype)
        self.size = window_size(canvas.shape[1], canvas.window, reduction(unet))

    def __call__(
        self, noisy: Tensor, timestep: Tensor, step: int, scale: float, rescale: float
    ) -> Tensor:
        """Guided prediction (1, C, N', M') for the whole canvas.

        Args:
            noisy: x_t as the network expects it, (1, C, N', M').
            timestep: Scalar.
            step: Index of the step, which shifts the window grid.
            scale: Guidance scale; 1 needs a single pass.
            rescale: See `diffusion.guide`.
        """
        total = torch.zeros_like(noisy)
        weights = torch.zeros(noisy.shape[2], device=noisy.device)
        length, circular = self.canvas.shape[1], self.canvas.circular
        for index, weight in iterate_windows(length, self.size, step, circular=circular):
            index, weight = index.to(noisy.device), weight.to(noisy.device)
            output = self._window(noisy[:, :, index], timestep, scale, rescale)
            total.index_add_(2, index, output * weight[:, None])
            weights.index_add_(0, index, weight)
        return total / weights[:, None]

    def _window(self, noisy: Tensor, timestep: Tensor, scale: float, rescale: float) -> Tensor:
        # Both branches share one pass; without guidance only the conditional one is run.
        embeddings = self.embeddings if scale != 1 else self.embeddings[1:]
        output = self.unet(
            noisy.to(self.unet.dtype).expand(len(embeddings), -1, -1, -1),
            timestep,
            encoder_hidden_states=None,
            class_labels=embeddings,
        ).sample.float()
        if scale == 1:
            return output
        unconditional, conditional = output.chunk(2)
        return guide(conditional, unconditional, scale, rescale)


@torch.no_grad()
def sample(
    unet: UNet2DConditionModel,
    scheduler: SchedulerMixin,
    condition: Condition,
    canvas: Canvas,
    config: SamplingConfig,
    generator: torch.Generator,
    *,
    known: Known | None = None,
    init: Tensor | None = None,
    strength: float = 1.0,
    on_progress: Callable[[Progress], None] | None = None,
) -> Tensor:
    """Draw one latent.

    Args:
        unet: Denoiser network.
        scheduler: The checkpoint's scheduler; its process is used, not its solver.
        condition: What to draw.
        canvas: Shape of the latent.
        config: Solver, steps and guidance.
        generator: CPU noise source of this take.
        known: Frames to keep; they are re-noised to the current level after every step, and equal
            the given latent exactly in the result.
        init: Latent (1, C, N', M') to start from, noised to the level of `strength`.
        strength: Share of the process that is run on `init`; 0 returns it unchanged.
        on_progress: Called after every step; an exception it raises ends the drawing.

    Returns:
        (1, C, N', M') float32.

    Raises:
        NumericsError: As soon as a value is not finite.
        RequestError: If the process has fewer timesteps than steps are asked for.
    """
    sampler = make_sampler(config.sampler, scheduler)
    set_steps(sampler, config.steps, unet.device)
    noise = draw_noise(generator, canvas.shape).to(unet.device)
    first = 0
    latent = noise * sampler.init_noise_sigma
    if init is not None:
        first = config.steps - round(config.steps * strength)
        if first == config.steps:
            return init
        if hasattr(sampler, "set_begin_index"):
            sampler.set_begin_index(first)
        latent = sampler.add_noise(init, noise, sampler.timesteps[first : first + 1])
    timesteps = sampler.timesteps
    denoise = Denoiser(unet, condition, canvas)
    low, high = config.guidance_interval
    for step in range(first, len(timesteps)):
        timestep = timesteps[step]
        scaled = sampler.scale_model_input(latent, timestep)
        guided = low <= step / len(timesteps) < high
        scale = config.guidance if guided else 1.0
        output = denoise(scaled, timestep, step, scale, config.guidance_rescale)
        latent = _step(sampler, output, timestep, latent, config.eta, generator)
        if known is not None:
            latent = _keep(sampler, latent, known, noise, step)
        if not torch.isfinite(latent).all():
            raise NumericsError(
                f"the latent holds NaN or infinity after step {step + 1} of {len(timesteps)}; "
                "lower the guidance, choose another sampler, or check the checkpoint with "
                "`musicgen-ldm info`"
            )
        if on_progress is not None:
            alpha_bar = sampler.alphas_cumprod[int(timestep)].to(scaled.device)
            clean = predict_clean(output, scaled, alpha_bar, sampler.config.prediction_type)
            on_progress(Progress(step + 1 - first, len(timesteps) - first, clean))
    return latent


def _step(
    sampler: SchedulerMixin,
    output: Tensor,
    timestep: Tensor,
    latent: Tensor,
    eta: float,
    generator: torch.Generator,
) -> Tensor:
    if not eta:
        return sampler.step(output, timestep, latent).prev_sample
    _, channels, frames, bins = latent.shape
    fresh = draw_noise(generator, (channels, frames, bins)).to(latent.device)
    return sampler.step(output, timestep, latent, eta=eta, variance_noise=fresh).prev_sample


def _keep(
    sampler: SchedulerMixin, latent: Tensor, known: Known, noise: Tensor, step: int
) -> Tensor:
    following = sampler.timesteps[step + 1 : step + 2]
    original = known.latent
    if len(following):
        original = sampler.add_noise(original, noise, following)
    return torch.where(known.keep[:, None], original, latent)
