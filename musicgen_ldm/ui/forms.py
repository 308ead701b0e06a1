"""From the fields of the page to a request, and back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from musicgen_ldm.config.generation import GenerateRequest, SamplingConfig
from musicgen_ldm.ui import texts

# The fields of the Create form in the order of the page; "0" and "" mean "not given". The first
# take is not shown: it comes back with a file's settings, and tells its noise from its siblings'.
FIELDS = (
    "prompt", "negative_prompt", "seconds", "bpm", "key", "bars", "loop", "takes", "seed",
    "sampler", "steps", "guidance", "interval_start", "interval_end", "bridge",
    "vocoder", "candidates", "first_take",
)  # fmt: skip
CHECKPOINT_DEFAULT = texts.MODELS_OWN
DICE_SIDES = 2**31  # seeds that a roll chooses from


def request_of(values: Mapping[str, Any]) -> GenerateRequest:
    """The request that the Create form describes.

    Raises:
        RequestError: If a value is outside its range.
    """
    bars = int(values["bars"] or 0) or None
    sampling: dict[str, Any] = {
        "steps": int(values["steps"] or 0) or None,
        "guidance": float(values["guidance"] or 0) or None,
        "candidates": int(values["candidates"] or 0) or None,
    }
    for name in ("sampler", "bridge", "vocoder"):
        sampling[name] = None if values[name] == CHECKPOINT_DEFAULT else values[name]
    interval = (float(values["interval_start"] or 0), float(values["interval_end"] or 1))
    if interval != (0.0, 1.0):
        sampling["guidance_interval"] = interval
    return GenerateRequest(
        prompt=values["prompt"] or "",
        negative_prompt=values["negative_prompt"] or "",
        seconds=None if bars else float(values["seconds"]),
        bpm=float(values["bpm"] or 0) or None,
        key=(values["key"] or "").strip() or None,
        bars=bars,
        loop=bool(values["loop"]),
        takes=int(values["takes"]),
        seed=int(values["seed"] or 0),
        first_take=int(values["first_take"] or 0),
        sampling={name: value for name, value in sampling.items() if value is not None},
    )


def values_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The form's values that describe a recorded take, alone."""
    request = GenerateRequest.from_json(record["request"])
    sampling = record["sampling"]
    start, end = sampling["guidance_interval"]
    return {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "seconds": round(record["seconds"], 2),
        "bpm": request.bpm or 0,
        "key": request.key or "",
        "bars": request.bars or 0,
        "loop": request.loop,
        "takes": 1,
        "seed": request.seed,
        "sampler": sampling["sampler"],
        "steps": sampling["steps"],
        "guidance": sampling["guidance"],
        "interval_start": start,
        "interval_end": end,
        "bridge": sampling["bridge"],
        # Records from before there was a choice do not name it.
        "vocoder": sampling.get("vocoder", SamplingConfig.vocoder),
        "candidates": sampling.get("candidates", SamplingConfig.candidates),
        "first_take": record["take"],
    }


def again(record: Mapping[str, Any]) -> GenerateRequest:
    """The recorded request with the settings it was rendered with and the next take's noise."""
    request = GenerateRequest.from_json(
        {**record["request"], "sampling": record["sampling"], "takes": 1}
    )
    return replace(request, first_take=request.first_take + 1)


def on_take(record: Mapping[str, Any], source: Mapping[str, Any]) -> GenerateRequest:
    """A request that works on the sound of a take, with its words and settings.

    Args:
        record: Of the take.
        source: The request's fields that name the take's file and say what to do with it.
    """
    kept = ("prompt", "negative_prompt", "seed", "bpm", "key")
    values = {name: record["request"][name] for name in kept} | dict(source)
    values |= {"sampling": record["sampling"], "first_take": record["request"]["first_take"] + 1}
    return GenerateRequest.from_json(values)
