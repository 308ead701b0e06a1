"""The tagger: a small PANNs that hears instruments, genre, tempo and traits (Kong et al. 2020).

It is the offline classifier of the evaluation and is kept apart from everything that trains or
ranks the generator. Shapes: mel (B, 1, N, M), embedding (B, D).
"""

from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from musicgen_ldm.config.tagger_training import TAGGER_MEL, TaggerNetworkConfig, TempoBins
from musicgen_ldm.mel import log_mel
from musicgen_ldm.network_file import read_network, write_network

FILE_NAME = "tagger.safetensors"
FORMAT = "musicgen_ldm.tagger.v2"
LEVEL_RMS = 0.1  # that every sound is brought to: loudness is no tag
INSTRUMENT_LOGIT = -3.0  # at the start: an instrument is in about one clip of twenty
QUIETEST_RMS = 1e-4  # -80 dBFS; what is quieter is not raised all the way


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What the heads can say."""

    instruments: tuple[str, ...]
    genres: tuple[str, ...]
    traits: tuple[str, ...]
    tempo: TempoBins

    @property
    def sizes(self) -> dict[str, int]:
        """Classes of each head, in the order of their rows."""
        return {
            "instruments": len(self.instruments),
            "genre": len(self.genres),
            "tempo": self.tempo.count,
            "traits": len(self.traits),
        }


@dataclass(frozen=True)
class TaggerOutput:
    """One batch.

    Attributes:
        embedding: (B, D), not negative.
        instruments: (B, I) logits, each a yes or no of its own.
        genre: (B, G) logits of exclusive classes.
        tempo: (B, K) logits of exclusive bins.
        traits: (B, R) logits, each a yes or no of its own.
    """

    embedding: Tensor
    instruments: Tensor
    genre: Tensor
    tempo: Tensor
    traits: Tensor


def tagger_mel(waveform: Tensor) -> Tensor:
    """What the tagger hears of waveforms (B, T) at 16 kHz: levelled log-mels (B, 1, N, M)."""
    rms = waveform.square().mean(dim=1, keepdim=True).sqrt()
    return log_mel(waveform * (LEVEL_RMS / rms.clamp(min=QUIETEST_RMS)), TAGGER_MEL)


class Layer(nn.Sequential):
    """Convolution, normalisation, rectifier."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


def build_blocks(channels: tuple[int, ...]) -> nn.Sequential:
    """One layer at the full resolution's half, then two a block; each block halves both axes.

    PANNs convolve twice before the first pooling; that alone would take most of the time.
    """
    blocks: list[nn.Module] = [Layer(1, channels[0], kernel=5, stride=2)]
    for inputs, outputs in pairwise(channels):
        blocks.append(nn.Sequential(Layer(inputs, outputs, stride=2), Layer(outputs, outputs)))
    return nn.Sequential(*blocks)


class Tagger(nn.Module):
    """Mel to embedding and four heads.

    Args:
        config: Sizes.
        vocabulary: Classes of the heads.

    Attributes:
        threshold: Logit from which an instrument counts as present, as the stage calibrated it.
    """

    threshold: float = 0.0

    def __init__(self, config: TaggerNetworkConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        # Without an affine part no gradient has to travel back through the widest layer.
        self.norm = nn.BatchNorm1d(TAGGER_MEL.num_bins, affine=False)
        self.blocks = build_blocks(config.channels)
        self.embed = nn.Linear(config.channels[-1], config.embedding_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.heads = nn.Linear(config.embedding_dim, sum(vocabulary.sizes.values()))
        # Otherwise the first steps learn nothing but that most instruments are absent.
        nn.init.constant_(self.heads.bias[: len(vocabulary.instruments)], INSTRUMENT_LOGIT)

    def forward(self, mel: Tensor) -> TaggerOutput:
        """Logits of a log-mel (B, 1, N, M) of any length from 2^blocks frames on."""
        normalised = self.norm(mel[:, 0].transpose(1, 2)).transpose(1, 2)[:, None]
        features = self.blocks(normalised).mean(dim=3)  # (B, channels, N')
        pooled = features.mean(dim=2) + features.amax(dim=2)
        embedding = torch.relu(self.embed(self.dropout(pooled)))
        logits = self.heads(self.dropout(embedding))
        return TaggerOutput(embedding, *logits.split(list(self.vocabulary.sizes.values()), dim=1))


def tempo_bin(bpm: float, bins: TempoBins) -> int:
    """Bin of a tempo; tempi outside fold to the nearest octave inside."""
    ratio = torch.log2(torch.tensor(bpm / bins.lowest_bpm, dtype=torch.float64)).item()
    return int((ratio % bins.octaves) * bins.per_octave)


def save_tagger(network: Tagger, path: Path) -> None:
    """Write half-precision weights that carry their configuration and vocabulary."""
    settings = {
        "network": asdict(network.config),
        "vocabulary": asdict(network.vocabulary),
        "threshold": network.threshold,
    }
    write_network(path, network, FORMAT, TAGGER_MEL, settings)


def load_tagger(path: Path) -> Tagger:
    """The network that `save_tagger` wrote, float32, in evaluation mode and frozen.

    Raises:
        CheckpointError: If the file is missing, corrupt or of another spectrogram.
    """
    weights, settings = read_network(path, FORMAT, config="configs/tagger.yaml", mel=TAGGER_MEL)
    sizes, words = settings["network"], settings["vocabulary"]
    config = TaggerNetworkConfig(**{**sizes, "channels": tuple(sizes["channels"])})
    vocabulary = Vocabulary(
        instruments=tuple(words["instruments"]),
        genres=tuple(words["genres"]),
        traits=tuple(words["traits"]),
        tempo=TempoBins(**words["tempo"]),
    )
    network = Tagger(config, vocabulary)
    network.load_state_dict(weights)
    network.threshold = settings["threshold"]
    return network.eval().requires_grad_(False)
