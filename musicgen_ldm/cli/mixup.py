"""Listen to and measure what beat-synchronous mixup makes of a manifest."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from musicgen_ldm.data.latents import LatentEncoder

HELP = "audit beat-synchronous mixup: audio and measurements of mixed pairs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    audit = actions.add_parser(
        "audit", help="export mixed pairs and print the distribution of their errors"
    )
    audit.add_argument("manifest", metavar="MANIFEST", help="JSONL of clips")
    audit.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="key=value",
        dest="overrides",
        help="switches of the mixup, e.g. sync=downbeats match_energy=true (default kind=bam)",
    )
    audit.add_argument(
        "--decode",
        metavar="CHECKPOINT",
        help="with kind=blm: also export what CLAP hears, mixed as latents, decoded and vocoded",
    )
    audit.add_argument("--pairs", type=int, default=20, metavar="N", help="default %(default)s")
    audit.add_argument("--out", required=True, metavar="DIR", help="folder of WAVs and pairs.jsonl")
    audit.add_argument("--split", default="train", help="default %(default)s")
    audit.add_argument("--seed", type=int, default=0, help="default %(default)s")
    audit.add_argument("--json", action="store_true", help="print the distribution as JSON")
    audit.add_argument("--overwrite", action="store_true", help="write into a folder with files")


def run(args: argparse.Namespace) -> int:
    """Draw, measure and export pairs."""
    import soundfile

    from musicgen_ldm.config.mixup import MixupConfig
    from musicgen_ldm.config.signal import MelConfig
    from musicgen_ldm.config.training import DataConfig
    from musicgen_ldm.configio import build, parse_overrides
    from musicgen_ldm.data.clips import ClipDataset
    from musicgen_ldm.data.mixup_audit import MixupAudit, decoded, distribution
    from musicgen_ldm.errors import ConfigError

    config = build(MixupConfig, parse_overrides(args.overrides), {"kind": "bam"})
    if config.kind == "none":
        raise ConfigError("kind=none mixes nothing; choose bam, blm or plain")
    if args.pairs < 1:
        raise ConfigError(f"--pairs {args.pairs}: must be at least 1")
    if args.decode and config.kind != "blm":
        raise ConfigError(f"--decode: kind={config.kind} mixes no latents; set kind=blm")
    encoder = _encoder(args.decode) if args.decode else None
    folder = _empty_folder(Path(args.out), overwrite=args.overwrite)
    data = DataConfig(manifest=args.manifest)
    clips = ClipDataset.for_mel(data, args.split, MelConfig(), args.seed)
    audit = MixupAudit(clips, config, args.seed)
    pairs = []
    with (folder / "pairs.jsonl").open("w", encoding="utf-8") as lines:
        for number, (pair, mixture) in enumerate(audit.pairs(args.pairs), start=1):
            stem = f"{number:04d}-{pair.anchor}+{pair.partner}"
            sounds = {"file": (f"{stem}.wav", mixture.samples)}
            if encoder:
                heard = decoded(mixture, encoder, clips.num_samples, args.seed)
                sounds["decoded"] = (f"{stem}-decoded.wav", heard)
            for name, samples in sounds.values():
                soundfile.write(folder / name, samples, clips.sample_rate, subtype="PCM_16")
            names = {kind: name for kind, (name, _) in sounds.items()}
            lines.write(json.dumps(names | pair.to_json(), ensure_ascii=False) + "\n")
            pairs.append(pair)
    sizes = audit.group_sizes()
    summary = {
        "pairs": len(pairs),
        "clips": len(sizes),
        "clips without partner": sum(size == 0 for size in sizes),
        "refused": dict(audit.refused),
        "distribution": distribution(pairs),
    }
    print(json.dumps(summary) if args.json else _table(summary, folder))
    return 0


def _encoder(checkpoint: str) -> "LatentEncoder":
    """The networks around latents, of a checkpoint or of a folder with their exports."""
    from diffusers import AutoencoderKL
    from transformers import SpeechT5HifiGan

    from musicgen_ldm.config.signal import MelConfig
    from musicgen_ldm.data.latents import LatentEncoder
    from musicgen_ldm.training.clap_folder import load_clap
    from musicgen_ldm.training.components import load_component

    return LatentEncoder(
        load_component(AutoencoderKL, checkpoint, "vae").eval(),
        load_component(SpeechT5HifiGan, checkpoint, "vocoder").eval(),
        load_clap(checkpoint),
        MelConfig(),
    )


def _empty_folder(folder: Path, *, overwrite: bool) -> Path:
    from musicgen_ldm.errors import OutputError

    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not overwrite):
        raise OutputError(f"{folder} exists and is not empty; choose another --out or --overwrite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be created ({error.strerror})") from error
    return folder


def _table(summary: dict[str, object], folder: Path) -> str:
    distribution = summary["distribution"]
    assert isinstance(distribution, dict)
    columns = list(next(iter(distribution.values())))
    rows = [f"{'':24}" + "".join(f"{name:>10}" for name in columns)]
    rows += [
        f"{name:24}" + "".join(f"{value:10.3f}" for value in values.values())
        for name, values in distribution.items()
    ]
    alone = f"{summary['clips without partner']} of {summary['clips']} clips have no partner"
    return "\n".join([*rows, f"{alone}; {summary['pairs']} pairs in {folder}"])
