"""The main object: load a checkpoint once, then render requests."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from hashlib import file_digest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from musicgen_ldm.audio import FloatArray, Waveform
from musicgen_ldm.checkpoint import Checkpoint, identity, load, save
from musicgen_ldm.codec import latent_to_mel, mel_to_waveform, resize_circular
from musicgen_ldm.config.generation import (
    PRECISIONS,
    GenerateRequest,
    PrecisionName,
    SamplingConfig,
    VocoderName,
)
from musicgen_ldm.diffusion import take_generator
from musicgen_ldm.errors import NumericsError, RequestError
from musicgen_ldm.measure import parse_key
from musicgen_ldm.pipeline.conditioning import make_condition
from musicgen_ldm.pipeline.plans import Plan, make_plan
from musicgen_ldm.pipeline.takes import Take, measure, score
from musicgen_ldm.sampling import Condition, Progress, sample

# How PyTorch's CPU and MPS allocators say that they failed; CUDA's has an error of its own.
ALLOCATOR = re.compile("allocate memory|not enough memory|out of memory")

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# Rarely a draw is silence, which no one asked for: the same request is drawn again, with noise that
# belongs to no other take. The number of a draw tells which attempt it was, so that a take that
# stayed silent is rendered again as it was.
MAX_ATTEMPTS = 3
DRAWS_OF_AN_ATTEMPT = 1 << 32

ProgressCallback = Callable[[int, Progress], None]


class MusicLDM:
    """Text-to-music latent diffusion (Chen et al. 2023) with one loaded checkpoint.

    Example:
        >>> model = MusicLDM.from_pretrained("pocket")
        >>> best = model.generate(GenerateRequest(prompt="slow piano ballad", takes=3))[0]
        >>> best.waveform.samples.shape
        (1, 163840)
    """

    def __init__(
        self, checkpoint: Checkpoint, *, device: str = "auto", precision: PrecisionName = "fp32"
    ) -> None:
        """Move a loaded checkpoint to `device` ("auto" prefers CUDA, then MPS, then the CPU).

        Raises:
            RequestError: If there is no such device or precision.
        """
        if precision not in PRECISIONS:
            raise RequestError(f"precision is {precision!r}; choose one of {', '.join(PRECISIONS)}")
        self.device = choose_device(device)
        self.checkpoint = checkpoint.to(self.device, DTYPES[precision])
        self.loaded: dict[str, Any] = {"precision": precision, "reference_heads": True}
        self._identity: str | None = None

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        device: str = "auto",
        precision: PrecisionName = "fp32",
        offline: bool = False,
        reference_heads: bool = True,
    ) -> "MusicLDM":
        """Load by name, folder or hub id.

        Args:
            name: A name inside `checkpoints/`, a folder, or a hub id ("ucsd-reach/musicldm").
            device: "auto", "cpu", "cuda", "cuda:1", "mps".
            precision: "fp32", or "bf16" or "fp16" where the device computes in it; CLAP stays
                in float32. A seed gives the same music only in the same precision.
            offline: Never ask the hub.
            reference_heads: Give published MusicLDM weights the head counts they were trained
                with; False stays with the stock configuration.

        Raises:
            CheckpointError: If it is missing, corrupt or unsafe.
            RequestError: If there is no such device or precision, or too little memory.
        """
        with _memory_as_request_error(f"to load {name}"):
            checkpoint = load(name, offline=offline, reference_heads=reference_heads)
            model = cls(checkpoint, device=device, precision=precision)
        model.loaded["reference_heads"] = reference_heads
        return model

    def save_pretrained(self, folder: str | Path, *, half: bool = False) -> Path:
        """Write the stock pipeline layout; see `checkpoint.save`."""
        return save(self.checkpoint, folder, half=half)

    @property
    def identity(self) -> str:
        """SHA-256 over the checkpoint's files; names it in every record."""
        if self._identity is None:
            self._identity = identity(self.checkpoint)
        return self._identity

    def sampling(self, request: GenerateRequest) -> SamplingConfig:
        """The checkpoint's defaults with the request's differences."""
        return replace(self.checkpoint.sampling, **request.sampling)

    def generate(
        self, request: GenerateRequest, *, on_progress: ProgressCallback | None = None
    ) -> list[Take]:
        """Render all takes of a request, best rank first.

        Args:
            request: What to render.
            on_progress: Called as `on_progress(take, progress)` after every step; an exception it
                raises ends the rendering.

        Raises:
            RequestError: If the request does not fit the checkpoint or the memory.
            AudioError: If a source file cannot be used.
            NumericsError: If a value stops being finite.
        """
        takes = list(self.iterate(request, on_progress=on_progress))
        return sorted(takes, key=lambda take: -take.scores["rank"])

    def iterate(
        self, request: GenerateRequest, *, on_progress: ProgressCallback | None = None
    ) -> Iterator[Take]:
        """Render the takes of a request one after the other, in order of their index.

        Each take is computed alone, so its bits do not depend on how many there are.
        """
        if request.key is not None:
            parse_key(request.key)
        sources = {role: _file_hash(path) for role, path in request.source_files.items()}
        with _memory_as_request_error("to render this"):
            condition = make_condition(self.checkpoint, request, self.sampling(request).bridge)
            plan = make_plan(self.checkpoint, request)
            for index in range(request.first_take, request.first_take + request.takes):
                yield self._best(request, condition, plan, index, sources, on_progress)

    def _best(
        self,
        request: GenerateRequest,
        condition: Condition,
        plan: Plan,
        index: int,
        sources: dict[str, str],
        on_progress: ProgressCallback | None,
    ) -> Take:
        """The best ranked of a take's candidates, the first of equals; not silent if possible."""
        start = time.perf_counter()
        count = self.sampling(request).candidates

        def candidate(which: int, attempt: int) -> Take:
            def tell(progress: Progress) -> None:
                done, total = which * progress.total + progress.step, count * progress.total
                if on_progress is not None:
                    on_progress(index, replace(progress, step=done, total=total))

            number = attempt * DRAWS_OF_AN_ATTEMPT + index * count + which
            told = tell if on_progress else None
            waveform = self.draw(request, condition, plan, number, on_progress=told)
            return self._judged(waveform, request, plan, index, number, sources)

        for attempt in range(max(1, MAX_ATTEMPTS - index * count // DRAWS_OF_AN_ATTEMPT)):
            takes = (candidate(which, attempt) for which in range(count))
            best = max(takes, key=lambda take: take.scores["rank"])
            if "silent" not in best.measured["faults"]:
                break
        return replace(best, record=best.record | {"render_s": time.perf_counter() - start})

    def draw(
        self,
        request: GenerateRequest,
        condition: Condition,
        plan: Plan,
        number: int,
        *,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Waveform:
        """The sound of one draw, neither measured nor scored.

        Args:
            request: Gives the seed and the sampling; all else follows from condition and plan.
            condition: What to draw, from `make_condition` or from embeddings of one's own.
            plan: How the request is drawn, from `make_plan`.
            number: Of the draw; with the seed it determines the noise. Without candidates it is
                the take's.
            on_progress: Called after every step.

        Raises:
            NumericsError: If a value stops being finite.
        """
        config = self.sampling(request)
        latent = sample(
            self.checkpoint.unet,
            self.checkpoint.scheduler,
            condition,
            plan.canvas,
            config,
            take_generator(request.seed, number),
            known=plan.known,
            init=plan.init,
            strength=plan.strength,
            on_progress=on_progress,
        )
        return plan.finish(self._decode(latent, plan, config.vocoder))

    def _judged(
        self,
        waveform: Waveform,
        request: GenerateRequest,
        plan: Plan,
        index: int,
        number: int,
        sources: dict[str, str],
    ) -> Take:
        measured = measure(waveform, request, plan.seams_s)
        scores, novelty = score(self.checkpoint, waveform, request, measured)
        record = self._record(request, index, number, sources) | {
            "seconds": waveform.seconds,
            "scores": scores,
            "measured": measured,
            **novelty,
        }
        return Take(waveform, index, scores, measured, record)

    def _decode(self, latent: Tensor, plan: Plan, vocoder: VocoderName) -> FloatArray:
        circular = plan.canvas.circular
        mel = latent_to_mel(self.checkpoint.vae, latent, plan.canvas.window, circular=circular)
        if circular:
            mel = resize_circular(mel, plan.num_mel_frames)
        mel = mel[:, :, : plan.num_mel_frames]
        parts = self.checkpoint
        if parts.mel_ceiling is not None:
            mel = mel.minimum(mel.new_tensor(parts.mel_ceiling))
        samples = mel_to_waveform(vocoder, parts.vocoder, mel, parts.mel, circular=circular)
        if not torch.isfinite(samples).all():
            raise NumericsError(
                "the decoded audio holds NaN or infinity; check the checkpoint with "
                "`musicgen-ldm info`"
            )
        return samples.cpu().numpy()

    def _record(
        self,
        request: GenerateRequest,
        index: int,
        number: int,
        sources: dict[str, str],
    ) -> dict[str, Any]:
        config = self.sampling(request)
        alone = replace(request, takes=1, first_take=index)
        return {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "seed": request.seed,
            "take": index,
            "draw": number,
            "sampler": config.sampler,
            "steps": config.steps,
            "guidance": config.guidance,
            "sampling": asdict(config),
            "request": alone.to_json(),
            "sources": sources,
            "checkpoint": {"name": self.checkpoint.name, "sha256": self.identity},
            "device": self.device.type,
            "loaded": self.loaded,
        }


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" takes the fastest one present.

    Raises:
        RequestError: If the name is unknown or the device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # "meta" exists and computes nothing
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise RequestError(
            f"device {name!r} cannot be used here; choose auto, cpu, cuda or mps"
        ) from error
    return device


@contextmanager
def _memory_as_request_error(purpose: str) -> Iterator[None]:
    """Turn the allocators' failures into a sentence the user can act on."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        is_allocator = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not is_allocator and not ALLOCATOR.search(str(error)):
            raise
        raise RequestError(
            f"out of memory {purpose}; ask for a shorter piece, close other programs, or use "
            "--device cpu"
        ) from error


def _file_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror}); check the path") from error
