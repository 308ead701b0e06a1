"""What the autoencoder and the vocoder alone leave of music: errors, and files to judge.

    python benchmarks/codec_clips.py pocket data/test --clips 100
    python benchmarks/codec_clips.py pocket data/test --prompts prompts.jsonl --out codec
    musicgen-ldm evaluate --gen codec --ref data/test --prompts prompts.jsonl \
        --metrics obedience,fad --embedder tagger --out eval/codec

`autoencoder` is the L1 of log-mels (natural logarithm) before and after it, `vocoder` that of the
mel of the sound which the checkpoint's default vocoder makes of a true mel, `both` of one after
the other. `--vocoder` takes the other vocoder, `--without-autoencoder` writes what the vocoder
alone leaves. With `--prompts`, files are named after the prompts that describe the clips, so that
what the judges of `evaluate` say of them is the ceiling of any denoiser.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import soundfile
import torch

from musicgen_ldm.audio import peak, read_audio
from musicgen_ldm.checkpoint import Checkpoint, load
from musicgen_ldm.codec import latent_to_mel, mel_to_latent, mel_to_waveform
from musicgen_ldm.config.generation import VocoderName
from musicgen_ldm.config.signal import CLIP_SECONDS
from musicgen_ldm.mel import log_mel
from musicgen_ldm.metrics.clips import AudioFile, open_source, read_prompts
from musicgen_ldm.models.vae import reduction
from musicgen_ldm.pipeline.plans import TRAINING_PEAK

COLUMNS = ("autoencoder", "vocoder", "both")


def chosen(audio: Path, prompts: Path | None, count: int) -> Iterator[tuple[str, AudioFile]]:
    """Name and clip: of each prompt, or of clips evenly thinned."""
    files = open_source(audio).files
    if prompts:
        by_id = {file.id: file for file in files}
        pairs = [(name, by_id[p.clip]) for name, p in read_prompts(prompts).items() if p.clip]
    else:
        pairs = [(file.id, file) for file in files]
    for i in np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(int):
        yield pairs[i]


def through(
    model: Checkpoint, samples: torch.Tensor, vocoder: VocoderName
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Log-mel (1, 1, N, M) and waveform (T,) after nothing but the vocoder, and after both."""
    mel = log_mel(samples[None], model.mel)
    factor = reduction(model.vae)
    mel = mel[:, :, : mel.shape[2] // factor * factor]
    latent = mel_to_latent(model.vae, mel, mel.shape[2])
    decoded = latent_to_mel(model.vae, latent, latent.shape[2], circular=False)
    return {
        name: (value, mel_to_waveform(vocoder, model.vocoder, value, model.mel))
        for name, value in (("vocoder", mel), ("both", decoded))
    }


def main() -> None:
    """Print a line of errors, and write the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint")
    parser.add_argument("audio", type=Path, help="corpus, manifest or folder")
    parser.add_argument("--prompts", type=Path)
    parser.add_argument("--clips", type=int, default=10**9, metavar="N", help="at most N")
    parser.add_argument(
        "--seconds", type=float, default=CLIP_SECONDS, help="of each, from its start"
    )
    parser.add_argument("--vocoder", choices=get_args(VocoderName))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--without-autoencoder", action="store_true")
    args = parser.parse_args()
    model = load(args.checkpoint)
    vocoder = args.vocoder or model.sampling.vocoder
    errors = []
    for name, file in chosen(args.audio, args.prompts, args.clips):
        whole = read_audio(file.path, start_s=file.start_s, duration_s=args.seconds)
        samples = torch.from_numpy(whole.resampled(model.mel.sample_rate).mono)
        samples = samples * (TRAINING_PEAK / max(peak(samples.numpy()), 1e-6))
        made = through(model, samples, vocoder)
        (truth, phased), (decoded, both) = made["vocoder"], made["both"]
        heard = [log_mel(sound[None], model.mel) for sound in (phased, both)]
        compared = (decoded, *(mel[:, :, : truth.shape[2]] for mel in heard))
        errors.append([float((mel - truth).abs().mean()) for mel in compared])
        if args.out:
            sound = (phased if args.without_autoencoder else both).cpu().numpy()
            target = args.out / f"{name}.flac"
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, sound / max(1.0, peak(sound)), model.mel.sample_rate)
    mean, error = np.mean(errors, axis=0), np.std(errors, axis=0) / max(1, len(errors)) ** 0.5
    cells = (f"{c} {m:.3f} +- {e:.3f}" for c, m, e in zip(COLUMNS, mean, error, strict=True))
    print(f"log-mel L1 of {len(errors)} clips ({vocoder}): " + ", ".join(cells))


if __name__ == "__main__":
    main()
