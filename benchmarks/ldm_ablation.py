"""What a choice in the denoiser's training is worth: one budget, one seed and one set of parts.

    python benchmarks/ldm_ablation.py configs/pocket/ldm.yaml out/mixup --steps 2000 \
        --prompts 200 [mixup.start=overlap cache.variants=4 …]
    python benchmarks/ldm_ablation.py configs/pocket/ldm.yaml out/target --steps 1000 \
        --arm epsilon --arm v model.diffusion.prediction_type=v_prediction

Trains the denoiser of the configuration once an arm: by default without mixup, with plain mixup,
BAM and BLM, otherwise with what each --arm changes. Autoencoder, vocoder and CLAP are the finished
runs that its `components` name. Each denoiser then renders the same captions of held-out clips from
the same noise. The table has the validation loss; FD, the Fréchet distance to the held-out clips;
text fit, the mean cosine of caption and sound; and SIM@t, the share of sounds that are nearer than
t to a training clip, which is less for more novel music. `held-out` is what real, unseen clips
score. FD, text fit and SIM are heard by the run's own CLAP unless --embedder names another one.

Everything is kept in OUT/STEPS-steps, so the same command goes on after a kill, and more
embedders cost no training. `musicgen-ldm evaluate compare` tells chance from difference there.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from musicgen_ldm.audio import read_audio
from musicgen_ldm.config.generation import GenerateRequest, SamplingConfig
from musicgen_ldm.config.ldm_training import LdmStageConfig
from musicgen_ldm.data.manifest import Clip, read_manifest
from musicgen_ldm.errors import ConfigError
from musicgen_ldm.metrics import banking, evaluation, neighbours
from musicgen_ldm.metrics.cache import Cache
from musicgen_ldm.metrics.clips import open_source
from musicgen_ldm.metrics.embedders import Embedder, load_embedder
from musicgen_ldm.metrics.presets import V1
from musicgen_ldm.metrics.request import EvaluationRequest
from musicgen_ldm.metrics.results import Result
from musicgen_ldm.parallel import workers as launched_workers
from musicgen_ldm.pipeline import MusicLDM
from musicgen_ldm.provenance import write_audio
from musicgen_ldm.training.assemble import assemble
from musicgen_ldm.training.loop import Trainer
from musicgen_ldm.training.run_folder import read_metrics
from musicgen_ldm.training.stages import load_stage_config, task_factory

MIXUPS = ("none", "plain", "bam", "blm")
HELD_OUT = "held-out"
COLUMNS = ("valid loss", "FD", "+-", "text fit", "+-", "SIM@90", "SIM@95")


@dataclass(frozen=True)
class Ablation:
    """What all arms share.

    Attributes:
        base: Configuration file of the ldm stage.
        overrides: Changes to it.
        arms: Changes of each arm by its name.
        folder: Of all results.
        steps: Budget of each arm.
        sampling: Of all sounds.
    """

    base: Path
    overrides: tuple[str, ...]
    arms: dict[str, tuple[str, ...]]
    folder: Path
    steps: int
    sampling: SamplingConfig

    def config(self, arm: str) -> LdmStageConfig:
        """The training of one arm."""
        run = f"run.out={self.folder / arm / 'run'}"
        changes = [*self.overrides, *self.arms[arm], f"max_steps={self.steps}", run]
        config = load_stage_config(self.base, changes)
        if not isinstance(config, LdmStageConfig):
            raise ConfigError(f"{self.base}: is a {config.stage} configuration; give an ldm one")
        return config

    def train(self, arm: str) -> Path:
        """The finished checkpoint of one arm; what a kill left is taken up."""
        target, config = self.folder / arm / "checkpoint", self.config(arm)
        if target.is_dir():
            return target
        trainer = Trainer(config, task_factory(config), resume=True)
        if not trainer.fit():
            raise SystemExit(f"{arm}: stopped at step {trainer.step}; the same command goes on")
        parts = config.components
        runs = {"clap": parts.clap, "vae": parts.vae, "vocoder": parts.vocoder}
        return assemble(
            {stage: Path(path) for stage, path in runs.items()} | {"ldm": Path(config.run.out)},
            target,
            name=arm,
            sampling=self.sampling,
        )


def render(checkpoint: Path, clips: list[Clip], seconds: float, folder: Path) -> Path:
    """A sound for a caption of every clip; those that exist are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [(n, c) for n, c in enumerate(clips) if not (folder / f"{c.id}.wav").exists()]
    model = MusicLDM.from_pretrained(checkpoint) if missing else None
    for number, clip in missing:
        assert model is not None
        request = GenerateRequest(prompt=clip.captions[0], seconds=seconds, seed=number)
        (take,) = model.generate(request)
        write_audio(take.waveform, folder / f"{clip.id}.wav", record=take.record)
    return folder


def held_out_clips(manifest: Path, split: str) -> list[Clip]:
    """Captioned single pieces in an order that depends on nothing but their number."""
    clips = [
        clip
        for clip in read_manifest(manifest)
        if clip.split == split and clip.captions and "sequence" not in clip.extra
    ]
    if not clips:
        raise ConfigError(f"{manifest}: no captioned clip has split {split!r}; see --split")
    return [clips[i] for i in np.random.default_rng(0).permutation(len(clips))]


