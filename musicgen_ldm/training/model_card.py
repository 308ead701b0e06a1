"""The model card of an assembled checkpoint: what is known of it, and what its maker must add."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub import ModelCardData

CARD_FILE = "README.md"

_TEXT = """---
{front_matter}
---
# {name}

A text-to-music checkpoint of musicgen_ldm, preset `{preset}`: {rate:g} kHz mono.

```
musicgen-ldm generate "slow piano with strings" --checkpoint {folder}
```

| part | parameters | steps | seed | last validation |
|---|--:|--:|--:|---|
{parts}

**Data.** {data}

**Licence.** To be chosen by who publishes this, within what the licences of the data allow.

## Scores

None yet. `musicgen-ldm evaluate --gen DIR --ref DIR --out RUN --card {folder}/README.md` adds them
here.

## Limits

To be written by who has listened to it: what it does not do, and what it must not be used for.
"""


def model_card(metadata: Mapping[str, Any], parameters: Mapping[str, int], folder: str) -> str:
    """Markdown with the front matter of model hubs.

    Args:
        metadata: What `assemble` records of the training and its data.
        parameters: Number of weights for each stage.
        folder: Where the checkpoint lies.
    """
    name = metadata["name"]
    front = ModelCardData(
        model_name=name,
        license="other",
        library_name="diffusers",
        pipeline_tag="text-to-audio",
        tags=["music", "text-to-music", "latent-diffusion", "clap"],
    )
    parts = [
        f"| {stage} | {parameters[stage] / 1e6:.1f} M | {run.get('steps', 'unknown')} "
        f"| {run.get('seed', 'unknown')} | {_validation(run)} |"
        for stage, run in metadata["training"].items()
    ]
    data = [f"The denoiser was trained on {_clips(metadata['data'])}."]
    base: Mapping[str, Any] = metadata.get("base", {})
    while base:
        heard = _clips(base["data"]) if "data" in base else "unrecorded data"
        data.append(f"It started from `{base.get('name', 'unnamed')}`, trained on {heard}.")
        base = base.get("base", {})
    return _TEXT.format(
        front_matter=front.to_yaml(),
        name=name,
        preset=metadata["preset"],
        rate=metadata["model"]["mel"]["sample_rate"] / 1000,
        parts="\n".join(parts),
        data=" ".join(data),
        folder=folder,
    )


def _validation(run: Mapping[str, Any]) -> str:
    values = run.get("validation", {})
    return ", ".join(f"{k.removeprefix('valid/')} {v:.4g}" for k, v in values.items()) or "none"


def _clips(data: Mapping[str, Any]) -> str:
    licences, sources = (
        ", ".join(f"{name} ({count})" for name, count in data[key].items())
        for key in ("licences", "sources")
    )
    return f"{data['clips']} clips, {data['hours']} h; licences: {licences}; sources: {sources}"
