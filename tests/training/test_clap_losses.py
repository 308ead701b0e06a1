"""Closed forms, limits and parity of the contrastive losses."""

import math

import pytest
import torch
from torch.nn import functional as F

from musicgen_ldm.config.clap_training import ClapStageConfig, TargetConfig
from musicgen_ldm.config.models import PRESETS
from musicgen_ldm.errors import ConfigError
from musicgen_ldm.models.clap import build_clap
from musicgen_ldm.training.clap_losses import (
    Negatives,
    clap_loss,
    cwcl_targets,
    direction_loss,
    effective_positives,
    gather_with_gradient,
    group_targets,
    identity_targets,
    logit_scale,
    with_hard_negatives,
)


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def loss(audio, text, *, scale=20.0, targets=None, **options):
    targets = identity_targets(len(audio)) if targets is None else targets
    scales = {"audio_scale": torch.tensor(scale), "text_scale": torch.tensor(scale)}
    return clap_loss(audio, text, targets=targets, **scales, **options)


def test_identity_targets_reproduce_the_stock_loss():
    torch.manual_seed(0)
    # In float32 the order of multiplications, which releases of transformers differ in, shows.
    model = build_clap(PRESETS["tiny"].clap).eval().double()
    ids = torch.randint(5, 1000, (4, 9))
    mel = torch.randn(4, 1, 1001, 64, dtype=torch.float64)
    with torch.no_grad():
        stock = model(input_ids=ids, input_features=mel, return_loss=True)
        # Both halves of the stock loss run from text to audio, so the parity is one with ours in
        # that direction; by symmetry of the formula the other one is the same with roles swapped.
        scale = logit_scale(model.logit_scale_t)
        for first, second in (
            (stock.text_embeds, stock.audio_embeds),
            (stock.audio_embeds, stock.text_embeds),
        ):
            expected = F.cross_entropy(scale * first @ second.T, torch.arange(4))
            ours = direction_loss(scale * first @ second.T, identity_targets(4))
            torch.testing.assert_close(ours, expected, atol=1e-9, rtol=0)
        text_to_audio = direction_loss(stock.logits_per_text, identity_targets(4))
        torch.testing.assert_close(text_to_audio, stock.loss, atol=1e-9, rtol=0)
        ours = clap_loss(
            stock.audio_embeds,
            stock.text_embeds,
            audio_scale=scale,
            text_scale=scale,
            targets=identity_targets(4),
        )
        both = (text_to_audio + direction_loss(stock.logits_per_audio, identity_targets(4))) / 2
        torch.testing.assert_close(ours, both, atol=1e-9, rtol=0)


def test_zero_hard_negatives_equal_the_plain_loss():
    audio, text = unit(6, 16), unit(6, 16, seed=1)
    none = Negatives(torch.zeros(6, 0, 16), torch.zeros(6, 0, dtype=torch.bool))
    absent = Negatives(unit(6, 3, 16, seed=2), torch.zeros(6, 3, dtype=torch.bool))
    for negatives in (none, absent):
        torch.testing.assert_close(
            loss(audio, text, negatives=negatives), loss(audio, text), atol=1e-6, rtol=0
        )


def test_the_loss_stays_bounded_on_random_unit_vectors():
    num_clips, num_negatives, scale = 8, 3, 20.0
    for seed in range(20):
        audio, text = unit(num_clips, 4, seed=seed), unit(num_clips, 4, seed=seed + 100)
        negatives = Negatives(
            unit(num_clips, num_negatives, 4, seed=seed + 200),
            torch.rand(num_clips, num_negatives, generator=torch.Generator().manual_seed(seed))
            > 0.3,
        )
        value = loss(audio, text, scale=scale, negatives=negatives)
        assert value < math.log(num_clips + num_negatives) + 2 * scale


def test_a_hard_negative_is_seen_by_its_own_row_alone():
    audio, text = unit(3, 8), unit(3, 8, seed=1)
    negatives = unit(3, 2, 8, seed=2).requires_grad_()
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    logits = with_hard_negatives(audio @ text.T, audio, negatives, mask)
    assert logits.shape == (3, 5)
    assert torch.isneginf(logits[:, 3:]).tolist() == (~mask).tolist()
    direction_loss(logits[:1], identity_targets(3)[:1]).backward()
    assert negatives.grad[0].abs().sum() > 0
    assert negatives.grad[1:].abs().sum() == 0


