import dataclasses

import pytest
import torch
from diffusers import AutoencoderKL
from synthetic_clips import write_clips
from torch import Generator

from musicgen_ldm.config.models import PRESETS
from musicgen_ldm.config.training import AdversaryConfig, DataConfig, OptimConfig, RunConfig
from musicgen_ldm.config.vae_training import VaeStageConfig
from musicgen_ldm.errors import CheckpointError, ConfigError
from musicgen_ldm.models.discriminators import PatchDiscriminator, hinge_loss
from musicgen_ldm.models.vae import encode
from musicgen_ldm.training.loop import Trainer
from musicgen_ldm.training.run_folder import read_metrics
from musicgen_ldm.training.spectral import multiscale_mel_loss
from musicgen_ldm.training.vae import VaeTask

FAST = OptimConfig(name="adam", lr=3e-3, weight_decay=0.0)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def config(manifest, tmp_path):
    return VaeStageConfig(
        preset="tiny",
        model=PRESETS["tiny"],
        data=DataConfig(manifest=str(manifest), seconds=0.64),
        batch_size=4,
        max_steps=4,
        optim=FAST,
        adversary=AdversaryConfig(start_step=2, width=8, optim=FAST),
        scale_clips=4,
        run=RunConfig(
            out=str(tmp_path / "run"), device="cpu", log_every=1, valid_every=4, valid_clips=2,
            sample_every=4, save_every=2, trackers=(),
        ),
    )  # fmt: skip


def test_multiscale_loss_of_equal_and_of_shifted_mels():
    mel = torch.randn(2, 1, 64, 64, generator=Generator().manual_seed(0))
    assert multiscale_mel_loss(mel, mel) == 0
    torch.testing.assert_close(multiscale_mel_loss(mel + 0.5, mel), torch.tensor(0.5))


def test_multiscale_loss_prefers_sharp_onsets_to_blurred_ones():
    """Plain L1 does not tell apart two errors of equal area; the slopes do."""
    target = torch.zeros(1, 1, 64, 64)
    flat, jagged = torch.full_like(target, 0.5), target.clone()
    jagged[:, :, ::2] = 1.0
    torch.testing.assert_close(flat.abs().mean(), jagged.abs().mean())
    assert multiscale_mel_loss(jagged, target) > multiscale_mel_loss(flat, target)


def test_hinge_loss_limits():
    assert hinge_loss(torch.tensor([1.0, 3.0]), torch.tensor([-1.0, -2.0])) == 0
    assert hinge_loss(torch.zeros(3), torch.zeros(3)) == 1


def test_patches_do_not_depend_on_their_batch():
    judge = PatchDiscriminator(width=8)
    mel = torch.randn(3, 1, 64, 64, generator=Generator().manual_seed(0))
    scores = judge(mel)
    assert scores.shape == (3, 1, 6, 6)
    torch.testing.assert_close(judge(mel[1:2]), scores[1:2])


def test_the_stage_trains_exports_and_reloads_with_the_stock_class(config):
    trainer = Trainer(config, lambda: VaeTask(config))
    trainer.fit()
    lines = read_metrics(trainer.run.metrics)
    assert ["train/adversarial" in line for line in lines if "lr/vae" in line] == [
        False, False, True, True,
    ]  # fmt: skip
    assert lines[2]["train/adversarial_weight"] > 0
    vae = AutoencoderKL.from_pretrained(trainer.run.export / "vae", use_safetensors=True)
    mel = trainer.task._mel(torch.randn(4, 10240, generator=Generator().manual_seed(1)) * 0.1)
    with trainer._evaluation(), torch.no_grad():
        expected = trainer.task.vae.encode(mel).latent_dist.mean
    with torch.no_grad():
        torch.testing.assert_close(encode(vae, mel), expected * vae.config.scaling_factor)
    warm = dataclasses.replace(config, init=str(trainer.run.path))
    assert VaeTask(warm).vae.config.scaling_factor == vae.config.scaling_factor


