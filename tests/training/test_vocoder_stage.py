import dataclasses

import pytest
import torch
from synthetic_clips import write_clips
from torch import Generator
from transformers import SpeechT5HifiGan

from musicgen_ldm.config.models import PRESETS
from musicgen_ldm.config.training import AdversaryConfig, DataConfig, OptimConfig, RunConfig
from musicgen_ldm.config.vocoder_training import VocoderStageConfig
from musicgen_ldm.errors import ConfigError
from musicgen_ldm.mel import log_mel
from musicgen_ldm.models.discriminators import (
    WaveformDiscriminator,
    feature_matching_loss,
    least_squares_loss,
    split_judgements,
)
from musicgen_ldm.models.vae import build_vae
from musicgen_ldm.models.vocoder import vocode
from musicgen_ldm.training.loop import Trainer
from musicgen_ldm.training.run_folder import read_metrics
from musicgen_ldm.training.spectral import multi_resolution_stft_loss
from musicgen_ldm.training.vocoder import VocoderTask

FAST = OptimConfig(lr=2e-3, betas=(0.8, 0.99))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def config(manifest, tmp_path):
    return VocoderStageConfig(
        preset="tiny",
        model=PRESETS["tiny"],
        data=DataConfig(manifest=str(manifest), seconds=0.64),
        segment_frames=16,
        batch_size=2,
        max_steps=4,
        optim=FAST,
        adversary=AdversaryConfig(start_step=2, width=2, optim=FAST),
        run=RunConfig(
            out=str(tmp_path / "run"), device="cpu", log_every=1, valid_every=4, valid_clips=2,
            sample_every=4, save_every=2, trackers=(),
        ),
    )  # fmt: skip


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=Generator().manual_seed(seed))


def test_stft_loss_of_equal_waveforms_is_zero_and_knows_no_sign():
    wave = noise(2, 4000)
    assert multi_resolution_stft_loss(wave, wave) == 0
    torch.testing.assert_close(multi_resolution_stft_loss(-wave, wave), torch.tensor(0.0))


def test_stft_loss_of_half_the_level_is_known():
    """Convergence 1/2 and log-magnitude distance ln 2, wherever nothing is floored."""
    wave = noise(2, 4000)
    expected = 0.5 + torch.tensor(2.0).log()
    torch.testing.assert_close(
        multi_resolution_stft_loss(0.5 * wave, wave), expected, rtol=1e-4, atol=0
    )


def test_a_rest_in_the_target_does_not_blow_up_the_stft_loss():
    """Relative to a rest every sound is infinitely wrong; the loss stays finite and small."""
    rest, sound = torch.zeros(1, 4000), noise(1, 4000)
    assert multi_resolution_stft_loss(sound, rest) < 30


def test_judges_see_each_item_alone_and_match_features_of_equal_sound():
    judge, wave = WaveformDiscriminator(width=2), noise(2, 2400)
    together = judge(torch.cat([wave, wave]))
    real, fake = split_judgements(together)
    assert len(real) == 8
    torch.testing.assert_close(feature_matching_loss(real, fake), torch.tensor(0.0))
    for (whole, _), (alone, _) in zip(real, judge(wave), strict=True):
        torch.testing.assert_close(whole, alone, rtol=1e-4, atol=1e-5)


def test_least_squares_loss_limits():
    judgements = [(torch.ones(2, 3), []), (torch.zeros(2, 1), [])]
    assert least_squares_loss(judgements, 1.0) == 1
    assert least_squares_loss(judgements, 0.0) == 1


def test_segments_of_mel_and_waveform_belong_together(config):
    """The segment's own mel, computed from its samples, agrees with the cut one inside."""
    task = VocoderTask(config)
    waveform = torch.from_numpy(task.dataset("train")[_ref()]["waveform"])[None]
    mel, segment = task._segments(waveform, Generator().manual_seed(3))
    assert mel.shape == (1, 1, 16, 64)
    assert segment.shape == (1, 16 * 160)
    inner = slice(config.edge_frames, -config.edge_frames)
    again = log_mel(segment, config.model.mel)
    torch.testing.assert_close(again[:, :, inner], mel[:, :, inner], rtol=1e-4, atol=1e-4)


def _ref():
    from musicgen_ldm.data.sampler import ClipRef

    return ClipRef(0, 0)


def test_the_stage_trains_exports_and_reloads_with_the_stock_class(config):
    trainer = Trainer(config, lambda: VocoderTask(config))
    trainer.fit()
    lines = [line for line in read_metrics(trainer.run.metrics) if "lr/vocoder" in line]
    assert ["train/features" in line for line in lines] == [False, False, True, True]
    exported = trainer.run.export / "vocoder"
    assert not any("parametrizations" in key for key in _keys(exported))
    vocoder = SpeechT5HifiGan.from_pretrained(exported, use_safetensors=True)
    mel = torch.randn(1, 1, 20, 64, generator=Generator().manual_seed(0)) - 4
    with trainer._evaluation():
        expected = trainer.task.models["vocoder"](mel)
    with torch.no_grad():
        torch.testing.assert_close(vocode(vocoder, mel), expected, rtol=1e-4, atol=1e-6)


def _keys(folder):
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        return list(file.keys())


def test_fine_tuning_hears_what_the_autoencoder_decodes(config, tmp_path):
    torch.manual_seed(0)
    build_vae(config.model.vae).save_pretrained(tmp_path / "vae")
    task = VocoderTask(dataclasses.replace(config, vae=str(tmp_path)))
    waveform = torch.from_numpy(task.dataset("train")[_ref()]["waveform"])[None]
    assert task._mel(waveform).shape == (1, 1, 64, 64)
    assert not torch.allclose(task._mel(waveform), log_mel(waveform, config.model.mel), atol=0.5)
    assert not any(p.requires_grad for p in task.frozen["vae"].parameters())
    data = dataclasses.replace(config.data, seconds=0.63)
    with pytest.raises(ConfigError, match=r"63 mel frames: with a VAE .* multiple of its factor 4"):
        VocoderTask(dataclasses.replace(config, vae=str(tmp_path), data=data))


def test_the_stage_runs_in_bfloat16(config):
    run = dataclasses.replace(config.run, precision="bf16")
    adversary = dataclasses.replace(config.adversary, start_step=0)
    config = dataclasses.replace(config, run=run, adversary=adversary, max_steps=1)
    trainer = Trainer(config, lambda: VocoderTask(config))
    assert trainer.fit()
    assert all(p.dtype == torch.float32 for p in trainer.bare_models["vocoder"].parameters())
    assert len(list(trainer.run.samples.rglob("*.wav"))) == 6


def test_one_batch_can_be_overfitted(config):
    torch.manual_seed(0)
    task = VocoderTask(dataclasses.replace(config, adversary=None))
    optimizer = task.optimizers()["vocoder"].optimizer
    waveform = torch.from_numpy(task.dataset("train")[_ref()]["waveform"])[None]
    mel, target = task._segments(waveform, Generator().manual_seed(0))
    errors = []
    for _ in range(160):
        losses = task._losses(task.models["vocoder"](mel), target)
        task._weighted(losses).backward()
        optimizer.step()
        optimizer.zero_grad()
        errors.append(losses["mel"].item())
    assert errors[-1] < 0.25 * errors[0]


def test_a_segment_must_fit_between_the_edges():
    with pytest.raises(ConfigError, match="segment_frames=121: must be 1 to 120"):
        VocoderStageConfig(segment_frames=121)
