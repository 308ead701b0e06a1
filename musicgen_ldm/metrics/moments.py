"""Streaming means and covariances in float64, grouped by clip for the jackknife.

Goal: the sufficient statistics of a Fréchet distance from any number of shards, in any order.

Conventions: frames are (F, D); `clips` (F,) names the clip of each frame. Clips are dealt into G
random groups; one `Moments` is kept per group, so leaving a group out needs no second pass.

Single-pass raw moments in float32 lose the small eigenvalues (condition 1e9 is usual for CLAP);
the pairwise merge of Chan, Golub and LeVeque (1983) in float64 does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from musicgen_ldm.errors import MetricError
from musicgen_ldm.metrics.checks import Array, IntArray, clip_index, matrix

NUM_GROUPS = 30  # jackknife groups: enough degrees of freedom for t, few enough for d = 512


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter of frames.

    Attributes:
        count: Number of frames.
        mean: (D,).
        scatter: (D, D) sum of outer products of deviations from the mean.
    """

    count: int
    mean: Array
    scatter: Array

    @classmethod
    def of(cls, frames: npt.ArrayLike) -> "Moments":
        """The moments of frames (F, D); F may be 0."""
        array = matrix("frames", frames, min_rows=0)
        if not len(array):
            dim = array.shape[1]
            return cls(0, np.zeros(dim), np.zeros((dim, dim)))
        mean = array.mean(axis=0)
        deviations = array - mean
        return cls(len(array), mean, deviations.T @ deviations)

    def merged(self, other: "Moments") -> "Moments":
        """Moments of both sets of frames together; associative and commutative."""
        count = self.count + other.count
        if count == 0:
            return self
        shift = other.mean - self.mean
        cross = np.outer(shift, shift) * (self.count * other.count / count)
        mean = self.mean + shift * (other.count / count)
        return Moments(count, mean, self.scatter + other.scatter + cross)

    def without(self, part: "Moments") -> "Moments":
        """Moments of the frames that remain when `part` is taken out.

        Raises:
            MetricError: If nothing would remain.
        """
        count = self.count - part.count
        if count <= 0:
            raise MetricError(f"cannot take {part.count} of {self.count} frames out; add clips")
        mean = self.mean + (self.mean - part.mean) * (part.count / count)
        shift = part.mean - mean
        cross = np.outer(shift, shift) * (part.count * count / self.count)
        return Moments(count, mean, self.scatter - part.scatter - cross)

    @property
    def covariance(self) -> Array:
        """(D, D) with divisor count - 1.

        Raises:
            MetricError: If there are fewer than two frames.
        """
        if self.count < 2:
            raise MetricError(f"a covariance of {self.count} frame(s) is undefined; add clips")
        return self.scatter / (self.count - 1)

    @property
    def effective_rank(self) -> float:
        """Exponential of the entropy of the covariance spectrum (Roy and Vetterli 2007).

        Between 1 and D; far below D means that the distance rests on few directions.
        """
        spectrum = np.clip(np.linalg.eigvalsh(self.covariance), 0, None)
        if spectrum.sum() == 0:
            return 0.0
        share = spectrum[spectrum > 0] / spectrum.sum()
        return float(np.exp(-(share * np.log(share)).sum()))


@dataclass(frozen=True)
class GroupedMoments:
    """The moments of one set of clips, split into jackknife groups.

    Attributes:
        groups: One `Moments` a group; a single group means that no jackknife is possible.
        num_clips: Clips in all groups.
    """

    groups: tuple[Moments, ...]
    num_clips: int

    @classmethod
    def of(
        cls,
        frames: npt.ArrayLike,
        clips: npt.ArrayLike | None = None,
        *,
        num_groups: int = NUM_GROUPS,
        seed: int = 0,
    ) -> "GroupedMoments":
        """Group frames (F, D) by clip.

        Args:
            frames: (F, D).
            clips: (F,) clip of each frame; None makes each frame a clip.
            num_groups: G; fewer clips than this give one group a clip.
            seed: Of the assignment of clips to groups.
        """
        array = matrix("frames", frames, min_rows=2)
        index = clip_index(len(array), clips)
        num_clips = int(index.max()) + 1
        group_of_frame = clip_groups(num_clips, num_groups, seed)[index]
        parts = [Moments.of(array[group_of_frame == g]) for g in np.unique(group_of_frame)]
        return cls(tuple(parts), num_clips)

    @cached_property
    def total(self) -> Moments:
        """The moments of all frames."""
        return reduce(Moments.merged, self.groups)

    def leave_one_out(self) -> list[Moments]:
        """For each group, the moments of all the others; empty with a single group."""
        if len(self.groups) == 1:
            return []
        return [self.total.without(group) for group in self.groups]