def test_a_frozen_encoder_leaves_latents_as_they_are(config, tmp_path):
    Trainer(config, lambda: VaeTask(config)).fit()
    again = dataclasses.replace(
        config, init=str(tmp_path / "run"), frozen_encoder=True,
        run=dataclasses.replace(config.run, out=str(tmp_path / "decoder")),
    )  # fmt: skip
    Trainer(again, lambda: VaeTask(again)).fit()
    before, after = (
        AutoencoderKL.from_pretrained(tmp_path / run / "export" / "vae", use_safetensors=True)
        for run in ("run", "decoder")
    )
    states = before.state_dict(), after.state_dict()
    changed = {
        key.split(".")[0] for key in states[0] if not torch.equal(states[0][key], states[1][key])
    }
    assert changed == {"decoder", "post_quant_conv"}
    assert after.config.scaling_factor == before.config.scaling_factor


def test_an_untrained_encoder_cannot_be_frozen(config):
    with pytest.raises(ConfigError, match="init="):
        dataclasses.replace(config, frozen_encoder=True)


def test_the_measured_scale_gives_latents_of_unit_variance(config):
    torch.manual_seed(0)
    task = VaeTask(config)
    scale = task.measure_scale()
    dataset = task.dataset("train")
    from musicgen_ldm.training.components import first_waveforms

    mel = task._mel(first_waveforms(dataset, 4))
    with torch.no_grad():
        latents = task.vae.encode(mel).latent_dist.sample(Generator().manual_seed(5)) * scale
    assert latents.std().item() == pytest.approx(1.0, rel=0.03)


def test_adaptive_weight_balances_the_gradients_of_the_last_layer(config):
    torch.manual_seed(0)
    task = VaeTask(config)
    mel = torch.randn(2, 1, 64, 64)
    reconstruction, mean, logvar = task.models["vae"](mel, None)
    losses = task._losses(mel, reconstruction, mean, logvar)
    adversarial = 1e-3 * reconstruction.square().mean()
    weight = task._adaptive_weight(losses, adversarial)
    last = task.vae.decoder.conv_out.weight
    (wanted,) = torch.autograd.grad(task._reconstruction_loss(losses), last, retain_graph=True)
    (fooling,) = torch.autograd.grad(weight * adversarial, last)
    torch.testing.assert_close(wanted.norm(), fooling.norm(), rtol=0.1, atol=0)


def test_the_stage_runs_in_bfloat16(config):
    run = dataclasses.replace(config.run, precision="bf16")
    adversary = dataclasses.replace(config.adversary, start_step=0)
    config = dataclasses.replace(config, run=run, adversary=adversary, max_steps=1)
    trainer = Trainer(config, lambda: VaeTask(config))
    assert trainer.fit()
    assert all(p.dtype == torch.float32 for p in trainer.bare_models["vae"].parameters())
    assert len(list(trainer.run.samples.rglob("*.wav"))) == 6


def test_one_batch_can_be_overfitted(config):
    torch.manual_seed(0)
    task = VaeTask(dataclasses.replace(config, adversary=None))
    optimizer = task.optimizers()["vae"].optimizer
    mel = task._mel(torch.from_numpy(task.dataset("train")[_ref()]["waveform"])[None])
    errors = []
    for _ in range(300):
        outputs = task.models["vae"](mel, None)
        losses = task._losses(mel, *outputs)
        task._weighted(losses).backward()
        optimizer.step()
        optimizer.zero_grad()
        errors.append(losses["l1"].item())
    assert errors[-1] < 0.15 * errors[0]


def _ref():
    from musicgen_ldm.data.sampler import ClipRef

    return ClipRef(0, 0)


def test_wrong_lengths_and_missing_weights_are_named(config):
    data = dataclasses.replace(config.data, seconds=0.63)
    with pytest.raises(ConfigError, match=r"data.seconds=0.63 is 63 mel frames: .* factor 4"):
        VaeTask(dataclasses.replace(config, data=data))
    with pytest.raises(CheckpointError, match="nowhere: holds no vae; give the export folder"):
        VaeTask(dataclasses.replace(config, init="nowhere"))
