"""The tracker of our own: `BeatNetwork` and the bar-pointer decoder."""

from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from musicgen_ldm.audio import Waveform
from musicgen_ldm.beats.decoder import decode
from musicgen_ldm.beats.network import BeatNetwork, activations, beat_features
from musicgen_ldm.beats.tracker import NO_BEATS, Beats, has_sound
from musicgen_ldm.config.beats_training import BEAT_MEL, BeatNetworkConfig
from musicgen_ldm.network_file import read_network, write_network

WEIGHTS = Path(__file__).parent / "weights" / "tcn.safetensors"
KIND = "musicgen_ldm.beats.tcn.v1"


def save_network(network: BeatNetwork, config: BeatNetworkConfig, path: Path) -> None:
    """Write half-precision weights that carry their own configuration."""
    write_network(path, network, KIND, BEAT_MEL, {"network": asdict(config)})


def load_network(path: Path = WEIGHTS) -> BeatNetwork:
    """The network that `save_network` wrote, in evaluation mode, float32.

    Raises:
        CheckpointError: If the file is missing, corrupt or of another spectrogram.
    """
    weights, settings = read_network(path, KIND, config="configs/beats.yaml", mel=BEAT_MEL)
    network = BeatNetwork(BeatNetworkConfig(**settings["network"]))
    network.load_state_dict(weights)
    return network.eval()


class TcnTracker:
    """Beats and downbeats by `BeatNetwork`.

    `confidence` is the mean beat probability at the decoded beats.

    Args:
        network: A trained network; None loads the shipped weights.
    """

    name = "tcn"

    def __init__(self, network: BeatNetwork | None = None) -> None:
        self.network = load_network() if network is None else network
        weights = (tensor.numpy().tobytes() for tensor in self.network.state_dict().values())
        self.identity = f"tcn-{sha256(b''.join(weights)).hexdigest()[:8]}"

    def __call__(self, waveform: Waveform) -> Beats:
        """The beats of `waveform`; `NO_BEATS` for silence and for pulseless sound."""
        if not has_sound(waveform):
            return NO_BEATS
        probability = activations(self.network, beat_features(waveform))
        return decode(probability.numpy(), BEAT_MEL.frame_rate)
