import numpy as np
import pytest
import torch

from musicgen_ldm.audio import Waveform
from musicgen_ldm.beats import get_tracker
from musicgen_ldm.beats.beatnet_tracker import BeatNetTracker, _BeatNetwork
from musicgen_ldm.beats.tracker import NO_BEATS
from musicgen_ldm.errors import MissingExtraError

RATE = 22_050


@pytest.fixture
def fake_package(tmp_path, monkeypatch):
    """A package BeatNet with random weights; importing it would fail, as without a sound card."""
    torch.manual_seed(0)
    models = tmp_path / "BeatNet" / "models"
    models.mkdir(parents=True)
    (tmp_path / "BeatNet" / "__init__.py").write_text("raise ImportError('pyaudio')")
    torch.save(_BeatNetwork().state_dict(), models / "model_1_weights.pt")
    monkeypatch.syspath_prepend(tmp_path)


def test_without_the_package_the_command_to_install_it_is_named(monkeypatch):
    monkeypatch.setattr("musicgen_ldm.beats.beatnet_tracker.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps BeatNet==1\.1\.3"):
        BeatNetTracker()


def test_weights_are_used_without_importing_the_package(fake_package):
    tracker = BeatNetTracker()
    noise = Waveform(np.random.default_rng(0).normal(0, 0.1, RATE * 3), RATE)
    activations = tracker._activations(noise)
    assert activations.shape == (150, 2)  # 50 frames per second
    assert (activations[:, 0] >= activations[:, 1]).all()
    assert (activations >= 0).all()
    assert (activations <= 1).all()
    assert isinstance(tracker(noise).beats_s, tuple)
    assert tracker(Waveform(np.zeros(RATE * 3), RATE)) == NO_BEATS


def test_registry_knows_it(monkeypatch):
    monkeypatch.setattr("musicgen_ldm.beats.beatnet_tracker.find_spec", lambda name: None)
    get_tracker.cache_clear()
    with pytest.raises(MissingExtraError, match="beat tracker 'beatnet' needs"):
        get_tracker("beatnet")
