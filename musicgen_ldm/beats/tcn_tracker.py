"""The tracker of our own: `BeatNetwork` and the bar-pointer decoder."""

import json
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from musicgen_ldm.audio import Waveform
from musicgen_ldm.beats.decoder import decode
from musicgen_ldm.beats.network import BeatNetwork, activations, beat_features
from musicgen_ldm.beats.tracker import NO_BEATS, Beats, has_sound
from musicgen_ldm.config.beats_training import BEAT_MEL, BeatNetworkConfig
from musicgen_ldm.errors import CheckpointError

WEIGHTS = Path(__file__).parent / "weights" / "tcn.safetensors"


def save_network(network: BeatNetwork, config: BeatNetworkConfig, path: Path) -> None:
    """Write half-precision weights that carry their own configuration."""
    tensors = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    metadata = {
        "format": "musicgen_ldm.beats.tcn.v1",
        "network": json.dumps(asdict(config)),
        "mel": json.dumps(asdict(BEAT_MEL)),
    }
    save_file(tensors, path, metadata)


def load_network(path: Path = WEIGHTS) -> BeatNetwork:
    """The network that `save_network` wrote, in evaluation mode, float32.

    Raises:
        CheckpointError: If the file is missing, corrupt or of another spectrogram.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: no readable beat network ({error}); train one with "
            "`musicgen-ldm train configs/beats.yaml`"
        ) from error
    if metadata.get("mel") != json.dumps(asdict(BEAT_MEL)):
        raise CheckpointError(
            f"{path}: trained on spectrogram {metadata.get('mel')}, this version computes "
            f"{json.dumps(asdict(BEAT_MEL))}; train the network again"
        )
    network = BeatNetwork(BeatNetworkConfig(**json.loads(metadata["network"])))
    network.load_state_dict(tensors)
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

    def __call__(self, waveform: Waveform) -> Beats:
        """The beats of `waveform`; `NO_BEATS` for silence and for pulseless sound."""
        if not has_sound(waveform):
            return NO_BEATS
        probability = activations(self.network, beat_features(waveform))
        return decode(probability.numpy(), BEAT_MEL.frame_rate)
