"""Parameters and floating-point operations of every network of every preset, per 10.24 s clip.

Counted on the meta device: nothing is allocated or computed.

    python benchmarks/model_sizes.py [--presets pocket musicldm]
"""

import argparse
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from musicgen_ldm.config.models import PRESETS, ModelConfig
from musicgen_ldm.config.signal import CLIP_SECONDS
from musicgen_ldm.models.clap import build_clap
from musicgen_ldm.models.unet import build_unet
from musicgen_ldm.models.vae import build_vae
from musicgen_ldm.models.vocoder import build_vocoder


def giga_operations(run: Callable[[], object]) -> float:
    """Floating-point operations of a call in units of 1e9; a multiply-add counts as two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return counter.get_total_flops() / 1e9


def rows(config: ModelConfig) -> list[tuple[str, nn.Module, Callable[[], object] | None]]:
    """Name, network and one forward pass of each part, where it can be counted."""
    channels, frames, bins = config.latent_shape()
    vae, vocoder = build_vae(config.vae), build_vocoder(config.vocoder, config.mel)
    unet = build_unet(
        config.unet,
        latent_channels=channels,
        embedding_dim=config.clap.embedding_dim,
        latent_frames=frames,
    )
    clap = build_clap(config.clap)
    num_frames = config.mel.num_frames(CLIP_SECONDS)
    mel = torch.zeros(1, 1, num_frames, config.mel.num_bins)
    latent = torch.zeros(1, channels, frames, bins)
    label = torch.zeros(1, config.clap.embedding_dim)
    audio = config.clap.audio
    window_frames = int(audio.window_s * audio.sample_rate) // audio.hop_length + 1
    heard = torch.zeros(1, 1, window_frames, 64)
    flag = torch.zeros(1, 1, dtype=torch.bool)

    def denoise() -> object:
        return unet(latent, torch.tensor(1), encoder_hidden_states=None, class_labels=label)

    return [
        ("unet, one pass", unet, denoise),
        ("vae encoder", vae.encoder, lambda: vae.encode(mel)),
        ("vae decoder", vae.decoder, lambda: vae.decode(latent)),
        ("vocoder", vocoder, lambda: vocoder(mel[:, 0])),
        ("clap text tower", clap.text_model, None),  # its masks need real values
        ("clap audio tower", clap.audio_model, lambda: clap.audio_model(heard, is_longer=flag)),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), choices=list(PRESETS))
    args = parser.parse_args()
    print(f"{'preset':14}{'network':18}{'M params':>10}{'MB fp16':>9}{'GFLOP':>9}")
    for preset in args.presets:
        with torch.device("meta"):
            for name, network, run in rows(PRESETS[preset]):
                millions = sum(p.numel() for p in network.parameters()) / 1e6
                operations = f"{giga_operations(run):9.2f}" if run else f"{'-':>9}"
                print(f"{preset:14}{name:18}{millions:10.2f}{2 * millions:9.1f}{operations}")


if __name__ == "__main__":
    main()
