"""The projection of the condition, started from whitened vectors."""

import torch
from torch.nn import functional as F

from musicgen_ldm.config.models import PRESETS
from musicgen_ldm.models.unet import build_unet, whiten_condition

DIM = 32
FLOOR = 1e-3


def crowded_conditions(n=2000):
    """Unit vectors whose deviations fall from direction to direction, around a far mean."""
    generator = torch.Generator().manual_seed(0)
    deviations = 0.5 ** torch.arange(DIM)
    basis = torch.linalg.qr(torch.randn(DIM, DIM, generator=generator))[0]
    scattered = torch.randn(n, DIM, generator=generator) * deviations @ basis
    return F.normalize(scattered + 3 * basis[0], dim=1)


def build():
    torch.manual_seed(0)
    return build_unet(PRESETS["tiny"].unet, latent_channels=4, embedding_dim=DIM, latent_frames=16)


def spectrum(unet, conditions):
    told = unet.class_embedding(conditions).detach()
    return torch.linalg.svdvals(told - told.mean(dim=0)).square()


def test_whitened_conditions_vary_alike_down_to_the_floor():
    unet, conditions = build(), crowded_conditions()
    given = torch.linalg.svdvals(conditions - conditions.mean(dim=0)).square()
    before = spectrum(unet, conditions)
    whiten_condition(unet, conditions, FLOOR)
    after = spectrum(unet, conditions)
    expected = given / (given + FLOOR * given[0])
    rank = min(len(after), DIM)
    torch.testing.assert_close(
        (after / after[0])[:rank], (expected / expected[0])[:rank], atol=1e-3, rtol=0
    )
    assert before[4] / before[0] < 0.1 < 0.9 < after[4] / after[0]
    told = unet.class_embedding(conditions)
    torch.testing.assert_close(told.mean(dim=0), torch.zeros(told.shape[1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(told.std(), torch.tensor(1.0), atol=1e-2, rtol=0)


def test_whitening_touches_the_projection_alone():
    unet = build()
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    whiten_condition(unet, crowded_conditions(), FLOOR)
    changed = {name for name, value in unet.state_dict().items() if not value.equal(before[name])}
    assert changed == {"class_embedding.weight", "class_embedding.bias"}
