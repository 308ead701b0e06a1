"""Our tagger as embedder and classifier."""

from dataclasses import dataclass
from pathlib import Path

import torch

from musicgen_ldm.audio import FloatArray
from musicgen_ldm.checkpoint_folders import search_path
from musicgen_ldm.config.tagger_training import TAGGER_MEL
from musicgen_ldm.data.feature_store import weights_digest
from musicgen_ldm.errors import CheckpointError
from musicgen_ldm.metrics.embedders.base import WINDOW_S, Features, identify
from musicgen_ldm.models.tagger import FILE_NAME, Tagger, load_tagger, tagger_mel

FOLDER = "tagger"  # inside a folder of checkpoints


@dataclass(frozen=True)
class TaggerEmbedder:
    """Windows to embeddings, genre logits (for IS and KL), instruments and traits.

    Attributes:
        network: Frozen.
        device: Where it runs.
    """

    network: Tagger
    device: str
    weights: str
    name: str = "tagger"
    sample_rate: int = TAGGER_MEL.sample_rate
    window_s: float = WINDOW_S
    hop_s: float = WINDOW_S

    @property
    def identity(self) -> str:
        """Changes with the weights and the window."""
        return identify("tagger-2", self.weights, self.network.threshold, self.window_s)

    @property
    def dim(self) -> int:
        """D."""
        return self.network.config.embedding_dim

    @property
    def genres(self) -> tuple[str, ...]:
        """Names of the C classes."""
        return self.network.vocabulary.genres

    @property
    def instruments(self) -> tuple[str, ...]:
        """Names of the yes-or-no tags."""
        return self.network.vocabulary.instruments

    @property
    def traits(self) -> tuple[str, ...]:
        """Names of the yes-or-no traits."""
        return self.network.vocabulary.traits

    @torch.no_grad()
    def __call__(self, windows: FloatArray) -> Features:
        """Features (W, 1, D), genre logits (W, C), instrument and trait logits (W, I), (W, R).

        Instruments are present above 0: the calibrated threshold is taken off.
        """
        output = self.network(tagger_mel(torch.from_numpy(windows).to(self.device)))
        present = output.instruments - self.network.threshold
        frames, genre, tags, traits = (
            t.float().cpu().numpy()
            for t in (output.embedding, output.genre, present, output.traits)
        )
        return Features(frames[:, None], genre, tags, traits)


def load_tagger_embedder(source: str | None, device: str) -> TaggerEmbedder:
    """The tagger of a file or folder, or the one among the checkpoints.

    Raises:
        CheckpointError: If there is none.
    """
    candidates = [folder / FOLDER for folder in search_path()] if source is None else [Path(source)]
    files = [path / FILE_NAME if path.suffix == "" else path for path in candidates]
    found = next((path for path in files if path.is_file()), None)
    if found is None:
        raise CheckpointError(
            f"no tagger at {', '.join(map(str, files))}; train one with "
            "`musicgen-ldm train configs/tagger.yaml`, or give tagger:FILE"
        )
    network = load_tagger(found).to(device)
    return TaggerEmbedder(network, device, weights_digest(network))
