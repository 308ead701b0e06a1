"""From a dataset to batches: unusable clips are replaced by the next one and counted."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.errors import MusicGenError, TrainingError

MAX_REPLACEMENTS = 8  # unusable clips in a row before a dataset counts as broken

Example = dict[str, Any]
Skip = tuple[int, str]  # index of the clip, reason


class ExampleSource(Protocol):
    """A dataset. `data/clips.py` has the one that most stages share.

    `__getitem__` raises a `MusicGenError` for a clip that cannot be used.
    """

    def __len__(self) -> int:
        """How many clips an epoch has."""
        ...

    def __getitem__(self, ref: ClipRef) -> Example:
        """The example of one clip in one epoch; always the same for the same `ref`."""
        ...


class _Tolerant(Dataset[tuple[Example, list[Skip]]]):
    """Replaces a clip that cannot be used by the next one, so that batches keep their size."""

    def __init__(self, source: ExampleSource) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, ref: ClipRef) -> tuple[Example, list[Skip]]:
        skips: list[Skip] = []
        for offset in range(min(MAX_REPLACEMENTS, len(self.source))):
            index = (ref.index + offset) % len(self.source)
            try:
                return self.source[ClipRef(ref.epoch, index)], skips
            except MusicGenError as error:
                skips.append((index, str(error)))
        raise TrainingError(
            f"{len(skips)} clips in a row cannot be used; the first: {skips[0][1]}; "
            "`musicgen-ldm prepare --check` lists all"
        )


class SkipLog:
    """Which clips were skipped and why, and whether they are too many.

    Args:
        num_clips: Size of the dataset.
        max_skipped: Largest fraction of it that may be unusable.
    """

    def __init__(self, num_clips: int, max_skipped: float) -> None:
        self.num_clips = num_clips
        self.max_skipped = max_skipped
        self.reasons: dict[int, str] = {}

    def add(self, skips: Iterable[Skip]) -> list[str]:
        """Record skips; returns the reasons not met before."""
        fresh = [(index, reason) for index, reason in skips if index not in self.reasons]
        self.reasons.update(fresh)
        return [reason for _, reason in fresh]

    def check(self) -> None:
        """Refuse to go on with too few clips.

        Raises:
            TrainingError: If the fraction of unusable clips is above the limit.
        """
        if len(self.reasons) > self.max_skipped * self.num_clips:
            shown = "; ".join(list(self.reasons.values())[:3])
            raise TrainingError(
                f"{len(self.reasons)} of {self.num_clips} clips cannot be used, more than "
                f"data.max_skipped={self.max_skipped} allows: {shown}"
            )


class _Collate:
    """Collates examples and gathers their skips; a class because workers may have to pickle it."""

    def __init__(self, collate: Callable[[Sequence[Example]], Any]) -> None:
        self.collate = collate

    def __call__(self, items: Sequence[tuple[Example, list[Skip]]]) -> tuple[Any, list[Skip]]:
        examples = [example for example, _ in items]
        return self.collate(examples), [skip for _, skips in items for skip in skips]


def build_loader(
    source: ExampleSource,
    refs: Iterable[list[ClipRef]],
    collate: Callable[[Sequence[Example]], Any],
    *,
    workers: int,
    pin_memory: bool,
) -> DataLoader[tuple[Any, list[Skip]]]:
    """A loader of `(batch, skips)`, the same for any number of workers."""
    return DataLoader(
        _Tolerant(source),
        batch_sampler=refs,
        collate_fn=_Collate(collate),
        num_workers=workers,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        generator=torch.Generator(),  # or the loader would draw from torch's global one
    )


def stack_waveforms(examples: Sequence[Example]) -> dict[str, Any]:
    """Collate `{"id", "waveform"}` examples into ids and waveforms (B, T)."""
    waveforms = torch.stack([torch.from_numpy(example["waveform"]) for example in examples])
    return {"id": [example["id"] for example in examples], "waveform": waveforms}
