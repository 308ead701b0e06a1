"""The presets are the architectures they claim to be."""

import pytest
import torch

from musicgen_ldm.config.models import PRESETS
from musicgen_ldm.models.clap import build_clap
from musicgen_ldm.models.unet import build_unet
from musicgen_ldm.models.vae import build_vae, decode, encode
from musicgen_ldm.models.vocoder import build_vocoder, vocode


def millions(module: torch.nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


def test_faithful_parameter_counts() -> None:
    config = PRESETS["musicldm"]
    with torch.device("meta"):
        unet = build_unet(config.unet, latent_channels=8, embedding_dim=512, latent_frames=256)
        vae = build_vae(config.vae)
    assert millions(unet) == pytest.approx(185.04, abs=0.01)
    assert millions(vae) == pytest.approx(55.38, abs=0.01)
    assert millions(build_vocoder(config.vocoder, config.mel)) == pytest.approx(55.26, abs=0.01)
    assert config.unet.num_heads == (4, 8, 12, 20)


@pytest.mark.slow
def test_faithful_clap_parameter_count() -> None:
    assert millions(build_clap(PRESETS["musicldm"].clap)) == pytest.approx(193.91, abs=0.01)


@pytest.mark.parametrize(
    ("preset", "shape"),
    [("musicldm", (8, 256, 16)), ("musicldm-128", (16, 128, 16)), ("pocket", (16, 128, 8))],
)
def test_latent_shape_of_a_training_clip(preset: str, shape: tuple[int, int, int]) -> None:
    assert PRESETS[preset].latent_shape() == shape


@pytest.mark.parametrize("num_frames", [64, 96, 200])
def test_codec_keeps_time(num_frames: int) -> None:
    config = PRESETS["tiny"]
    vae, vocoder = build_vae(config.vae).eval(), build_vocoder(config.vocoder, config.mel).eval()
    mel = torch.randn(2, 1, num_frames, config.mel.num_bins)
    with torch.no_grad():
        latent = encode(vae, mel)
        assert latent.shape == (2, 4, num_frames // 4, 16)
        assert decode(vae, latent).shape == mel.shape
        assert vocode(vocoder, mel).shape == (2, num_frames * config.mel.hop_length)


def test_vae_samples_only_with_a_generator() -> None:
    vae = build_vae(PRESETS["tiny"].vae).eval()
    mel = torch.randn(1, 1, 32, 64)
    with torch.no_grad():
        assert torch.equal(encode(vae, mel), encode(vae, mel))
        first = encode(vae, mel, torch.Generator().manual_seed(1))
        again = encode(vae, mel, torch.Generator().manual_seed(1))
        other = encode(vae, mel, torch.Generator().manual_seed(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_wider_mel_keeps_the_vocoder_in_step() -> None:
    config = PRESETS["tiny"]
    mel_config = type(config.mel)(num_bins=2 * config.mel.num_bins)
    vocoder = build_vocoder(config.vocoder, mel_config).eval()
    with torch.no_grad():
        assert vocode(vocoder, torch.randn(1, 1, 10, 128)).shape == (1, 1600)