def clip_groups(num_clips: int, num_groups: int, seed: int) -> IntArray:
    """Deal clips into equal random groups: (num_clips,) numbers below min(G, num_clips).

    The same number of clips and seed give the same groups, so that two systems evaluated on the
    same sorted ids can be jackknifed jointly.
    """
    order = np.random.default_rng(seed).permutation(num_clips)
    groups = np.empty(num_clips, dtype=np.int64)
    groups[order] = np.arange(num_clips) % min(num_groups, num_clips)
    return groups


def save_moments(
    path: str | Path, moments: GroupedMoments, *, embedder: str, identity: str
) -> None:
    """Write reference statistics as .npz.

    Its keys are embedder, identity (of weights and preprocessing), num_clips, counts, means and
    scatters.
    """
    with Path(path).open("wb") as file:
        np.savez(
            file,
            embedder=np.array(embedder),
            identity=np.array(identity),
            num_clips=np.array(moments.num_clips),
            counts=np.array([g.count for g in moments.groups]),
            means=np.stack([g.mean for g in moments.groups]),
            scatters=np.stack([g.scatter for g in moments.groups]),
        )


def load_moments(path: str | Path, embedder: str, identity: str) -> GroupedMoments:
    """Read reference statistics of `embedder` with that `identity` from .npz.

    Besides our own files it reads those of fadtk (`NAME.mu`, `NAME.cov`) and of
    stable-audio-metrics (`mu_ref`, `sigma_ref`). These hold neither counts nor groups, so the
    reference is taken as exact and adds nothing to the error bar.

    Raises:
        MetricError: If the file is missing or damaged, of another embedder or other weights, or
            of none of these layouts.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            data = dict(file)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise MetricError(f"{path}: no readable statistics ({error}); save them again") from error
    if {"counts", "means", "scatters", "identity"} <= data.keys():
        return _own_moments(path, data, embedder, identity)
    for mean_key, cov_key in ((f"{embedder}.mu", f"{embedder}.cov"), ("mu_ref", "sigma_ref")):
        if {mean_key, cov_key} <= data.keys():
            return exact_moments(data[mean_key], data[cov_key])
    raise MetricError(
        f"{path}: holds {_listed(sorted(data))}; expected counts/means/scatters/identity, "
        f"{embedder}.mu/{embedder}.cov or mu_ref/sigma_ref"
    )


def _own_moments(
    path: Path, data: Mapping[str, npt.NDArray[Any]], embedder: str, identity: str
) -> GroupedMoments:
    if str(data["embedder"]) != embedder:
        raise MetricError(f"{path}: statistics of {data['embedder']}, not of {embedder}")
    if str(data["identity"]) != identity:
        raise MetricError(
            f"{path}: statistics of {embedder} with other weights or another preset "
            f"({data['identity']}, now {identity}); save them again"
        )
    parts = zip(data["counts"], data["means"], data["scatters"], strict=True)
    groups = tuple(Moments(int(n), mean, scatter) for n, mean, scatter in parts)
    return GroupedMoments(groups, int(data["num_clips"]))


def exact_moments(mean: npt.ArrayLike, covariance: npt.ArrayLike) -> GroupedMoments:
    """A known distribution as a single group: no error bar comes from it."""
    covariance = np.asarray(covariance, dtype=np.float64)
    return GroupedMoments((Moments(2, np.asarray(mean, dtype=np.float64), covariance),), 0)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
