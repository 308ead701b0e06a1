"""Fully sharded data parallelism (Zhao et al. 2023), by torch's own `fully_shard`.

Each process keeps a part of every weight, average and optimizer state, so that a network is as
large as all devices together can hold. Weights come together for a step and part again after it.
Checkpoints hold whole tensors, so a run goes on with any number of processes, sharded or not.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map

from musicgen_ldm.errors import ConfigError


class Shards:
    """The weights of a network parted over all processes, each of which must make one.

    Args:
        models: The one network that a stage trains, with the same weights in every process; its
            entry stays, its weights are replaced.
        device: Of the training.

    Raises:
        ConfigError: If the stage or the number of processes leaves nothing to share.
    """

    def __init__(self, models: dict[str, nn.Module], device: torch.device) -> None:
        if len(models) > 1:
            raise ConfigError(
                f"run.shard=true: shards stages that train one network, this one trains "
                f"{' and '.join(models)}; leave it out, they fit on one device"
            )
        ((name, model),) = models.items()
        if scalars := [key for key, p in model.named_parameters() if p.ndim == 0]:
            raise ConfigError(
                f"run.shard=true: {name} has weights of one number ({', '.join(scalars)}), which "
                "torch cannot shard; leave it out"
            )
        if not (dist.is_initialized() and dist.get_world_size() > 1):
            raise ConfigError(
                "run.shard=true: there is one process; launch several with "
                "`accelerate launch --num_processes N`, or leave it out"
            )
        self.models, self.name, self.device = models, name, device
        self.replica = copy.deepcopy(model)
        # As accelerate's wrapped networks do, hand out float32 whatever autocast computed in.
        policy = MixedPrecisionPolicy(output_dtype=torch.float32)
        sharded = fully_shard(model.to(device), mp_policy=policy)
        # Asked for an average, gloo of torch 2.8 gives the sum.
        sharded.set_force_sum_reduction_for_comms(True)

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Lend a whole copy of the network, in all processes, in place of the sharded one."""
        sharded = self.models[self.name]
        self.replica.load_state_dict(gathered(sharded.state_dict()))
        self.models[self.name] = self.replica.to(self.device)
        try:
            yield
        finally:
            self.models[self.name] = sharded
            self.replica.cpu()


def gathered(tree: Any) -> Any:
    """Nested containers with whole tensors in place of sharded ones; each process must call it."""
    return tree_map(lambda x: x.full_tensor() if isinstance(x, DTensor) else x, tree)


def placed(whole: Tensor, like: Tensor) -> Tensor:
    """This process's part of a tensor that shall be sharded as another one is."""
    if not isinstance(like, DTensor) or like.shape != whole.shape:
        return whole
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements)
