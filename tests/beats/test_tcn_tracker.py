import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from musicgen_ldm.audio import Waveform
from musicgen_ldm.beats.network import BeatNetwork, activations, beat_features
from musicgen_ldm.beats.tcn_tracker import KIND, TcnTracker, load_network, save_network
from musicgen_ldm.beats.tracker import NO_BEATS
from musicgen_ldm.config.beats_training import BEAT_MEL, BeatNetworkConfig
from musicgen_ldm.errors import CheckpointError, ConfigError

RATE = 16_000
SMALL = BeatNetworkConfig(channels=4, layers=3)


def small_network() -> BeatNetwork:
    torch.manual_seed(0)
    return BeatNetwork(SMALL)


def noise(seconds: float = 3.0, rate: int = RATE) -> Waveform:
    samples = np.random.default_rng(0).normal(0, 0.1, round(seconds * rate))
    return Waveform(samples, rate)


def test_one_logit_pair_for_every_frame_of_any_length():
    network = small_network()
    for frames in (1, 50, 513):
        assert network(torch.zeros(2, frames, BEAT_MEL.num_bins)).shape == (2, frames, 2)


def test_shipped_size_stays_below_half_a_megabyte(tmp_path):
    config = BeatNetworkConfig()
    save_network(BeatNetwork(config), config, tmp_path / "tcn.safetensors")
    assert (tmp_path / "tcn.safetensors").stat().st_size < 500_000


def test_identity_follows_the_weights():
    network = small_network()
    identity = TcnTracker(network).identity
    assert TcnTracker(small_network()).identity == identity
    with torch.no_grad():
        network.head.bias += 1e-3
    assert TcnTracker(network).identity != identity


def test_features_do_not_depend_on_level():
    loud, quiet = noise(), Waveform(noise().samples * 0.05, RATE)
    assert torch.allclose(beat_features(loud), beat_features(quiet), atol=1e-4)
    assert beat_features(loud).shape == (150, BEAT_MEL.num_bins)


def test_features_of_music_are_about_standardised():
    scaled = (beat_features(noise()) + 3.0) / 2.5
    assert abs(float(scaled.mean())) < 1.5


def test_dropout_is_off_outside_training():
    network = small_network().train()
    mel = beat_features(noise())
    assert torch.equal(activations(network, mel), activations(network, mel))


def test_network_sees_both_past_and_future():
    network = small_network().eval()
    mel = torch.zeros(1, 100, BEAT_MEL.num_bins, requires_grad=True)
    network(mel)[0, 50, 0].backward()
    seen = mel.grad.abs().sum(dim=(0, 2)).nonzero()[:, 0]
    reach = 2 * (1 + 2 + 4) + 2  # dilated kernels of 5, and two frames of the front
    assert (seen.min(), seen.max()) == (50 - reach, 50 + reach)


def test_saved_network_comes_back_up_to_half_precision(tmp_path):
    network, path = small_network(), tmp_path / "tcn.safetensors"
    save_network(network, SMALL, path)
    loaded, mel = load_network(path), beat_features(noise())
    assert torch.allclose(activations(loaded, mel), activations(network, mel), atol=2e-3)


def test_tracker_on_silence_and_blips():
    tracker = TcnTracker(small_network())
    assert tracker(Waveform(np.zeros(RATE * 3), RATE)) == NO_BEATS
    assert tracker(noise(0.5)) == NO_BEATS


def test_unreadable_weights_name_the_remedy(tmp_path):
    with pytest.raises(CheckpointError, match=r"train one with `musicgen-ldm train configs/beats"):
        load_network(tmp_path / "absent.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"not tensors")
    with pytest.raises(CheckpointError, match="no readable network"):
        load_network(tmp_path / "broken.safetensors")


def test_weights_of_another_spectrogram_are_refused(tmp_path):
    path = tmp_path / "tcn.safetensors"
    save_network(small_network(), SMALL, path)
    save_file(load_file(path), path, {"format": KIND, "mel": json.dumps({"hop_length": 441})})
    with pytest.raises(CheckpointError, match=r"hop_length.*441"):
        load_network(path)


def test_an_even_kernel_is_refused():
    with pytest.raises(ConfigError, match=r"network\.kernel=4: must be odd"):
        BeatNetworkConfig(kernel=4)
