"""What every metric demands of its arrays, said once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_ldm.errors import MetricError

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def matrix(name: str, values: npt.ArrayLike, *, min_rows: int = 1) -> Array:
    """`values` as a finite float64 matrix.

    Args:
        name: What the matrix is, for the message.
        values: (rows, D).
        min_rows: Fewest rows that the metric can use.

    Raises:
        MetricError: If the shape is not (rows, D), rows are missing or a value is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise MetricError(f"{name} has shape {array.shape}, must be (rows, D) with D above 0")
    if len(array) < min_rows:
        raise MetricError(f"{name} has {len(array)} row(s), needs at least {min_rows}; add clips")
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise MetricError(f"{name} row {bad} holds NaN or infinity; remove that clip")
    return array


def same_width(first_name: str, first: Array, second_name: str, second: Array) -> None:
    """Refuse two matrices from different embedders.

    Raises:
        MetricError: If the numbers of columns D differ.
    """
    if first.shape[1] != second.shape[1]:
        raise MetricError(
            f"{first_name} has D={first.shape[1]} and {second_name} D={second.shape[1]}; "
            "embed both with the same model"
        )


def same_length(first_name: str, first: Sequence[Any] | npt.NDArray[Any],
                second_name: str, second: Sequence[Any] | npt.NDArray[Any]) -> None:  # fmt: skip
    """Refuse paired inputs of different lengths.

    Raises:
        MetricError: If the lengths differ.
    """
    if len(first) != len(second):
        raise MetricError(
            f"{first_name} has {len(first)} rows and {second_name} {len(second)}; "
            "row i of both must belong to the same id"
        )


def clip_index(num_frames: int, clips: npt.ArrayLike | None) -> IntArray:
    """The clip of each frame as integers 0, 1, …; None means that each frame is its own clip.

    Args:
        num_frames: F.
        clips: (F,) labels of any kind; equal labels are one clip.

    Raises:
        MetricError: If there is not one label a frame.
    """
    if clips is None:
        return np.arange(num_frames)
    labels = np.asarray(clips)
    if labels.shape != (num_frames,):
        raise MetricError(f"clips has shape {labels.shape}, must be ({num_frames},): one a frame")
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def unit_rows(values: Array) -> Array:
    """`values` (rows, D) scaled to length one, so that dot products are cosines.

    Raises:
        MetricError: If a row is zero: it has no direction.
    """
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    if (norms == 0).any():
        bad = int(np.flatnonzero(norms[:, 0] == 0)[0])
        raise MetricError(f"row {bad} is all zeros, so its cosine is undefined; remove that clip")
    return values / norms
