"""Running means between two log lines; part of a checkpoint, so that no line changes by a stop."""

import torch
from torch import Tensor

from musicgen_ldm.training.task import Metrics


class Meters:
    """Sums and counts of named values."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: Metrics) -> None:
        """Add one value per name; tensors stay on their device, so nothing waits for them."""
        for name, value in values.items():
            number = torch.as_tensor(value, dtype=torch.float64).detach()
            self.sums[name] = self.sums[name] + number if name in self.sums else number
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, Tensor]:
        """Mean per name, float64 scalars."""
        return {name: total / self.counts[name] for name, total in self.sums.items()}

    def clear(self) -> None:
        """Begin the next window."""
        self.sums, self.counts = {}, {}

    def state(self) -> dict[str, tuple[float, int]]:
        """Sum and count per name, exactly."""
        return {name: (float(total), self.counts[name]) for name, total in self.sums.items()}

    def load(self, state: dict[str, tuple[float, int]]) -> None:
        """Restore what `state` returned."""
        self.sums = {name: torch.tensor(s, dtype=torch.float64) for name, (s, _) in state.items()}
        self.counts = {name: count for name, (_, count) in state.items()}
