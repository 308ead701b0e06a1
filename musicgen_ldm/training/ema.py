"""Averages of the weights that a stage exports, over diffusers' `EMAModel`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from diffusers.training_utils import EMAModel
from safetensors.torch import load_file
from torch import Tensor, nn

from musicgen_ldm.config.training import EmaConfig
from musicgen_ldm.errors import CheckpointError
from musicgen_ldm.training.sharding import placed


class Averages:
    """One exponential moving average per network.

    Args:
        models: Networks without distributed wrappers.
        config: Decay; after n steps it is min((1 + n) / (10 + n), decay).
    """

    def __init__(self, models: Mapping[str, nn.Module], config: EmaConfig) -> None:
        self.models = models
        self.averages = {
            name: EMAModel(model.parameters(), decay=config.decay) for name, model in models.items()
        }

    def update(self) -> None:
        """Move each average towards the present weights."""
        for name, average in self.averages.items():
            average.step(self.models[name].parameters())

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Put the averages in place of the weights for a while."""
        for name, average in self.averages.items():
            average.store(self.models[name].parameters())
            average.copy_to(self.models[name].parameters())
        try:
            yield
        finally:
            for name, average in self.averages.items():
                average.restore(self.models[name].parameters())

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """The averages of each network, by parameter name."""
        return {
            name: dict(zip(self._keys(name), average.shadow_params, strict=True))
            for name, average in self.averages.items()
        }

    def load(self, folder: Path, step: int) -> None:
        """Read `ema-<name>.safetensors`, written after `step` steps.

        Raises:
            CheckpointError: If the checkpoint was written without averages.
        """
        for name, average in self.averages.items():
            path = folder / f"ema-{name}.safetensors"
            if not path.is_file():
                raise CheckpointError(f"{path}: missing; the run began with ema=null, keep it so")
            tensors = load_file(path)
            for key, shadow in zip(self._keys(name), average.shadow_params, strict=True):
                shadow.copy_(placed(tensors[key], like=shadow))
            average.optimization_step = step

    def _keys(self, name: str) -> list[str]:
        return [key for key, _ in self.models[name].named_parameters()]
