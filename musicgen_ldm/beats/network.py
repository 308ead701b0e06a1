"""Our own beat network: a temporal convolutional network on a log-mel spectrogram.

After Davies & Böck (2019), "Temporal convolutional networks for musical audio beat tracking":
small convolutions fold frequency into channels, then residual dilated convolutions look at
20 s around every frame. Letters: B batch, C channels, N frames, M mel bins.
"""

import torch
from torch import Tensor, nn

from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.beats_training import BEAT_MEL, BeatNetworkConfig
from musicgen_ldm.mel import log_mel

REFERENCE_RMS = 0.1  # every recording is brought to -20 dBFS before it is heard
MEL_MEAN, MEL_SCALE = -3.0, 2.5  # of BEAT_MEL on music at that level: nepers to about N(0, 1)


def beat_features(waveform: Waveform) -> Tensor:
    """Log-mel of `waveform` at 50 frames per second and a fixed level, (N, M).

    Args:
        waveform: Any rate; must not be digital silence.
    """
    samples = torch.from_numpy(waveform.resampled(BEAT_MEL.sample_rate).mono)
    level = REFERENCE_RMS / samples.square().mean().sqrt()
    return log_mel((samples * level)[None], BEAT_MEL)[0, 0]


class _DilatedBlock(nn.Module):
    """Residual block: dilated convolution, then a pointwise one, (B, C, N) -> (B, C, N)."""

    def __init__(self, config: BeatNetworkConfig, dilation: int) -> None:
        super().__init__()
        reach = dilation * (config.kernel - 1) // 2
        self.body = nn.Sequential(
            nn.Conv1d(
                config.channels, config.channels, config.kernel, padding=reach, dilation=dilation
            ),
            nn.ELU(),
            nn.Dropout1d(config.dropout),
            nn.Conv1d(config.channels, config.channels, 1),
        )

    def forward(self, frames: Tensor) -> Tensor:
        """(B, C, N) -> (B, C, N)."""
        return frames + self.body(frames)


class BeatNetwork(nn.Module):
    """Logits of beat and downbeat for every frame."""

    def __init__(self, config: BeatNetworkConfig) -> None:
        super().__init__()
        channels = config.channels
        self.front = nn.Sequential(  # 64 bins -> 21 -> 7 -> 1
            nn.Conv2d(1, channels // 2, 3, padding=1),
            nn.MaxPool2d((1, 3)),
            nn.ELU(),
            nn.Dropout(config.dropout),
            nn.Conv2d(channels // 2, channels, 3, padding=1),
            nn.MaxPool2d((1, 3)),
            nn.ELU(),
            nn.Dropout(config.dropout),
            nn.Conv2d(channels, channels, (1, BEAT_MEL.num_bins // 9)),
            nn.ELU(),
        )
        self.context = nn.Sequential(
            *(_DilatedBlock(config, 2**layer) for layer in range(config.layers))
        )
        self.head = nn.Conv1d(channels, 2, 1)

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel (B, N, M) from `beat_features` -> logits (B, N, 2): beat, downbeat."""
        scaled = (mel - MEL_MEAN) / MEL_SCALE
        frames = self.front(scaled[:, None]).squeeze(-1)  # (B, C, N)
        return self.head(nn.functional.elu(self.context(frames))).transpose(1, 2)


@torch.no_grad()
def activations(network: BeatNetwork, mel: Tensor) -> Tensor:
    """Probabilities of beat and downbeat (N, 2) for a log-mel (N, M), in evaluation mode."""
    return network.eval()(mel[None])[0].sigmoid()
