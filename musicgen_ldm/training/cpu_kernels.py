"""Faster kernels for training on a CPU; the mathematics stays the same.

Three of torch's kernels are far slower backward than they need be on a CPU: group norm of
channels-last tensors, fused attention over the short sequences of a latent, and the weight
gradient of a convolution over few positions. `benchmarks/cpu_kernels.py` measures what others in
their place save.
"""

from collections.abc import Collection, Iterable
from typing import Any, cast

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv2d_input


class ContiguousGroupNorm(nn.GroupNorm):
    """Group norm that computes in channels-first memory and answers in channels-last."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, ...) as `nn.GroupNorm` does."""
        output = F.group_norm(input.contiguous(), self.num_groups, self.weight, self.bias, self.eps)
        if output.ndim != 4:
            return output
        return output.contiguous(memory_format=torch.channels_last)


class UnfoldedConv2d(nn.Conv2d):
    """Convolution whose weight gradient over few positions is one matrix product."""

    # From here on copying nine times the input costs more than the product saves.
    MAX_POSITIONS = 160

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C, H, W) as `nn.Conv2d` does."""
        small = input.shape[2] * input.shape[3] <= self.MAX_POSITIONS
        if not (small and torch.is_grad_enabled() and self.weight.requires_grad):
            return super().forward(input)
        arguments = [input, self.weight, self.bias]
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            arguments = [None if value is None else value.to(dtype) for value in arguments]
        return cast(Tensor, _UnfoldedConvolution.apply(*arguments))

    @classmethod
    def suits(cls, module: nn.Module) -> bool:
        """Whether a module is a 3 x 3 convolution that keeps the size of its input."""
        return type(module) is nn.Conv2d and (
            (module.kernel_size, module.stride, module.padding, module.dilation, module.groups)
            == ((3, 3), (1, 1), (1, 1), (1, 1), 1)
            and module.padding_mode == "zeros"
        )


class _UnfoldedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(input, weight)
        return F.conv2d(input, weight, bias, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        input, weight = ctx.saved_tensors
        _, channels, height, width = input.shape
        to_input = (
            conv2d_input(input.shape, weight, gradient, padding=1)
            if ctx.needs_input_grad[0]
            else None
        )
        padded = F.pad(input.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        shifted = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        unfolded = torch.stack(shifted, dim=3).reshape(-1, 9 * channels)
        outputs = gradient.permute(0, 2, 3, 1).reshape(-1, gradient.shape[1])
        to_weight = (outputs.T @ unfolded).view(-1, 3, 3, channels).permute(0, 3, 1, 2)
        to_bias = gradient.sum(dim=(0, 2, 3)) if ctx.needs_input_grad[2] else None
        return to_input, to_weight, to_bias


def lay_out(
    trained: Collection[nn.Module], frozen: Iterable[nn.Module], device: torch.device
) -> None:
    """Bring networks into channels-last memory, and on a CPU into the kernels that suit it."""
    for model in (*trained, *frozen):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu":  # backward is what is slow: trained ones only
        for model in trained:
            use_cpu_kernels(model)


def use_cpu_kernels(model: nn.Module) -> None:
    """Swap the slow kernels of a network in place; parameters and their names stay."""
    for module in model.modules():
        if type(module) is nn.GroupNorm:
            module.__class__ = ContiguousGroupNorm
        elif isinstance(module, Attention):
            module.set_processor(AttnProcessor())
        elif UnfoldedConv2d.suits(module):
            module.__class__ = UnfoldedConv2d
