"""Memory layouts and kernels for training `pocket` on a CPU, in bfloat16, in one run.

    OMP_NUM_THREADS=1 python benchmarks/cpu_kernels.py

Processor seconds of a forward and backward pass, best of several: stock networks in contiguous
memory, the same in channels-last memory, and channels-last with `training/cpu_kernels.py`.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from musicgen_ldm.config.models import PRESETS
from musicgen_ldm.models.unet import build_unet
from musicgen_ldm.models.vae import build_vae
from musicgen_ldm.training.cpu_kernels import use_cpu_kernels

POCKET = PRESETS["pocket"]
REPEATS = 7
LAYOUTS = ("contiguous", "channels-last", "with our kernels")


def vae_pass() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    """Autoencoder on eight crops of 1.28 s."""
    mel = torch.randn(8, 1, 128, POCKET.mel.num_bins)
    return build_vae(POCKET.vae), lambda vae: vae.decode(vae.encode(mel).latent_dist.mode()).sample


def unet_pass() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    """Denoiser on sixteen crops of 5.12 s."""
    channels, frames, bins = POCKET.latent_shape(5.12)
    embedding_dim = POCKET.clap.embedding_dim
    unet = build_unet(
        POCKET.unet, latent_channels=channels, embedding_dim=embedding_dim, latent_frames=frames
    )
    noisy, condition = torch.randn(16, channels, frames, bins), torch.randn(16, embedding_dim)
    timesteps = torch.arange(0, 960, 60)
    return (
        unet,
        lambda unet: (
            unet(noisy, timesteps, encoder_hidden_states=None, class_labels=condition).sample
        ),
    )


def measure(network: nn.Module, forward: Callable[[nn.Module], Tensor]) -> float:
    """Least processor seconds of a pass."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        with torch.autocast("cpu", torch.bfloat16):
            output = forward(network)
        output.float().square().mean().backward()
        network.zero_grad()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    """Print one row per network."""
    print("| network | " + " | ".join(LAYOUTS) + " | ratio |\n|---|--:|--:|--:|--:|")
    for name, make in (("VAE, 8 x 1.28 s", vae_pass), ("UNet, 16 x 5.12 s", unet_pass)):
        network, forward = make()
        seconds = [measure(network, forward)]
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        seconds.append(measure(network, forward))
        use_cpu_kernels(network)
        seconds.append(measure(network, forward))
        cells = " | ".join(f"{s:.2f} s" for s in seconds)
        print(f"| {name} | {cells} | {seconds[2] / min(seconds[:2]):.2f} |")


if __name__ == "__main__":
    main()
