"""What a training run is: the experiment (`StageConfig`) and the machine (`RunConfig`).

The two are kept apart so that an experiment's hash is the same on a laptop and on eight GPUs.
Each stage subclasses `StageConfig`; the YAML files in `configs/` state only differences from the
defaults found here.
"""

from dataclasses import dataclass, field
from typing import Literal

from musicgen_ldm.config.checks import check_least
from musicgen_ldm.config.models import PRESETS, ModelConfig
from musicgen_ldm.config.signal import CLIP_SECONDS
from musicgen_ldm.errors import ConfigError

SEEDS = 2**32  # how many numpy's global generator knows


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """One optimizer and its learning-rate schedule."""

    name: Literal["adamw", "adam"] = "adamw"
    lr: float = 3e-5
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    schedule: Literal["constant", "cosine", "linear"] = "constant"  # after the warm-up
    warmup_steps: int = 0  # linear from 0
    final_lr_fraction: float = 0.0  # of `lr`, reached at max_steps by cosine and linear
    clip_norm: float | None = None  # largest gradient norm; None does not clip

    def __post_init__(self) -> None:
        """Check ranges."""
        if not self.lr > 0:
            raise ConfigError(f"optim.lr={self.lr}: must be above 0")
        check_least(self, "optim.", warmup_steps=0, weight_decay=0)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"optim.betas={list(self.betas)}: must lie in [0, 1)")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ConfigError(
                f"optim.clip_norm={self.clip_norm}: must be above 0; null does not clip"
            )
        if not 0 <= self.final_lr_fraction <= 1:
            raise ConfigError(
                f"optim.final_lr_fraction={self.final_lr_fraction}: must lie in [0, 1]"
            )


@dataclass(frozen=True, kw_only=True)
class EmaConfig:
    """Exponential moving average of the weights that a stage exports.

    The decay warms up as min((1 + n) / (10 + n), decay) after n steps, so that a short run is
    not dominated by its random initialisation.
    """

    decay: float = 0.9999

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0 <= self.decay < 1:
            raise ConfigError(f"ema.decay={self.decay}: must lie in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class AdversaryConfig:
    """Discriminator of a stage that sharpens its output adversarially."""

    start_step: int = 50_000  # until then the discriminator is neither called nor trained
    width: int = 64  # channels of its first layer; the others follow
    weight: float = 1.0  # of the adversarial loss
    optim: OptimConfig = field(default_factory=OptimConfig)

    def __post_init__(self) -> None:
        """Check ranges."""
        check_least(self, "adversary.", start_step=0, width=1, weight=0)

    def active(self, step: int) -> bool:
        """Whether it takes part in the step after `step` finished ones."""
        return step >= self.start_step


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which clips, and how each becomes an example."""

    manifest: str = "data/corpus/manifest.jsonl"  # written by `corpus build` or `prepare`
    seconds: float = CLIP_SECONDS  # window cropped from each clip
    peak: float = 0.5  # each clip is scaled to this peak before it is cropped
    licences: tuple[str, ...] = ()  # train on these licences only; empty allows all
    max_skipped: float = 0.02  # fail once this fraction of the clips could not be read

    def __post_init__(self) -> None:
        """Check ranges."""
        if not self.seconds > 0:
            raise ConfigError(f"data.seconds={self.seconds}: must be above 0")
        if not 0 < self.peak <= 1:
            raise ConfigError(f"data.peak={self.peak}: must be above 0 and at most 1")
        if not 0 <= self.max_skipped <= 1:
            raise ConfigError(f"data.max_skipped={self.max_skipped}: must lie in [0, 1]")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Matters of the machine and of the occasion; none changes what is learned."""

    out: str = "runs/run"  # run folder
    device: Literal["auto", "cpu"] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] | None = None  # None: as `accelerate launch` says
    compile: bool = False  # torch.compile the trained networks
    shard: bool = False  # each process keeps a part of the weights (training/sharding.py)
    # Faster convolutions; on a CPU other kernels are swapped too (training/cpu_kernels.py).
    channels_last: bool = False
    micro_batch: int | None = None  # clips a process holds at once; None: batch_size / processes
    workers: int = 0  # data loading processes per training process
    max_minutes: float | None = None  # stop cleanly after this long; `--resume` goes on
    log_every: int = 10  # steps
    valid_every: int = 500  # steps
    valid_clips: int = 64  # the first ones of the split "valid"
    sample_every: int = 1000  # steps
    save_every: int = 500  # steps
    keep: int = 3  # newest checkpoints kept
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ("tensorboard",)

    def __post_init__(self) -> None:
        """Check ranges."""
        check_least(self, "run.", workers=0, valid_clips=0, micro_batch=1, log_every=1,
                    valid_every=1, sample_every=1, save_every=1, keep=1)  # fmt: skip
        if self.shard and self.compile:
            raise ConfigError("run.shard and run.compile do not go together; set one of them")
        if self.shard and self.precision == "fp16":
            raise ConfigError("run.shard needs no loss scaling: use run.precision=bf16 or fp32")


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """What every stage has. `model` starts from the preset; a YAML may change single numbers."""

    stage: str
    preset: str = "musicldm"
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    run: RunConfig = field(default_factory=RunConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    ema: EmaConfig | None = field(default_factory=EmaConfig)
    seed: int = 0
    batch_size: int = 16  # clips per optimizer step, over all processes and accumulated batches
    max_steps: int = 100_000  # optimizer steps; also the end of cosine and linear schedules

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.preset not in PRESETS:
            raise ConfigError(f"preset={self.preset!r}: must be one of {', '.join(PRESETS)}")
        check_least(self, batch_size=1, max_steps=1, seed=0)
        if self.seed >= SEEDS:
            raise ConfigError(f"seed={self.seed}: must be below {SEEDS}")
        mel = self.model.mel
        check_least(self.data, "data.", seconds=mel.n_fft / mel.sample_rate)  # one window
