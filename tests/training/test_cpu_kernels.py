"""The faster CPU kernels compute what the stock ones compute."""

import copy

import pytest
import torch
from torch import nn

from musicgen_ldm.config.models import PRESETS
from musicgen_ldm.models.unet import build_unet
from musicgen_ldm.models.vae import build_vae
from musicgen_ldm.training.cpu_kernels import UnfoldedConv2d, use_cpu_kernels

TINY = PRESETS["tiny"]


def _outputs_and_gradients(model, *inputs, **kwargs):
    output = model(*inputs, **kwargs).sample
    output.square().mean().backward()
    return output, [p.grad for p in model.parameters() if p.grad is not None]


def _networks():
    channels, frames, bins = TINY.latent_shape()
    unet = build_unet(TINY.unet, latent_channels=channels, embedding_dim=32, latent_frames=frames)
    latent = torch.randn(2, channels, 16, bins)
    condition = {"encoder_hidden_states": None, "class_labels": torch.randn(2, 32)}
    yield unet, (latent, torch.tensor([3, 700])), condition
    yield build_vae(TINY.vae), (torch.randn(2, 1, 32, 64),), {}


@pytest.mark.parametrize(("stock", "inputs", "kwargs"), list(_networks()), ids=["unet", "vae"])
def test_outputs_and_gradients_equal_the_stock_kernels(stock, inputs, kwargs):
    fast = copy.deepcopy(stock).to(memory_format=torch.channels_last)
    use_cpu_kernels(fast)

    expected, expected_gradients = _outputs_and_gradients(stock, *inputs, **kwargs)
    output, gradients = _outputs_and_gradients(fast, *inputs, **kwargs)

    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
    assert len(gradients) == len(expected_gradients)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-6)
    assert fast.state_dict().keys() == stock.state_dict().keys()


def _weight_gradient(convolution, frames, dtype=None):
    convolution.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        output = convolution(frames)
    output.float().square().sum().backward()
    return convolution.weight.grad.clone()


def test_unfolded_convolution_rounds_no_more_than_the_stock_one():
    stock = nn.Conv2d(24, 40, 3, padding=1)
    ours = copy.deepcopy(stock)
    use_cpu_kernels(ours)
    frames = torch.randn(16, 24, 16, 8)
    exact = _weight_gradient(copy.deepcopy(stock).double(), frames.double())

    def error(convolution):
        rounded = _weight_gradient(convolution, frames, torch.bfloat16)
        assert rounded.dtype == torch.float32
        return float((rounded - exact).norm() / exact.norm())

    assert isinstance(ours, UnfoldedConv2d)
    assert error(ours) < 1.2 * error(stock) < 0.02


@pytest.mark.parametrize("settings", [{"stride": 2}, {"padding": 0}, {"groups": 2}])
def test_other_convolutions_stay_stock(settings):
    convolution = nn.Conv2d(4, 4, 3, **({"padding": 1} | settings))
    use_cpu_kernels(convolution)
    assert type(convolution) is nn.Conv2d
