"""The tagger: a small PANNs that hears instruments, genre and tempo (Kong et al. 2020).

It is the offline classifier of the evaluation and is kept apart from everything that trains or
ranks the generator. Shapes: mel (B, 1, N, M), embedding (B, D).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from musicgen_ldm.config.tagger_training import TAGGER_MEL, TaggerNetworkConfig, TempoBins
from musicgen_ldm.errors import CheckpointError

FILE_NAME = "tagger.safetensors"
FORMAT = "musicgen_ldm.tagger.v1"


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What the heads can say."""

    instruments: tuple[str, ...]
    genres: tuple[str, ...]
    tempo: TempoBins


@dataclass(frozen=True)
class TaggerOutput:
    """One batch.

    Attributes:
        embedding: (B, D), not negative.
        instruments: (B, I) logits, each a yes or no of its own.
        genre: (B, G) logits of exclusive classes.
        tempo: (B, K) logits of exclusive bins.
    """

    embedding: Tensor
    instruments: Tensor
    genre: Tensor
    tempo: Tensor


class Block(nn.Sequential):
    """Two convolutions, then half the frames and half the bins."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.AvgPool2d(2),
        )


class Tagger(nn.Module):
    """Mel to embedding and three heads.

    Args:
        config: Sizes.
        vocabulary: Classes of the heads.
    """

    def __init__(self, config: TaggerNetworkConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        widths = (1, *config.channels)
        self.norm = nn.BatchNorm1d(TAGGER_MEL.num_bins)
        self.blocks = nn.Sequential(*map(Block, widths, widths[1:]))
        self.embed = nn.Linear(config.channels[-1], config.embedding_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.instruments = nn.Linear(config.embedding_dim, len(vocabulary.instruments))
        self.genre = nn.Linear(config.embedding_dim, len(vocabulary.genres))
        self.tempo = nn.Linear(config.embedding_dim, vocabulary.tempo.count)

    def forward(self, mel: Tensor) -> TaggerOutput:
        """Logits of a log-mel (B, 1, N, M) of any length from 2^blocks frames on."""
        normalised = self.norm(mel[:, 0].transpose(1, 2)).transpose(1, 2)[:, None]
        features = self.blocks(normalised).mean(dim=3)  # (B, channels, N')
        pooled = features.mean(dim=2) + features.amax(dim=2)
        embedding = torch.relu(self.embed(self.dropout(pooled)))
        shared = self.dropout(embedding)
        return TaggerOutput(
            embedding, self.instruments(shared), self.genre(shared), self.tempo(shared)
        )


def tempo_bin(bpm: float, bins: TempoBins) -> int:
    """Bin of a tempo; tempi outside fold to the nearest octave inside."""
    ratio = torch.log2(torch.tensor(bpm / bins.lowest_bpm, dtype=torch.float64)).item()
    return int((ratio % bins.octaves) * bins.per_octave)


def save_tagger(network: Tagger, path: Path) -> None:
    """Write half-precision weights that carry their configuration and vocabulary."""
    tensors = {
        name: (t.half() if t.is_floating_point() else t).contiguous()
        for name, t in network.state_dict().items()
    }
    metadata = {
        "format": FORMAT,
        "network": json.dumps(asdict(network.config)),
        "vocabulary": json.dumps(asdict(network.vocabulary)),
        "mel": json.dumps(asdict(TAGGER_MEL)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata)


def load_tagger(path: Path) -> Tagger:
    """The network that `save_tagger` wrote, float32, in evaluation mode and frozen.

    Raises:
        CheckpointError: If the file is missing, corrupt or of another spectrogram.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: no readable tagger ({error}); train one with "
            "`musicgen-ldm train configs/tagger.yaml`"
        ) from error
    if metadata.get("format") != FORMAT or metadata.get("mel") != json.dumps(asdict(TAGGER_MEL)):
        raise CheckpointError(
            f"{path}: format {metadata.get('format')}, mel {metadata.get('mel')}; this version "
            f"needs {FORMAT} on {json.dumps(asdict(TAGGER_MEL))}; train the tagger again"
        )
    sizes, words = json.loads(metadata["network"]), json.loads(metadata["vocabulary"])
    config = TaggerNetworkConfig(**{**sizes, "channels": tuple(sizes["channels"])})
    vocabulary = Vocabulary(
        instruments=tuple(words["instruments"]),
        genres=tuple(words["genres"]),
        tempo=TempoBins(**words["tempo"]),
    )
    network = Tagger(config, vocabulary)
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)
