"""The linear spectrum behind a mel spectrogram: log-mel (N, M) -> magnitudes (F, N).

M numbers do not determine F. Below 1 kHz a mel bin is as wide as a tone's main lobe, and where in
the bin the tone lies decides whether the music is in tune; above, the overtones follow from the
fundamentals. A small network has learnt both from music; without one the result is merely smooth.
"""

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.config.spectrum_training import SpectrumNetworkConfig
from musicgen_ldm.mel import filter_bank
from musicgen_ldm.network_file import read_network, write_network

WEIGHTS = Path(__file__).parent / "weights" / "spectrum.safetensors"
KIND = "musicgen_ldm.spectrum.v1"
UPDATES = 5
MEL_MEAN, MEL_SCALE = -5.0, 3.0  # nepers; brings music to about N(0, 1)
TINY = 1e-12


class SpectrumNetwork(nn.Module):
    """Log-magnitudes of all bins of the transform, as a correction of the smooth spectrum.

    Args:
        config: Size.
        mel: Signal numbers.
    """

    def __init__(self, config: SpectrumNetworkConfig, mel: MelConfig) -> None:
        super().__init__()
        self.mel = mel
        reach = config.kernel // 2
        self.front = nn.Conv1d(mel.num_bins, config.channels, config.kernel, padding=reach)
        self.body = nn.ModuleList(
            nn.Sequential(
                nn.GELU(),
                nn.Conv1d(config.channels, config.channels, 3, padding=1),
                nn.GELU(),
                nn.Conv1d(config.channels, config.channels, 1),
            )
            for _ in range(config.blocks)
        )
        self.head = nn.Conv1d(config.channels, mel.n_fft // 2 + 1, 1)
        for parameter in self.head.parameters():  # start as the smooth spectrum
            nn.init.zeros_(parameter)

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel (B, N, M) -> log-magnitude (B, F, N)."""
        frames = self.front((mel.transpose(1, 2) - MEL_MEAN) / MEL_SCALE)
        for block in self.body:
            frames = frames + block(frames)
        smooth = smooth_spectrum(mel, self.mel).clamp(min=TINY).log()
        return smooth + self.head(frames)


def smooth_spectrum(mel: Tensor, config: MelConfig) -> Tensor:
    """Each mel magnitude spread over its bins: log-mel (…, N, M) -> (…, F, N)."""
    bank = filter_bank(config).to(mel.device)  # (F, M)
    covered = bank.sum(dim=1, keepdim=True)
    inner = covered > 0
    shares = torch.where(inner, bank / covered.clamp(min=TINY), 0)
    return shares @ (mel.float().exp() / bank.sum(dim=0)).transpose(-1, -2)


@torch.no_grad()
def linear_spectrum(mel: Tensor, config: MelConfig) -> Tensor:
    """Magnitudes (F, N), none negative, that have the mel magnitudes of the log-mel (N, M).

    The network, where one was trained for these signal numbers, proposes; multiplicative updates
    (Lee & Seung 2001, for the Kullback-Leibler divergence) make the proposal agree with `mel`
    and keep its fine structure.
    """
    network = _network_for(config)
    if network is None:
        spectrum = smooth_spectrum(mel, config)
    else:
        spectrum = network.to(mel.device)(mel[None].float())[0].exp()
    bank = filter_bank(config).to(mel.device)
    reach = bank.sum(dim=1, keepdim=True).clamp(min=TINY)
    target = mel.float().exp().T  # (M, N)
    for _ in range(UPDATES):
        ratio = target / (bank.T @ spectrum).clamp(min=TINY)
        spectrum = spectrum * (bank @ ratio) / reach
    return spectrum


@lru_cache(maxsize=4)
def _network_for(config: MelConfig) -> SpectrumNetwork | None:
    network = load_network()
    return network if network.mel == config else None


def save_network(network: SpectrumNetwork, config: SpectrumNetworkConfig, path: Path) -> None:
    """Write half-precision weights that carry their own configuration."""
    write_network(path, network, KIND, network.mel, {"network": asdict(config)})


def load_network(path: Path = WEIGHTS) -> SpectrumNetwork:
    """The network that `save_network` wrote, in evaluation mode, float32.

    Raises:
        CheckpointError: If the file is missing or corrupt.
    """
    weights, settings = read_network(path, KIND, config="configs/spectrum.yaml")
    config = SpectrumNetworkConfig(**settings["network"])
    network = SpectrumNetwork(config, MelConfig(**settings["mel"]))
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)
