"""Sounds come back from their mel spectrograms, at any length, without seams."""

import math

import pytest
import torch
from torch import Tensor

from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.inversion import griffin_lim as module
from musicgen_ldm.inversion.griffin_lim import griffin_lim
from musicgen_ldm.inversion.spectrum import linear_spectrum
from musicgen_ldm.mel import filter_bank, log_mel

CONFIG = MelConfig()
RATE, HOP = CONFIG.sample_rate, CONFIG.hop_length


def melody(seconds: float) -> Tensor:
    """Decaying notes with overtones, and a snare of noise on every second one, (1, T)."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(int(seconds * RATE)) / RATE
    sound = torch.zeros_like(time)
    for beat in range(int(seconds * 2)):
        since = (time - beat / 2).clamp(min=0)
        envelope = torch.exp(-4 * since) * (time >= beat / 2)
        pitch = 220 * 2 ** ((beat * 5 % 12) / 12)
        for overtone in range(1, 6):
            sound += 0.1 / overtone * envelope * torch.sin(2 * math.pi * pitch * overtone * since)
        if beat % 2:
            noise = torch.randn(len(time), generator=generator)
            sound += 0.03 * noise * torch.exp(-20 * since) * (time >= beat / 2)
    return sound[None]


def tone(seconds: float, pitch: float) -> Tensor:
    return 0.3 * torch.sin(2 * math.pi * pitch * torch.arange(int(seconds * RATE)) / RATE)[None]


def mel_of(sound: Tensor) -> Tensor:
    return log_mel(sound, CONFIG)[0, 0]


def strongest_hz(sound: Tensor) -> float:
    spectrum = torch.fft.rfft(sound * torch.hann_window(len(sound))).abs()
    return float(spectrum.argmax()) * RATE / len(sound)


def test_the_spectrum_has_the_mel_magnitudes_that_were_asked() -> None:
    mel = mel_of(melody(2))
    spectrum = linear_spectrum(mel, CONFIG)
    assert (spectrum >= 0).all()
    again = (spectrum.T @ filter_bank(CONFIG)).clamp(min=CONFIG.floor).log()
    assert (again - mel).abs().mean() < 0.1


def test_a_melody_survives_the_round_trip() -> None:
    mel = mel_of(melody(4))
    sound = griffin_lim(mel, CONFIG)
    assert sound.shape == (4 * RATE,)
    assert (mel_of(sound[None]) - mel).abs().mean() < 0.35


@pytest.mark.parametrize("pitch", [147.0, 247.0, 443.0, 880.0])
def test_a_steady_tone_keeps_its_pitch_and_is_no_multiple_of_the_hop_rate(pitch: float) -> None:
    sound = griffin_lim(mel_of(tone(3, pitch)), CONFIG)
    assert strongest_hz(sound[RATE : 2 * RATE]) == pytest.approx(pitch, abs=12)


def test_digital_silence_stays_silent() -> None:
    assert griffin_lim(mel_of(torch.zeros(1, RATE)), CONFIG).abs().max() < 1e-4


def test_the_same_mel_gives_the_same_sound() -> None:
    mel = mel_of(melody(1))
    torch.testing.assert_close(griffin_lim(mel, CONFIG), griffin_lim(mel, CONFIG), atol=0, rtol=0)


def largest_step(sound: Tensor, at: int) -> Tensor:
    return sound[at - 2 : at + 3].diff().abs().max()


def test_chunks_meet_without_a_click(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 100)
    mel = mel_of(tone(3.5, 333.0))
    sound = griffin_lim(mel, CONFIG)
    assert sound.shape == (len(mel) * HOP,)
    usual = sound[RATE // 2 : -RATE // 2].diff().abs().max()
    level = sound[RATE // 2 : 3 * RATE].unfold(0, 400, 200).square().mean(1).sqrt()
    assert level.min() > 0.6 * level.median()  # two phases that cancel would leave a hole
    for start in (100, 200, 300):
        seam = (start - module.CONTEXT // 2) * HOP
        assert largest_step(sound, seam) <= usual
    assert (mel_of(sound[None]) - mel)[10:-10].abs().mean() < 0.25


@pytest.mark.parametrize("frames", [50, 137, 400])
def test_a_loop_runs_into_its_beginning(frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 150)
    twice = mel_of(tone(2 * frames * HOP / RATE, 8 * RATE / (frames * HOP) * 5))
    mel = twice[frames // 2 : frames // 2 + frames]  # whole periods
    sound = griffin_lim(mel, CONFIG, circular=True)
    assert sound.shape == (frames * HOP,)
    around = sound.roll(len(sound) // 2)
    assert largest_step(around, len(sound) // 2) <= sound.diff().abs().max()
    level = around.unfold(0, 400, 200).square().mean(1).sqrt()
    assert level.min() > 0.5 * level.median()
