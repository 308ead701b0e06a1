"""The training loop of every stage. The only file that knows accelerate.

It owns steps, devices, precision, accumulation, clipping, averages, schedules, trackers,
checkpoints and cadence. What is learned is the task's business (`training/task.py`); nothing here
asks which stage it runs.

Every micro-batch is seeded from (seed, step, its place in the step), and the data follow one
stream (`data/sampler.py`). So a checkpoint needs no random state: a run that was killed continues
to the last bit, and two processes see what one process with twice the accumulation sees.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import (
    GradientAccumulationPlugin,
    gather_object,
    parse_flag_from_env,
    send_to_device,
    set_seed,
)
from torch import Generator, Tensor
from torch.optim import Optimizer
from tqdm import tqdm

from musicgen_ldm.checkpoint.quiet import quiet_libraries
from musicgen_ldm.config.training import StageConfig
from musicgen_ldm.data.sampler import split_batch
from musicgen_ldm.errors import ConfigError, NumericsError
from musicgen_ldm.training.batches import Batches
from musicgen_ldm.training.checkpoints import replace_folder
from musicgen_ldm.training.cpu_kernels import lay_out
from musicgen_ldm.training.ema import Averages
from musicgen_ldm.training.interrupts import StopRequest
from musicgen_ldm.training.meters import Meters
from musicgen_ldm.training.report import write_report
from musicgen_ldm.training.run_folder import RunFolder
from musicgen_ldm.training.schedule import lr_factor
from musicgen_ldm.training.sharding import Shards, gathered
from musicgen_ldm.training.state import Progress, gather_state, load_state, save_state
from musicgen_ldm.training.task import (
    Batch,
    Optimization,
    StartsFromData,
    StepContext,
    Task,
    unwrapped,
)
from musicgen_ldm.training.trackers import flat_config, installed_trackers, tracker_options

FIXED_NOISE_SEED = 20230803  # of validation and samples, the same in every run


class Trainer:
    """One run of one stage.

    Args:
        config: Experiment and machine.
        make_task: Builds the task; called once torch is seeded, so that weights are reproducible.
        resume: Continue the run in `config.run.out` from its newest checkpoint, if it has one.

    Raises:
        TrainingError: If the folder holds a run that may not be replaced or continued.
        ConfigError: If the batch cannot be split over the processes.
    """

    def __init__(
        self, config: StageConfig, make_task: Callable[[], Task], *, resume: bool = False
    ) -> None:
        self.config = config
        self.stop = StopRequest(config.run.max_minutes)
        self.run = RunFolder(Path(config.run.out), config.run.keep)
        self.accelerator = _build_accelerator(config)
        self.micro_batch, self.accumulate = split_batch(
            config.batch_size, config.run.micro_batch, self.accelerator.num_processes
        )
        self.accelerator.gradient_accumulation_steps = self.accumulate
        self.step = 0
        self.meters = Meters()
        checkpoint = self.run.checkpoints.latest() if resume else None
        self._prepare_folder(resume=checkpoint is not None)
        set_seed(config.seed)
        self.task = make_task()
        self._prepare_task()
        self.batches = self._build_batches()
        if checkpoint:
            self._load(checkpoint)

    def _prepare_folder(self, resume: bool) -> None:
        if self.accelerator.is_main_process:
            if resume:
                self.run.check_same_experiment(self.config)
                self.run.write_config(self.config)
            else:
                self.run.start(self.config)
        self.accelerator.wait_for_everyone()

    def _prepare_task(self) -> None:
        task, accelerator = self.task, self.accelerator
        if self.config.run.channels_last:
            lay_out(task.models.values(), task.frozen.values(), accelerator.device)
        for model in task.frozen.values():
            model.to(accelerator.device)
        if isinstance(task, StartsFromData):
            task.start_from_data()
        sharded = self.config.run.shard
        self.shards = Shards(task.models, accelerator.device) if sharded else None
        optimizations = task.optimizers()
        for optimization in optimizations.values():
            for group in optimization.optimizer.param_groups:
                group["initial_lr"] = group["lr"]
        if not self.shards:
            for name, model in task.models.items():
                task.models[name] = accelerator.prepare_model(model)
        self.optimizations = {
            name: Optimization(accelerator.prepare_optimizer(optimizer), config)
            for name, (optimizer, config) in optimizations.items()
        }
        self.bare_models = {name: unwrapped(model) for name, model in task.models.items()}
        averaged = {name: self.bare_models[name] for name in task.averaged}
        self.averages = Averages(averaged, self.config.ema) if self.config.ema else None

    def _build_batches(self) -> Batches:
        device = self.accelerator.device
        return Batches(
            self.task,
            self.config,
            micro_batch=self.micro_batch,
            process=self.accelerator.process_index,
            num_processes=self.accelerator.num_processes,
            device=device,
            move=partial(send_to_device, device=device, non_blocking=True),
        )

    def fit(self) -> bool:
        """Train until `max_steps`, the time budget or a signal to stop.

        Returns:
            True once `max_steps` is reached; False if `--resume` can go on.

        Raises:
            NumericsError: At a non-finite loss or gradient, before it reaches the weights.
            TrainingError: If too many clips are unusable or the disk is full.
        """
        self._start_trackers()
        batches = self.batches.train(self.step)
        progress = tqdm(
            total=self.config.max_steps,
            initial=self.step,
            desc=self.task.name,
            disable=None if self.accelerator.is_main_process else True,  # None: on a terminal
        )
        with progress, self.stop.listening(), self.run.checkpoints.naming_full_disk():
            while self.step < self.config.max_steps and not self._should_stop():
                self._train_step(batches)
                self.step += 1
                progress.update()
                self._after_step(progress)
            self._finish()
        self.accelerator.end_training()
        return self.step >= self.config.max_steps

    def _train_step(self, batches: Iterator[Batch]) -> None:
        for optimizer, config in self.optimizations.values():
            factor = lr_factor(config, self.step, self.config.max_steps)
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
        for micro in range(self.accumulate):
            batch = next(batches)
            context = self._context(batch, micro)
            with (
                self.accelerator.accumulate(*self.task.models.values()),
                self.accelerator.autocast(),
            ):
                self.meters.add(_prefixed("train", self.task.step(batch, context)))
        if self.averages:
            self.averages.update()

    def _context(self, batch: Batch, micro: int) -> StepContext:
        """Seed everything that this micro-batch may draw from."""
        place = micro * self.accelerator.num_processes + self.accelerator.process_index
        seeds = np.random.SeedSequence((self.config.seed, self.step, place)).generate_state(2)
        torch.manual_seed(int(seeds[0]))  # dropout
        return StepContext(
            index=self.step,
            generator=Generator(self.accelerator.device).manual_seed(int(seeds[1])),
            optimize=partial(self._optimize, batch),
        )

    def _optimize(self, batch: Batch, name: str, loss: Tensor) -> None:
        self._require_finite(loss, f"the loss of {name!r}", batch)
        optimizer, config = self.optimizations[name]
        # Backward and update run in the precision the forward pass chose, not under autocast.
        with torch.autocast(self.accelerator.device.type, enabled=False):
            self.accelerator.backward(loss)
            if self.accelerator.sync_gradients:
                parameters = [p for group in optimizer.param_groups for p in group["params"]]
                limit = float("inf") if config.clip_norm is None else config.clip_norm
                norm = gathered(self.accelerator.clip_grad_norm_(parameters, limit))
                if self.accelerator.scaler is None:  # which skips overflowing steps by design
                    self._require_finite(norm, f"the gradient of {name!r}", batch)
                self.meters.add({f"grad_norm/{name}": norm})
            optimizer.step()
            optimizer.zero_grad()

    def _require_finite(self, value: Tensor, what: str, batch: Batch) -> None:
        if not torch.isfinite(value).all():
            clips = ", ".join(map(str, batch.get("id", ["unknown"])[:4]))
            latest = self.run.checkpoints.latest()
            raise NumericsError(
                f"step {self.step}: {what} is {value.item()} (clips {clips}); its update was "
                f"not made, the newest checkpoint is {latest}; lower the learning rate, set "
                "clip_norm, or use run.precision=fp32"
            )

    def _after_step(self, progress: "tqdm[Any]") -> None:
        run, finished = self.config.run, self.step == self.config.max_steps

        def due(every: int) -> bool:
            return finished or self.step % every == 0

        if due(run.log_every):
            self._log_training(progress)
        validated = run.valid_clips > 0 and due(run.valid_every)
        if validated:
            self._validate()
        sampled = due(run.sample_every)
        if sampled:
            self._sample()
        if validated or sampled:
            self._report()
        if due(run.save_every):
            self._save()

    def _log_training(self, progress: "tqdm[Any]") -> None:
        means = self.meters.means()
        self.meters.clear()
        if not means:  # resumed exactly here
            return
        values = torch.stack([value.to(self.accelerator.device) for value in means.values()])
        reduced = self.accelerator.reduce(values, reduction="mean").tolist()
        line = dict(zip(means, reduced, strict=True))
        for name, (optimizer, _) in self.optimizations.items():
            line[f"lr/{name}"] = optimizer.param_groups[0]["lr"]
        line["data/skipped"] = self._count_skipped()
        self._log(line)
        losses = {k.removeprefix("train/"): v for k, v in line.items() if k.startswith("train/")}
        progress.set_postfix({k: f"{v:.3g}" for k, v in list(losses.items())[:3]})

    def _count_skipped(self) -> int:
        """Unusable clips that any process met; all give up together if they are too many."""
        skips = self.batches.skips
        skips.add(gather_object(list(skips.reasons.items())))
        skips.check()
        return len(skips.reasons)

    def _log(self, line: dict[str, float]) -> None:
        if self.accelerator.is_main_process:
            self.run.log(self.step, line)
        self.accelerator.log(line, step=self.step)

    @contextmanager
    def _evaluation(self) -> Iterator[Generator]:
        """Averaged weights, no gradients, no dropout, and noise that is always the same."""
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(self.accelerator.autocast())
            stack.enter_context(self.averages.swapped_in() if self.averages else nullcontext())
            stack.enter_context(self.shards.gathered() if self.shards else nullcontext())
            modules = [m for model in self.task.models.values() for m in model.modules()]
            training = [m for m in modules if m.training]  # a task may keep parts in evaluation
            for module in training:
                module.training = False
            try:
                yield Generator(self.accelerator.device).manual_seed(FIXED_NOISE_SEED)
            finally:
                for module in training:
                    module.training = True

    def _validate(self) -> None:
        with self._evaluation() as generator:
            metrics = self.task.validate(self.batches.valid(), generator)
        self._log({key: float(value) for key, value in _prefixed("valid", metrics).items()})

    def _sample(self) -> None:
        # Every process draws, because wrapped networks may not be called by one process alone.
        with self._evaluation() as generator:
            samples = self.task.samples(generator)
        if self.accelerator.is_main_process:
            self.run.write_samples(self.step, samples)

    def _report(self) -> None:
        if self.accelerator.is_main_process:
            write_report(self.run, self.config.model.mel)

    def _finish(self) -> None:
        if self.run.checkpoints.latest() != self.run.checkpoints.path(self.step):
            self._save()
        with self._evaluation():
            if self.accelerator.is_main_process:
                self._export()
        self._report()
        self.accelerator.wait_for_everyone()

    def _export(self) -> None:
        unfinished = self.run.export.with_suffix(".partial")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        with quiet_libraries():
            self.task.export(unfinished)
        replace_folder(unfinished, self.run.export)

    def _save(self) -> None:
        store, scaler = self.run.checkpoints, self.accelerator.scaler
        progress = Progress(
            step=self.step,
            meters=self.meters.state(),
            skipped=list(self.batches.skips.reasons.items()),
            scaler=scaler.state_dict() if scaler else None,
        )
        state = gather_state(self.bare_models, self.averages, self._optimizers())
        if self.accelerator.is_main_process:
            with store.guarded(self.step):
                folder = store.begin(self.step)
                folder.mkdir(parents=True, exist_ok=True)
                save_state(folder, progress, state)
                shutil.copy(self.run.path / "config.yaml", folder)
                store.commit(self.step)
        self.accelerator.wait_for_everyone()

    def _load(self, folder: Path) -> None:
        progress = load_state(folder, self.bare_models, self.averages, self._optimizers())
        self.step = progress.step
        self.meters.load(progress.meters)
        self.batches.skips.reasons = dict(progress.skipped)
        if progress.scaler and self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(progress.scaler)
        if self.accelerator.is_main_process:
            self.run.rewind(self.step)
        self.accelerator.wait_for_everyone()

    def _optimizers(self) -> dict[str, Optimizer]:
        return {name: optimization.optimizer for name, optimization in self.optimizations.items()}

    def _should_stop(self) -> bool:
        """Whether any process wants to end early."""
        flag = torch.tensor(float(self.stop.due), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, reduction="sum") > 0)

    def _start_trackers(self) -> None:
        self.accelerator.init_trackers(
            "tracking",
            config=flat_config(self.config),
            init_kwargs=tracker_options(self.config.run, self.step),
        )


def _build_accelerator(config: StageConfig) -> Accelerator:
    refused = [name for name in ("FSDP", "DEEPSPEED", "MEGATRON_LM")
               if parse_flag_from_env(f"ACCELERATE_USE_{name}")]  # fmt: skip
    if refused:
        raise ConfigError(
            f"accelerate is configured for {refused[0]}; configure it for one process or for data "
            "parallelism, and set run.shard=true to share weights, averages and optimizer state "
            "between the devices"
        )
    AcceleratorState._reset_state()  # a former run of this process may have had another precision
    return Accelerator(
        cpu=config.run.device == "cpu",
        mixed_precision="no" if config.run.precision == "fp32" else config.run.precision,
        dynamo_backend="inductor" if config.run.compile else None,
        gradient_accumulation_plugin=GradientAccumulationPlugin(sync_with_dataloader=False),
        log_with=installed_trackers(config.run) or None,
        project_dir=config.run.out,
    )


def _prefixed(split: str, metrics: Any) -> dict[str, Any]:
    return {f"{split}/{name}": value for name, value in metrics.items()}