def export_reference(
    clips: list[Clip], root: Path, rate: int, seconds: float, folder: Path
) -> Path:
    """The held-out clips, as long as the sounds, as files of their own.

    Distances and text fits of longer clips than the sounds would measure the length.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        path = folder / f"{clip.id}.flac"
        if not path.exists():
            sound = read_audio(root / clip.path, sample_rate=rate, start_s=clip.start_s,
                               duration_s=min(seconds, clip.duration_s))  # fmt: skip
            soundfile.write(path, sound.mono, rate, subtype="PCM_16")
    return folder


def measure(
    sounds: Path, reference: Path, manifest: Path, embedder: Embedder, cache: Cache, out: Path
) -> dict[str, Result]:
    """Distance, text fit and novelty of a folder of sounds."""
    workers = launched_workers()
    request = EvaluationRequest(gen=sounds, ref=reference, metrics=("fad", "clap"), preset=V1)
    found = evaluation.evaluate(request, [embedder], cache, workers)
    evaluation.write(found, out, overwrite=True)
    training = open_source(manifest, "train")
    trained, _ = banking.embed_source(training, [embedder], cache, workers)
    bank = banking.cached_bank(trained, training, embedder, cache)
    novelty = {}
    for name, folder in (("", sounds), (f"{HELD_OUT} ", reference)):
        source = open_source(folder)
        clips, _ = banking.embed_source(source, [embedder], cache, workers)
        found_novelty = neighbours.measure_novelty(clips, bank, embedder).metrics
        novelty |= {f"{name}{key}": value for key, value in found_novelty.items()}
    scores = {name.split(".")[0]: value for name, value in found.metrics.items()}
    return scores | novelty


def row(name: str, loss: float | None, scores: dict[str, Result]) -> str:
    """One line of the table; a dash where a metric cannot be computed."""
    prefix = f"{HELD_OUT} " if name == HELD_OUT else ""
    distance, fit = (None, None) if prefix else (scores.get("fad"), scores.get("clap"))
    ratios = [scores[f"{prefix}sim_aa@{threshold}"].value for threshold in (90, 95)]
    if prefix and (ceiling := scores.get("clap_ceiling")):
        fit = ceiling
    values = [loss, distance and distance.value, distance and distance.se,
              fit and fit.value, fit and fit.se, *ratios]  # fmt: skip
    cells = ["-" if value is None else f"{value:.4g}" for value in values]
    return "| " + " | ".join([name, *cells]) + " |"


def main() -> None:
    """Train, render, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("base", type=Path, metavar="CONFIG", help="YAML of the ldm stage")
    parser.add_argument("out", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--steps", type=int, required=True, help="optimizer steps of each arm")
    parser.add_argument(
        "--arm", action="append", nargs="+", metavar=("NAME", "key=value"), dest="arms",
        help="one training, with its own changes; several times",
    )  # fmt: skip
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--split", default="test", help="of captions and reference")
    parser.add_argument("--embedder", action="append", help="see `musicgen-ldm evaluate`")
    parser.add_argument("--sampling-steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--bridge", default="none")
    parser.add_argument("--vocoder", default="hifi-gan", help="or griffin-lim")
    args = parser.parse_args()
    sampling = SamplingConfig(
        sampler="dpm++", steps=args.sampling_steps, guidance=args.guidance, bridge=args.bridge,
        vocoder=args.vocoder,
    )  # fmt: skip
    folder = args.out / f"{args.steps}-steps"
    arms = {kind: (f"mixup.kind={kind}",) for kind in MIXUPS}
    if args.arms:
        arms = {name: tuple(changes) for name, *changes in args.arms}
    ablation = Ablation(args.base, tuple(args.overrides), arms, folder, args.steps, sampling)
    config = ablation.config(next(iter(arms)))
    manifest, rate = Path(config.data.manifest), config.model.mel.sample_rate
    clips = held_out_clips(manifest, args.split)
    prompts = clips[: args.prompts]
    seconds = config.data.seconds
    reference_folder = args.out / f"{args.split}-{seconds:g}s"
    reference = export_reference(clips, manifest.parent, rate, seconds, reference_folder)
    sounds, losses = {}, {}
    for arm in arms:
        checkpoint = ablation.train(arm)
        target = folder / arm / f"{len(prompts)}-prompts"
        sounds[arm] = render(checkpoint, prompts, config.data.seconds, target)
        lines = read_metrics(folder / arm / "run" / "metrics.jsonl")
        losses[arm] = next(
            (x["valid/loss_audio"] for x in reversed(lines) if "valid/loss_audio" in x), None
        )
    cache = Cache(args.out / "cache")
    for name in args.embedder or [f"clap:{folder / next(iter(arms)) / 'checkpoint'}"]:
        embedder = load_embedder(name)
        print(f"\n{embedder.name}: {args.steps} steps, {len(prompts)} prompts, "
              f"{len(clips)} held-out clips\n")  # fmt: skip
        print("| arm | " + " | ".join(COLUMNS) + " |\n" + "|---" * (len(COLUMNS) + 1) + "|")
        for arm in arms:
            out = folder / arm / f"{embedder.name}-{len(prompts)}"
            scores = measure(sounds[arm], reference, manifest, embedder, cache, out)
            print(row(arm, losses[arm], scores), flush=True)
        print(row(HELD_OUT, None, scores))


if __name__ == "__main__":
    main()
