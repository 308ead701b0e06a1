"""The spectrum stage: learns, and exports what the inversion loads."""

import pytest
import torch
from synthetic_clips import write_clips
from torch import Generator

from musicgen_ldm.config.models import PRESETS
from musicgen_ldm.config.spectrum_training import SpectrumNetworkConfig, SpectrumStageConfig
from musicgen_ldm.config.training import DataConfig, OptimConfig, RunConfig
from musicgen_ldm.errors import CheckpointError
from musicgen_ldm.inversion.spectrum import SpectrumNetwork, load_network, smooth_spectrum
from musicgen_ldm.training.loop import Trainer
from musicgen_ldm.training.run_folder import read_metrics
from musicgen_ldm.training.spectrum import SpectrumTask


@pytest.fixture
def config(tmp_path):
    return SpectrumStageConfig(
        preset="tiny",
        model=PRESETS["tiny"],
        data=DataConfig(manifest=str(write_clips(tmp_path)), seconds=0.64),
        network=SpectrumNetworkConfig(channels=32, blocks=1),
        batch_size=2,
        max_steps=60,
        optim=OptimConfig(lr=1e-2),
        run=RunConfig(
            out=str(tmp_path / "run"), device="cpu", log_every=1, valid_every=30, valid_clips=2,
            sample_every=30, save_every=30, trackers=(),
        ),
    )  # fmt: skip


def test_it_starts_as_the_smooth_spectrum(config) -> None:
    network = SpectrumNetwork(config.network, config.model.mel)
    mel = torch.randn(2, 10, 64, generator=Generator().manual_seed(0)) - 5
    inner = slice(1, -1)  # the filters leave out the first and the last bin
    torch.testing.assert_close(
        network(mel).exp()[:, inner], smooth_spectrum(mel, config.model.mel)[:, inner]
    )


def test_it_learns_and_what_it_exports_can_be_loaded(config, tmp_path) -> None:
    Trainer(config, lambda: SpectrumTask(config)).fit()
    losses = [m["train/loss"] for m in read_metrics(tmp_path / "run" / "metrics.jsonl") if "train/loss" in m]  # noqa: E501  # fmt: skip
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])
    network = load_network(tmp_path / "run" / "export" / "spectrum.safetensors")
    assert network.mel == config.model.mel
    mel = torch.randn(1, 10, 64)
    assert not torch.equal(network(mel), SpectrumNetwork(config.network, network.mel)(mel))


def test_a_corrupt_file_says_how_to_make_another(tmp_path) -> None:
    path = tmp_path / "spectrum.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="configs/spectrum"):
        load_network(path)
