"""An adapter to BeatNet (Heydari, Cwitkowitz & Duan 2021), whose weights are CC BY 4.0.

The package pins an old numba and wants a sound card, so only its weight files are used: the
network is declared here with the parameter names of those files, `madmom-infer` computes the
features it was trained on, and our decoder reads its activations.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from madmom_infer.audio.signal import FramedSignalProcessor, SignalProcessor
from madmom_infer.audio.spectrogram import (
    FilteredSpectrogramProcessor,
    LogarithmicSpectrogramProcessor,
    SpectrogramDifferenceProcessor,
)
from madmom_infer.audio.stft import ShortTimeFourierTransformProcessor
from madmom_infer.processors import SequentialProcessor
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen_ldm.audio import FloatArray, Waveform
from musicgen_ldm.beats.decoder import decode
from musicgen_ldm.beats.tracker import NO_BEATS, Beats, has_sound
from musicgen_ldm.errors import MissingExtraError

SAMPLE_RATE, HOP, WINDOW = 22_050, 441, 1_411  # Hz; samples of 20 ms and 64 ms
FEATURES, UNITS, KERNEL = 272, 150, 10  # fixed by the weight files
INSTALL = "pip install --no-deps BeatNet==1.1.3"


class _BeatNetwork(nn.Module):
    """Convolution, projection and two LSTM layers: (N, 272) -> logits (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(1, 2, KERNEL)
        self.linear0 = nn.Linear(2 * ((FEATURES - KERNEL + 1) // 2), UNITS)
        self.lstm = nn.LSTM(UNITS, UNITS, num_layers=2, batch_first=True)
        self.linear = nn.Linear(UNITS, 3)  # beat, downbeat, neither

    def forward(self, features: Tensor) -> Tensor:
        """(N, 272) -> (N, 3)."""
        folded = F.max_pool1d(F.relu(self.conv1(features[:, None])), 2)  # (N, 2, 131)
        hidden, _ = self.lstm(self.linear0(folded.flatten(1))[None])
        return self.linear(hidden[0])


def _weights_file() -> Path:
    """The first weight file of the installed package, found without importing it."""
    spec = find_spec("BeatNet")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            f"beat tracker 'beatnet' needs the weights of BeatNet; install them with `{INSTALL}`"
        )
    return Path(spec.submodule_search_locations[0]) / "models" / "model_1_weights.pt"


class BeatNetTracker:
    """Beats and downbeats by BeatNet's first network.

    `confidence` is the mean beat probability at the decoded beats.

    Raises:
        MissingExtraError: If the package is not installed.
    """

    name = "beatnet"
    identity = INSTALL.rpartition(" ")[2]

    def __init__(self) -> None:
        self.network = _BeatNetwork().eval()
        self.network.load_state_dict(
            torch.load(_weights_file(), map_location="cpu", weights_only=True)
        )
        self.features = SequentialProcessor(
            (
                SignalProcessor(num_channels=1, sample_rate=SAMPLE_RATE),
                FramedSignalProcessor(frame_size=WINDOW, hop_size=HOP),
                ShortTimeFourierTransformProcessor(),
                FilteredSpectrogramProcessor(num_bands=24, fmin=30, fmax=17_000, norm_filters=True),
                LogarithmicSpectrogramProcessor(mul=1, add=1),
                SpectrogramDifferenceProcessor(
                    diff_ratio=0.5, positive_diffs=True, stack_diffs=np.hstack
                ),
            )
        )

    def __call__(self, waveform: Waveform) -> Beats:
        """The beats of `waveform`; `NO_BEATS` for silence."""
        if not has_sound(waveform):
            return NO_BEATS
        return decode(self._activations(waveform), SAMPLE_RATE / HOP)

    @torch.no_grad()
    def _activations(self, waveform: Waveform) -> FloatArray:
        """Probabilities of beat (downbeats included) and of downbeat, (N, 2)."""
        features = np.asarray(self.features(waveform.resampled(SAMPLE_RATE).mono), np.float32)
        beat, downbeat, _ = self.network(torch.from_numpy(features)).softmax(dim=1).numpy().T
        return np.stack([beat + downbeat, downbeat], axis=1)
