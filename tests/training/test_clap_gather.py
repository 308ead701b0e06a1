"""Contrastive gradients over two processes. (Kept apart: each process imports this file anew.)"""

import socket

import pytest
import torch
import torch.multiprocessing as mp
from torch.nn import functional as F

from musicgen_ldm.training.clap_losses import clap_loss, gather_with_gradient, identity_targets


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def loss(audio, text):
    scale = torch.tensor(20.0)
    targets = identity_targets(len(audio))
    return clap_loss(audio, text, audio_scale=scale, text_scale=scale, targets=targets)


@pytest.fixture
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _gathered_gradient(rank, size, port, results):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size
    )
    audio, text = unit(4, 8), unit(4, 8, seed=1)
    mine = slice(2 * rank, 2 * rank + 2)
    weight = torch.eye(8, requires_grad=True)  # stands for a network that both ranks share
    rows = gather_with_gradient(audio[mine] @ weight)
    value = loss(rows, gather_with_gradient(text[mine] @ weight))
    value.backward()
    for rows in (torch.tensor([rank, 7]), torch.tensor([[rank == 0], [True]])):
        gathered = gather_with_gradient(rows)  # caption groups and masks of negatives
        assert gathered.dtype == rows.dtype
        assert torch.equal(gathered[2 * rank : 2 * rank + 2], rows)
        assert len(gathered) == 2 * size
    torch.distributed.all_reduce(weight.grad)  # DDP averages
    results[rank] = (value.item(), (weight.grad / size).tolist())
    torch.distributed.destroy_process_group()


def test_two_processes_have_the_gradient_of_one_with_the_whole_batch(unused_port):
    weight = torch.eye(8, requires_grad=True)
    whole = loss(unit(4, 8) @ weight, unit(4, 8, seed=1) @ weight)
    whole.backward()
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(_gathered_gradient, args=(2, unused_port, results), nprocs=2)
        for rank in range(2):
            value, gradient = results[rank]
            assert value == pytest.approx(whole.item(), abs=1e-6)
            torch.testing.assert_close(torch.tensor(gradient), weight.grad, atol=1e-6, rtol=1e-5)