def test_a_hard_negative_near_its_clip_raises_the_loss():
    audio, text = unit(4, 16), unit(4, 16)
    near = Negatives(audio[:, None] * 1.0, torch.ones(4, 1, dtype=torch.bool))
    far = Negatives(-audio[:, None], torch.ones(4, 1, dtype=torch.bool))
    assert loss(audio, text, negatives=near) > loss(audio, text, negatives=far) + 0.3


@pytest.mark.parametrize("kind", ["cwcl_linear", "cwcl_exp"])
def test_rows_of_continuous_targets_sum_to_one(kind):
    targets = cwcl_targets(torch.randn(7, 5), TargetConfig(kind=kind, symmetric=False))
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(7))
    assert (targets >= 0).all()
    assert (targets.argmax(dim=1) == torch.arange(7)).all()


def test_groups_share_their_mass():
    targets = group_targets(torch.tensor([3, 8, 3, 3]))
    torch.testing.assert_close(targets[0], torch.tensor([1 / 3, 0, 1 / 3, 1 / 3]))
    torch.testing.assert_close(targets[1], torch.tensor([0.0, 1, 0, 0]))
    assert torch.equal(group_targets(torch.arange(4)), identity_targets(4))


def test_effective_positives_of_known_targets():
    assert effective_positives(identity_targets(5)) == pytest.approx(1)
    assert effective_positives(torch.full((5, 5), 0.2)) == pytest.approx(5)


def test_the_linear_kernel_weighs_unrelated_pairs_by_half():
    targets = cwcl_targets(torch.eye(64), TargetConfig(kind="cwcl_linear", symmetric=False))
    assert targets[0, 0] == pytest.approx(1 / (1 + 63 / 2))
    assert effective_positives(targets) == pytest.approx(63, abs=1)


def test_a_narrow_exponential_kernel_is_the_identity():
    targets = cwcl_targets(torch.eye(6), TargetConfig(kind="cwcl_exp", kappa=0.02))
    torch.testing.assert_close(targets, identity_targets(6))


def test_one_way_targets_leave_the_reverse_direction_alone():
    audio, text = unit(5, 8), unit(5, 8, seed=1)
    targets = torch.full((5, 5), 0.2)
    one_way = loss(audio, text, targets=targets, symmetric=False)
    forward = direction_loss(20 * audio @ text.T, targets)
    backward = direction_loss(20 * text @ audio.T, identity_targets(5))
    torch.testing.assert_close(one_way, (forward + backward) / 2)


def test_the_linear_kernel_refuses_both_directions():
    with pytest.raises(ConfigError, match=r"targets\.symmetric=false"):
        TargetConfig(kind="cwcl_linear")
    TargetConfig(kind="cwcl_linear", symmetric=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frozen_text_layers": 99}, "frozen_text_layers=99: must be between 0 and 12"),
        ({"hard_negatives": -1}, "hard_negatives=-1"),
        ({"init": "somewhere", "text_tower": "minilm"}, "leave text_tower out"),
    ],
)
def test_stage_values_out_of_range_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        ClapStageConfig(**change)


def test_autocast_does_not_round_the_cosines():
    audio, text = unit(16, 64), unit(16, 64, seed=1)
    exact = loss(audio, text, scale=100.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(audio, text, scale=100.0), exact)


def test_the_scale_is_clipped_at_one_hundred():
    assert logit_scale(torch.tensor(9.0)) == pytest.approx(100)
    assert logit_scale(torch.tensor(math.log(14.0))) == pytest.approx(14)


def test_without_processes_gathering_changes_nothing():
    rows = unit(3, 4)
    assert gather_with_gradient(rows) is rows


def test_an_absent_negative_leaves_every_gradient_finite():
    generator = torch.Generator().manual_seed(0)
    audio, text = (torch.randn(3, 8, generator=generator) for _ in range(2))
    scale = torch.tensor(14.0, requires_grad=True)
    embeddings = torch.randn(3, 2, 8, generator=generator, requires_grad=True)
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    loss = clap_loss(
        audio,
        text,
        audio_scale=scale,
        text_scale=scale,
        targets=identity_targets(3),
        negatives=Negatives(embeddings, mask),
    )
    loss.backward()
    assert torch.isfinite(scale.grad)
    assert torch.isfinite(embeddings.grad).all()
    assert (embeddings.grad[~mask] == 0).all()
