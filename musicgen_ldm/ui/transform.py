"""Transform: start from a sound of one's own, or blend two ideas."""

import random
from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr

from musicgen_ldm.config.generation import Blend, GenerateRequest
from musicgen_ldm.errors import MusicGenError
from musicgen_ldm.ui import forms, texts
from musicgen_ldm.ui.estimate import add_estimate
from musicgen_ldm.ui.limits import sliders
from musicgen_ldm.ui.served import bold
from musicgen_ldm.ui.takes import RENDERING, TakesPanel, Updates
from musicgen_ldm.ui.visitors import Visitors

MODES = (texts.MODE_VARY, texts.MODE_PROMPT)
# The tab's own fields in the order of the page; the seed is that of the Create form.
FIELDS = ("source", "mode", "strength", "prompt", "second", "weight", "seconds", "takes")
CHANGES_TIME = ("source", "mode", "strength", "seconds", "takes")


def build_transform(visitors: Visitors, create_fields: dict[str, Any], state: gr.Markdown) -> None:
    """The tab's components and actions.

    Args:
        visitors: Who may press its buttons.
        create_fields: Of the Create form, whose seed it shares.
        state: Of the model; it changes when the model is loaded.
    """
    own = _form(visitors)
    add_estimate(
        visitors.engine,
        state,
        {name: own[name] for name in FIELDS},
        lambda values: request_of({**values, "seed": 0}),
        changes_time=CHANGES_TIME,
        name="transform",
    )
    with gr.Row():
        make = gr.Button(texts.MAKE, variant="primary", elem_id="transform-make")
        cancel = gr.Button(texts.CANCEL, variant="stop")
    panel = TakesPanel(visitors, "transform")

    def transform(visitor: gr.Request, locked: bool, seed: float, *given: Any) -> Iterator[Updates]:
        values = dict(zip(FIELDS, given, strict=True))
        values["seed"] = int(seed or 0) if locked else random.randrange(forms.DICE_SIDES)
        try:
            request = request_of(values)
        except MusicGenError as error:
            yield {panel.status: bold(error)}
            return
        yield from panel.render(request, visitor)

    make.click(
        transform,
        [create_fields["lock"], create_fields["seed"], *(own[name] for name in FIELDS)],
        panel.outputs,
        **RENDERING,
    )
    cancel.click(visitors.stop, None, None, api_visibility="private", queue=False)
    panel.connect()


def _form(visitors: Visitors) -> dict[str, Any]:
    limits = visitors.engine.config
    own: dict[str, Any] = {
        "source": gr.Audio(
            label=texts.SOURCE,
            type="filepath",
            sources=["upload", "microphone"],
            elem_id="source",
            buttons=[],
        ),
        "mode": gr.Radio(MODES, value=texts.MODE_VARY, label=texts.MODE),
        "strength": gr.Slider(0, 1, 0.5, step=0.05, label=texts.STRENGTH, info=texts.STRENGTH_HINT),
        "prompt": gr.Textbox(label=texts.PROMPT, elem_id="transform-prompt"),
        "second": gr.Textbox(label=texts.BLEND, info=texts.BLEND_HINT),
        "weight": gr.Slider(0, 1, 0.5, step=0.05, label=texts.BLEND_WEIGHT),
    }
    with gr.Row():
        own |= sliders(limits, texts.LENGTH_HINT)
    return own


def request_of(values: Mapping[str, Any]) -> GenerateRequest:
    """The request that the tab describes.

    Args:
        values: By the names of `FIELDS`, and "seed".

    Raises:
        RequestError: If nothing was given to work with.
    """
    source, weight = values["source"], float(values["weight"])
    prompt, words = values["prompt"] or "", values["second"] or ""
    is_prompt = source is not None and values["mode"] == texts.MODE_PROMPT
    asked: dict[str, Any] = {
        "prompt": prompt,
        "seed": values["seed"],
        "takes": int(values["takes"]),
    }
    second = {"text": words} if words.strip() else None
    if is_prompt and prompt.strip() and second is None:
        second = {"audio": source}
    elif is_prompt:
        asked["audio_prompt"] = source
    if source is not None and not is_prompt:
        asked |= {"init": source, "strength": values["strength"]}
    else:
        asked["seconds"] = float(values["seconds"])
    blends = (Blend(weight=weight, **second),) if second and weight else ()
    return GenerateRequest(**asked, blends=blends)
