"""Bridges between text and audio embeddings: limits, recovery, storage."""

import pytest
import torch
from torch.nn import functional as F

from musicgen_ldm.errors import CheckpointError, ConfigError
from musicgen_ldm.models.bridge import Bridge, fit_bridge

MODES = ("none", "shift", "memory", "ridge")


def pairs(n=400, dim=16, seed=0):
    """Audio near ten cluster centres; text is a rotated, shifted and noisier view of it."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(10, dim, generator=torch.Generator().manual_seed(99))
    rotation = torch.linalg.qr(
        torch.eye(dim) + 0.2 * torch.randn(dim, dim, generator=torch.Generator().manual_seed(98))
    ).Q
    rotation = rotation * torch.sign(torch.diagonal(rotation))
    cluster = torch.randint(10, (n,), generator=generator)
    audio = centres[cluster] + 0.15 * torch.randn(n, dim, generator=generator)
    text = centres[cluster] @ rotation + 0.3 * torch.randn(n, dim, generator=generator) + 0.4
    return F.normalize(text, dim=1), F.normalize(audio, dim=1)


def cosine(first, second):
    return (first * second).sum(dim=1).mean().item()


@pytest.mark.parametrize("mode", MODES)
def test_results_are_unit_vectors_and_survive_storage(mode, tmp_path):
    text, audio = pairs()
    bridge = fit_bridge(text, audio, mode)
    result = bridge.apply(text)
    torch.testing.assert_close(result.norm(dim=1), torch.ones(len(text)))
    bridge.save(tmp_path / "bridge")
    loaded = Bridge.load(tmp_path / "bridge")
    assert (loaded.mode, loaded.beta) == (mode, bridge.beta)
    torch.testing.assert_close(loaded.apply(text), result, atol=2e-3, rtol=0)  # fp16 on disk


def test_none_changes_nothing():
    text, _ = pairs()
    torch.testing.assert_close(Bridge().apply(text), text)


def test_every_bridge_brings_held_out_text_nearer_to_its_audio():
    text, audio = pairs(seed=0)
    new_text, new_audio = pairs(seed=1)
    raw = cosine(new_text, new_audio)
    gains = {m: cosine(fit_bridge(text, audio, m).apply(new_text), new_audio) - raw for m in MODES}
    assert gains["none"] == pytest.approx(0, abs=1e-6)
    assert gains["shift"] > 0
    assert gains["memory"] > 0.05
    assert gains["ridge"] > 0.03


def test_ridge_recovers_a_rotation():
    _, audio = pairs()
    rotation = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(1))).Q
    bridge = fit_bridge(audio @ rotation.T, audio, "ridge", ridge=1e-6)
    torch.testing.assert_close(bridge.apply(audio @ rotation.T), audio, atol=1e-4, rtol=0)


def test_memory_is_a_mean_at_zero_beta_and_the_nearest_clip_at_infinity():
    text, audio = pairs()
    mean = F.normalize(audio.mean(dim=0), dim=0)
    torch.testing.assert_close(fit_bridge(text, audio, "memory", beta=0.0).apply(text)[0], mean)
    sharp = fit_bridge(text, audio, "memory", beta=1e7)
    nearest = audio[(text @ audio.T).argmax(dim=1)]
    torch.testing.assert_close(sharp.apply(text), nearest, atol=1e-3, rtol=0)


def test_effective_neighbours_fall_with_beta():
    text, audio = pairs()
    counts = [
        fit_bridge(text, audio, "memory", beta=beta).effective_neighbours(text).median().item()
        for beta in (0.0, 10.0, 100.0, 1e5)
    ]
    assert counts[0] == pytest.approx(len(audio))
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == pytest.approx(1, abs=0.1)
    with pytest.raises(ConfigError, match="only 'memory'"):
        fit_bridge(text, audio, "shift").effective_neighbours(text)


def test_embeddings_that_are_no_pairs_are_refused():
    text, audio = pairs()
    with pytest.raises(ConfigError, match="pairs of embeddings"):
        fit_bridge(text[:-1], audio, "ridge")
    with pytest.raises(ConfigError, match="must be one of none, shift, memory, ridge"):
        fit_bridge(text, audio, "bend")


def test_a_damaged_bridge_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read as a bridge"):
        Bridge.load(tmp_path)
    text, audio = pairs()
    fit_bridge(text, audio, "memory").save(tmp_path)
    (tmp_path / "bridge.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="cannot be read as a bridge"):
        Bridge.load(tmp_path)
