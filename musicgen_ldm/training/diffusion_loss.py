"""The denoiser's target and the weight of each timestep. Letters as in `diffusion.py`."""

import torch
from diffusers import DDIMScheduler
from torch import Tensor


def diffusion_target(
    scheduler: DDIMScheduler, clean: Tensor, noise: Tensor, timesteps: Tensor
) -> Tensor:
    """What the network is to predict: noise, velocity or the clean latent, (B, C, N', M').

    Args:
        scheduler: Knows the prediction type.
        clean: x_0 (B, C, N', M').
        noise: eps, the same shape.
        timesteps: (B,).
    """
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        return scheduler.get_velocity(clean, noise, timesteps)
    return clean


def min_snr_weight(scheduler: DDIMScheduler, timesteps: Tensor, gamma: float) -> Tensor:
    """Loss weight of each timestep (Hang et al. 2023), (B,).

    Capping the weight that an x_0 loss gives to nearly clean latents at `gamma` and expressing it
    for the network's own target divides by SNR for epsilon and by SNR + 1 for v.
    """
    alpha_bar = scheduler.alphas_cumprod.to(timesteps.device)[timesteps]
    snr = alpha_bar / (1 - alpha_bar)
    capped = snr.clamp(max=gamma)
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return capped / snr
    return capped / (snr + 1) if kind == "v_prediction" else capped


def diffusion_loss(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error, each clip weighted by `weight` (B,); scalar."""
    error = (prediction.float() - target.float()).square().flatten(1).mean(dim=1)
    return (error if weight is None else weight * error).mean()


def even_timesteps(count: int, num_train_timesteps: int) -> Tensor:
    """`count` timesteps in the middles of as many equal parts of the process."""
    return ((torch.arange(count) + 0.5) * num_train_timesteps / count).long()
