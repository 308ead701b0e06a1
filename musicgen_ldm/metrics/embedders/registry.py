"""Names to embedders.

A name is a kind, or a kind and a checkpoint:

    logmel, chroma              no weights, always there
    clap-NAME                   CLAP of a checkpoint (clap-pocket) or a published one (clap-music)
    clap:FOLDER_OR_HUB_ID       any CLAP that transformers reads
    encodec-24khz, encodec:…    EnCodec
    ast, ast:…                  Audio Spectrogram Transformer, with AudioSet logits
    tagger, tagger:FILE         our tagger: genres, instruments
    vggish, panns, passt        through torchvggish, panns-inference, hear21passt
    NAME-3s                     any of them on overlapping excerpts, to find partial copies
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from musicgen_ldm.errors import CheckpointError, MetricError
from musicgen_ldm.metrics.embedders.base import Embedder
from musicgen_ldm.metrics.embedders.excerpts import EXCERPT_S, Excerpts

PUBLISHED = {
    "clap-music": "laion/larger_clap_music",
    "clap-music-speech": "laion/larger_clap_music_and_speech",
    "clap-general": "laion/larger_clap_general",
    "clap-unfused": "laion/clap-htsat-unfused",
    "encodec-24khz": "facebook/encodec_24khz",
    "encodec-48khz": "facebook/encodec_48khz",
    "ast": "MIT/ast-finetuned-audioset-10-10-0.4593",
}
EXCERPT_SUFFIX = f"-{EXCERPT_S:g}s"
KINDS = ("logmel", "chroma", "clap", "encodec", "ast", "tagger", "vggish", "panns", "passt")


def load_embedder(name: str, *, device: str = "cpu", offline: bool = False) -> Embedder:
    """The embedder of a name.

    Args:
        name: See the module.
        device: Where its network runs.
        offline: Never ask the hub.

    Raises:
        MetricError: If no embedder has that name.
        CheckpointError: If its weights are not found.
        MissingExtraError: If its package is not installed.
    """
    from musicgen_ldm.metrics.embedders import packages, weightfree

    if name.endswith(EXCERPT_SUFFIX):
        inner = name.removesuffix(EXCERPT_SUFFIX)
        return Excerpts(load_embedder(inner, device=device, offline=offline))

    simple: dict[str, Callable[[], Embedder]] = {
        "logmel": weightfree.LogMelStatistics,
        "chroma": weightfree.ChromaStatistics,
        "vggish": lambda: packages.load_vggish(device),
        "panns": lambda: packages.load_panns(device),
        "passt": lambda: packages.load_passt(device),
    }
    if name in simple:
        return simple[name]()
    if name == "tagger" or name.startswith("tagger:"):
        from musicgen_ldm.metrics.embedders.tagger import load_tagger_embedder

        return load_tagger_embedder(name.partition(":")[2] or None, device)
    kind, source = _kind_and_source(name)
    folder = _folder(source, offline=offline)
    label = name if ":" not in name else f"{kind}-{Path(source).name}"
    if kind == "clap":
        from musicgen_ldm.metrics.embedders.clap import load_clap

        return load_clap(folder, label, device)
    from musicgen_ldm.metrics.embedders import huggingface

    load = huggingface.load_encodec if kind == "encodec" else huggingface.load_ast
    return load(folder, label, device)


def load_embedders(
    names: Sequence[str], *, device: str = "cpu", offline: bool = False
) -> list[Embedder]:
    """The embedders of the given names, each named once in the results.

    Raises:
        MetricError: Also if two would share a name: one would be reported as the other.
    """
    found = {name: load_embedder(name, device=device, offline=offline) for name in names}
    labels = [embedder.name for embedder in found.values()]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise MetricError(
            f"several embedders are called {', '.join(twice)}; evaluate them one by one, or "
            "rename a folder"
        )
    return list(found.values())


def _kind_and_source(name: str) -> tuple[str, str]:
    if name in PUBLISHED:
        return name.split("-")[0], PUBLISHED[name]
    kind, separator, source = name.partition(":")
    if not separator:
        kind, separator, source = name.partition("-")
    if kind not in ("clap", "encodec", "ast") or not source:
        raise MetricError(
            f"no embedder {name!r}; known: {', '.join(sorted({*KINDS, *PUBLISHED}))}, "
            "or KIND:FOLDER with clap, encodec or ast"
        )
    return kind, source


def _folder(source: str, *, offline: bool) -> Path:
    """The folder of a checkpoint name, path or hub id."""
    from musicgen_ldm.checkpoint import resolve

    if (Path(source) / "config.json").is_file():
        return Path(source)
    # A folder beside us may look like a hub id ("checkpoints/pocket"); what is here goes first.
    if Path(source).is_dir() or source.count("/") != 1 or source.startswith((".", "/")):
        return resolve(source, offline=offline)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                source,
                allow_patterns=["*.json", "*.txt", "*.safetensors"],
                local_files_only=offline,
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise CheckpointError(
            f"{source}: neither a folder nor answered by the hub "
            f"({str(error).strip().splitlines()[0]}); give a folder"
        ) from error
