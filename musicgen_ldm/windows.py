"""Overlapping windows along time, straight or wrapped into a circle.

A network trained on clips of one length is applied to a canvas of any length by averaging its
outputs over overlapping windows (Bar-Tal et al. 2023); on a circular canvas the windows wrap,
which makes the result loop.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

# Consecutive window grids are shifted by this share of the canvas (golden ratio), so that no
# position is a window's edge in every step.
SHIFT = (math.sqrt(5) - 1) / 2
OVERLAP = 0.25  # share of a window that it has in common with its neighbour


def window_size(length: int, largest: int, multiple: int) -> int:
    """Smallest multiple of `multiple` that holds `length`, but at most `largest`."""
    return min(largest, math.ceil(length / multiple) * multiple)


def window_starts(length: int, size: int, step: int, *, circular: bool) -> list[int]:
    """Where the windows of grid number `step` begin.

    Every position is covered. On a straight canvas windows stay inside; on a circle they may wrap.
    """
    if circular:
        hop = size if size >= length else max(1, int(size * (1 - OVERLAP)))
        shift = int(step * SHIFT * length) % length
        return [(start + shift) % length for start in range(0, length, hop)]
    if size >= length:
        return [0]
    hop = max(1, int(size * (1 - OVERLAP)))
    shift = int(step * SHIFT * hop) % hop
    last = length - size
    return sorted({min(max(start - shift, 0), last) for start in range(0, last + hop + shift, hop)})


def iterate_windows(
    length: int, size: int, step: int, *, circular: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Index (size,) into time and weight (size,) of each window of one grid.

    The weight is a trapezoid whose ramps are as long as the overlap, never zero.
    """
    ramp = max(1, int(size * OVERLAP))
    rise = torch.arange(1, ramp + 1) / (ramp + 1)
    weight = torch.ones(size)
    if size < length:
        weight[:ramp] = rise
        weight[-ramp:] = rise.flip(0)
    for start in window_starts(length, size, step, circular=circular):
        yield (start + torch.arange(size)) % length, weight
