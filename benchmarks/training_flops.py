"""Floating-point operations of one training step per clip, on any machine in seconds.

    python benchmarks/training_flops.py [preset …]

Networks and inputs live on the meta device, so almost nothing is computed: torch's counter adds up
what the forward and backward passes of each stage would do. `docs/scaling.md` turns the numbers
into hours. Spectra and losses are not counted.
"""

import sys
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from musicgen_ldm.config.clap_training import ClapStageConfig
from musicgen_ldm.config.models import PRESETS, ModelConfig
from musicgen_ldm.config.signal import CLIP_SECONDS
from musicgen_ldm.config.vocoder_training import VocoderStageConfig
from musicgen_ldm.models.clap import build_clap, build_feature_extractor
from musicgen_ldm.models.discriminators import PatchDiscriminator, WaveformDiscriminator
from musicgen_ldm.models.unet import build_unet
from musicgen_ldm.models.vae import build_vae
from musicgen_ldm.models.vocoder import build_vocoder, vocode

DISCRIMINATOR_WIDTHS = {"musicldm": (64, 32), "pocket": (32, 8)}  # patch, waveform: as in configs/


def gflop(forward: Callable[[], Tensor]) -> float:
    """10^9 operations of a forward and a backward pass."""
    with FlopCounterMode(display=False) as counter:
        forward().mean().backward()
    return counter.get_total_flops() / 1e9


def stages(preset: str, model: ModelConfig) -> dict[str, float]:
    """GFLOP per clip of each trained network; the vocoder's unit is one segment."""
    num_frames = model.mel.num_frames(CLIP_SECONDS)
    segment = VocoderStageConfig(model=model).segment_frames
    channels, frames, bins = model.latent_shape()
    patch_width, wave_width = DISCRIMINATOR_WIDTHS[preset]
    judges = WaveformDiscriminator(wave_width)  # its transforms do not run on the meta device
    wave = torch.zeros(1, model.mel.num_samples(segment), requires_grad=True)
    clap = build_clap(model.clap)  # its audio tower looks at values, which the meta device lacks
    extractor = build_feature_extractor(model.clap.audio)
    num_windows = extractor.nb_max_samples // extractor.hop_length + 1
    heard = torch.zeros(1, 1, num_windows, extractor.feature_size)
    tokens = torch.ones(1, ClapStageConfig(model=model).max_tokens, dtype=torch.long)
    with torch.device("meta"):
        vae, vocoder = build_vae(model.vae), build_vocoder(model.vocoder, model.mel)
        patch = PatchDiscriminator(patch_width)
        unet = build_unet(
            model.unet,
            latent_channels=channels,
            embedding_dim=model.clap.embedding_dim,
            latent_frames=frames,
        )
        mel = torch.zeros(1, 1, num_frames, model.mel.num_bins, requires_grad=True)
        short = torch.zeros(1, 1, segment, model.mel.num_bins)
        latent, embedding = (
            torch.zeros(1, channels, frames, bins),
            torch.zeros(1, model.clap.embedding_dim),
        )
        return {
            "clap, a sound": gflop(
                lambda: clap.audio_model(heard, is_longer=torch.zeros(1, 1)).pooler_output
            ),
            "clap, a sentence": gflop(lambda: clap.text_model(tokens, tokens).pooler_output),
            "vae, 10.24 s": gflop(lambda: vae.decode(vae.encode(mel).latent_dist.mean).sample),
            "patch discriminator, one pass": gflop(lambda: patch(mel)),
            f"vocoder, {segment} frames": gflop(lambda: vocode(vocoder, short)),
            "waveform discriminators, one pass": gflop(
                lambda: torch.stack([score.mean() for score, _ in judges(wave)])
            ),
            "unet, 10.24 s": gflop(
                lambda: (
                    unet(
                        latent, torch.zeros(1), encoder_hidden_states=None, class_labels=embedding
                    ).sample
                )
            ),
        }


def main(presets: list[str]) -> None:
    """Print one table per preset."""
    for preset in presets or list(DISCRIMINATOR_WIDTHS):
        print(f"{preset}: GFLOP per clip, forward and backward")
        for name, value in stages(preset, PRESETS[preset]).items():
            print(f"  {name}: {value:.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
