"""Deterministic windows and a front end equal to the stock extractor's."""

import numpy as np
import pytest
import torch

from musicgen_ldm.audio import Waveform
from musicgen_ldm.checkpoint import Checkpoint
from musicgen_ldm.config.models import PRESETS, ClapAudioConfig
from musicgen_ldm.models.clap import audio_windows, build_clap, build_feature_extractor, clap_mel

SIXTEEN_KHZ = ClapAudioConfig(sample_rate=16_000, hop_length=160, fmax=8_000.0)


@pytest.mark.parametrize("config", [ClapAudioConfig(), SIXTEEN_KHZ])
def test_front_end_matches_the_stock_extractor(
    config: ClapAudioConfig, rng: np.random.Generator
) -> None:
    extractor = build_feature_extractor(config)
    samples = (0.1 * rng.standard_normal(extractor.nb_max_samples)).astype(np.float32)
    stock = extractor(samples, sampling_rate=config.sample_rate, return_tensors="pt")
    ours = clap_mel(torch.from_numpy(samples)[None], extractor)
    torch.testing.assert_close(ours, stock["input_features"].float(), atol=2e-3, rtol=0)


def test_autocast_around_the_front_end_changes_nothing(rng: np.random.Generator) -> None:
    extractor = build_feature_extractor(SIXTEEN_KHZ)
    window = torch.from_numpy(0.1 * rng.standard_normal((1, extractor.nb_max_samples))).float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = clap_mel(window, extractor)
    assert torch.equal(inside, clap_mel(window, extractor))


def test_short_clips_are_repeated_like_the_stock_extractor_does(rng: np.random.Generator) -> None:
    extractor = build_feature_extractor(
        ClapAudioConfig(sample_rate=16_000, hop_length=160, fmax=8e3)
    )
    samples = (0.1 * rng.standard_normal(16_000 * 3)).astype(np.float32)
    stock = extractor(samples, sampling_rate=16_000, return_tensors="pt")["input_features"]
    ours = clap_mel(audio_windows(torch.from_numpy(samples), extractor), extractor)
    torch.testing.assert_close(ours, stock.float(), atol=2e-3, rtol=0)


def test_windows_cover_a_long_clip_and_drop_a_short_tail() -> None:
    extractor = build_feature_extractor(
        ClapAudioConfig(sample_rate=16_000, hop_length=160, fmax=8e3)
    )
    assert audio_windows(torch.zeros(16_000 * 10), extractor).shape == (1, 160_000)
    assert audio_windows(torch.zeros(163_840), extractor).shape == (1, 160_000)
    assert audio_windows(torch.zeros(16_000 * 25), extractor).shape == (3, 160_000)


def test_temperatures_start_where_clap_starts_them() -> None:
    model = build_clap(PRESETS["tiny"].clap)
    for scale in (model.logit_scale_a, model.logit_scale_t):
        assert scale.exp().item() == pytest.approx(1 / 0.07)


def test_embeddings_do_not_depend_on_neighbours(
    tiny_checkpoint: Checkpoint, rng: np.random.Generator
) -> None:
    clap = tiny_checkpoint.clap
    together = clap.text(["a", "a much longer sentence about a slow piano ballad"])
    assert torch.equal(together[:1], clap.text(["a"]))
    clips = [Waveform(rng.standard_normal(n).astype(np.float32), 16_000) for n in (20_000, 250_000)]
    sounds = clap.audio(clips)
    assert torch.equal(sounds[1:], clap.audio(clips[1:]))
    torch.testing.assert_close(sounds.norm(dim=1), torch.ones(2))
    means = [clap.windows(clip).mean(dim=0) for clip in clips]
    assert torch.equal(sounds, torch.nn.functional.normalize(torch.stack(means), dim=-1))


def test_a_prompt_longer_than_the_text_tower_is_cut(tiny_checkpoint: Checkpoint) -> None:
    embedding = tiny_checkpoint.clap.text(["piano " * 400])
    assert torch.isfinite(embedding).all()
