"""A GAN of two linear layers on numbered clips: enough of a task to try the loop on."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.training import DataConfig, EmaConfig, OptimConfig, RunConfig, StageConfig
from musicgen_ldm.errors import AudioError
from musicgen_ldm.training.task import build_optimizer, freeze, frozen, mean_metrics, unwrapped


def toy_config(out, **changes):
    run = {
        "out": str(out), "device": "cpu", "log_every": 1, "valid_every": 4, "sample_every": 6,
        "save_every": 3, "valid_clips": 4, "trackers": (),
    } | changes.pop("run", {})  # fmt: skip
    defaults = {
        "stage": "toy", "preset": "tiny", "batch_size": 4, "max_steps": 8,
        "ema": EmaConfig(decay=0.9), "optim": OptimConfig(lr=1e-2, warmup_steps=2),
        "data": DataConfig(manifest="", max_skipped=0.2),
    }  # fmt: skip
    return StageConfig(run=RunConfig(**run), **(defaults | changes))


class Numbers:
    """Twelve clips of four numbers; `broken` ones cannot be read."""

    def __init__(self, broken=()):
        self.broken = broken

    def __len__(self):
        return 12

    def __getitem__(self, ref):
        if ref.index in self.broken:
            raise AudioError(f"{ref.index}.wav: cannot be read")
        rng = np.random.default_rng((ref.epoch, ref.index))
        return {"id": f"clip{ref.index}", "x": rng.standard_normal(4).astype(np.float32)}


class ToyTask:
    name = "toy"

    def __init__(self, config, *, broken=(), adversarial=True, noise=True, on_step=lambda i: None):
        self.config = config
        self.models = {"generator": nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1 * noise))}
        if adversarial:
            self.models["discriminator"] = nn.Linear(4, 1)
        self.frozen = {"teacher": freeze(nn.Linear(4, 4))}
        self.averaged = ("generator",)
        self.broken, self.noise, self.on_step = broken, noise, on_step
        self.discriminator_gradients = []

    def optimizers(self):
        return {
            name: build_optimizer(model.parameters(), self.config.optim)
            for name, model in self.models.items()
        }

    def dataset(self, split):
        return Numbers(self.broken)

    def collate(self, examples):
        x = torch.stack([torch.from_numpy(e["x"]) for e in examples])
        return {"id": [e["id"] for e in examples], "x": x}

    def step(self, batch, context):
        self.on_step(context.index)
        x = batch["x"]
        noise = torch.randn(x.shape, generator=context.generator) * self.noise
        fake, real = self.models["generator"](x + noise), self.frozen["teacher"](x)
        losses = {"reconstruction": (fake - real).square().mean()}
        loss = losses["reconstruction"]
        if "discriminator" in self.models:
            scores = self.models["discriminator"](torch.cat([real, fake.detach()])).chunk(2)
            losses["discriminator"] = (scores[0] - 1).square().mean() + scores[1].square().mean()
            context.optimize("discriminator", losses["discriminator"])
            with frozen(self.models["discriminator"]) as discriminator:
                loss = loss + (discriminator(fake) - 1).square().mean()
                context.optimize("generator", loss)
            self.discriminator_gradients += [p.grad for p in discriminator.parameters()]
        else:
            context.optimize("generator", loss)
        return losses

    def validate(self, batches, generator):
        return mean_metrics(
            {"loss": self.models["generator"](b["x"]).square().mean()} for b in batches
        )

    def samples(self, generator):
        noise = 0.1 * torch.randn(1, 4000, generator=generator).numpy()
        return {"noise": Waveform(noise, 16_000)}

    def export(self, folder: Path):
        torch.save(unwrapped(self.models["generator"]).state_dict(), folder / "generator.pt")
