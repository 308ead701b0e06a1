"""The mel front end is the published one."""

import librosa
import numpy as np
import pytest
import torch

from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.errors import ConfigError
from musicgen_ldm.mel import filter_bank, log_mel


@pytest.mark.parametrize("num_bins", [64, 128])
def test_matches_librosa(num_bins: int, rng: np.random.Generator) -> None:
    config = MelConfig(num_bins=num_bins)
    waveform = (0.2 * rng.standard_normal(16_000 * 2)).astype(np.float32)
    spectrum = np.abs(
        librosa.stft(waveform, n_fft=1024, hop_length=160, win_length=1024, pad_mode="reflect")
    )
    bank = librosa.filters.mel(sr=16_000, n_fft=1024, n_mels=num_bins, fmin=0, fmax=8_000)
    expected = np.log(np.clip(bank @ spectrum, 1e-5, None)).T[:200]
    ours = log_mel(torch.from_numpy(waveform)[None], config)[0, 0].numpy()
    np.testing.assert_allclose(ours, expected, atol=2e-4)
    np.testing.assert_allclose(filter_bank(config).numpy().T, bank, atol=1e-7)


def test_silence_is_the_floor() -> None:
    config = MelConfig()
    mel = log_mel(torch.zeros(1, 16_000), config)
    assert mel.shape == (1, 1, 100, 64)
    assert torch.allclose(mel, torch.full_like(mel, float(np.log(1e-5))))


def test_a_clip_has_1024_frames() -> None:
    assert log_mel(torch.zeros(1, 163_840), MelConfig()).shape == (1, 1, 1024, 64)


def test_band_edges_are_checked() -> None:
    with pytest.raises(ConfigError, match="0 <= fmin < fmax"):
        MelConfig(fmax=9_000.0)


def test_autocast_around_it_changes_nothing(rng: np.random.Generator) -> None:
    waveform = torch.from_numpy((0.1 * rng.standard_normal((1, 16_000))).astype(np.float32))
    with torch.autocast("cpu", torch.bfloat16):
        inside = log_mel(waveform, MelConfig())
    assert torch.equal(inside, log_mel(waveform, MelConfig()))
