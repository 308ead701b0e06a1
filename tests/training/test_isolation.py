"""Two networks that learn against each other never learn from each other's loss."""

import pytest
import torch
from synthetic_clips import write_clips

from musicgen_ldm.config.models import PRESETS
from musicgen_ldm.config.training import AdversaryConfig, DataConfig, OptimConfig
from musicgen_ldm.config.vae_training import VaeStageConfig
from musicgen_ldm.config.vocoder_training import VocoderStageConfig
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.training.task import StepContext
from musicgen_ldm.training.vae import VaeTask
from musicgen_ldm.training.vocoder import VocoderTask

MICRO_BATCHES = 2
FAST = OptimConfig(lr=2e-3)


@pytest.fixture(params=["vae", "vocoder"])
def task(request, tmp_path):
    data = DataConfig(manifest=str(write_clips(tmp_path)), seconds=0.64)
    shared = {"preset": "tiny", "model": PRESETS["tiny"], "data": data, "optim": FAST}
    torch.manual_seed(0)
    if request.param == "vae":
        adversary = AdversaryConfig(start_step=0, width=8, optim=FAST)
        return VaeTask(VaeStageConfig(adversary=adversary, **shared))
    adversary = AdversaryConfig(start_step=0, width=2, optim=FAST)
    return VocoderTask(VocoderStageConfig(adversary=adversary, segment_frames=16, **shared))


def state(module):
    """Weights, buffers and gradients by name; None for a gradient that is not there."""
    tensors = dict(module.state_dict()) | {
        f"gradient of {name}": p.grad for name, p in module.named_parameters()
    }
    return {key: None if x is None else x.detach().clone() for key, x in tensors.items()}


def changes(before, after):
    """Names of the tensors that differ."""
    return {
        key
        for key, old in before.items()
        if (old is None) != (after[key] is None)
        or (old is not None and not torch.equal(old, after[key]))
    }


def test_a_step_of_one_network_leaves_the_other_untouched(task):
    """Gradients that wait for the rest of a step's micro-batches included."""
    optimizers = {name: o.optimizer for name, o in task.optimizers().items()}
    calls = []

    def optimize(name, loss):
        (other,) = task.models.keys() - {name}
        before = {key: state(model) for key, model in task.models.items()}
        loss.backward()
        if len(calls) // 2 == MICRO_BATCHES - 1:
            optimizers[name].step()
            optimizers[name].zero_grad()
        assert changes(before[other], state(task.models[other])) == set()
        assert changes(before[name], state(task.models[name]))
        calls.append(name)

    examples = [task.dataset("train")[ClipRef(0, index)] for index in range(2)]
    for micro in range(MICRO_BATCHES):
        generator = torch.Generator().manual_seed(micro)
        task.step(task.collate(examples), StepContext(0, generator, optimize))
    assert calls == ["discriminator", task.name] * MICRO_BATCHES
    assert all(p.requires_grad for model in task.models.values() for p in model.parameters())
