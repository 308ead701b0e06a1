"""Transform: start from a sound of one's own, or blend two ideas."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from musicgen_ldm.config.generation import Blend, GenerateRequest
from musicgen_ldm.errors import MusicGenError
from musicgen_ldm.ui import texts
from musicgen_ldm.ui.takes import TakesPanel, Updates, Visitors

MODES = (texts.MODE_VARY, texts.MODE_PROMPT)


def build_transform(visitors: Visitors, fields: dict[str, Any]) -> None:
    """The tab's components and actions; the words come from the Create form."""
    source = gr.Audio(
        label=texts.SOURCE, type="filepath", sources=["upload", "microphone"], elem_id="source"
    )
    mode = gr.Radio(MODES, value=texts.MODE_VARY, label=texts.MODE)
    strength = gr.Slider(0, 1, 0.5, step=0.05, label=texts.STRENGTH, info=texts.STRENGTH_HINT)
    prompt = gr.Textbox(label=texts.PROMPT, elem_id="transform-prompt")
    second = gr.Textbox(label=texts.BLEND)
    weight = gr.Slider(0, 1, 0, step=0.05, label=texts.BLEND_WEIGHT)
    with gr.Row():
        make = gr.Button(texts.MAKE, variant="primary", elem_id="transform-make")
        cancel = gr.Button(texts.CANCEL, variant="stop")
    panel = TakesPanel(visitors, "transform")

    def transform(
        file: str | None,
        how: str,
        amount: float,
        words: str,
        other: str,
        share: float,
        seed: float,
        visitor: gr.Request,
    ) -> Iterator[Updates]:
        try:
            request = request_of(file, how, amount, words, other, share, int(seed or 0))
        except MusicGenError as error:
            yield {panel.status: f"**{error}**"}
            return
        yield from panel.render(request, visitor)

    make.click(
        transform,
        [source, mode, strength, prompt, second, weight, fields["seed"]],
        panel.outputs,
        api_visibility="private",
    )
    cancel.click(visitors.stop, None, None, api_visibility="private", queue=False)
    panel.connect()


def request_of(
    file: str | None,
    mode: str,
    strength: float,
    prompt: str,
    second: str,
    weight: float,
    seed: int,
) -> GenerateRequest:
    """The request that the tab describes.

    Raises:
        RequestError: If nothing was given to work with.
    """
    blends = (Blend(text=second, weight=weight),) if second.strip() and weight > 0 else ()
    if file is None:
        return GenerateRequest(prompt=prompt, blends=blends, seed=seed)
    if mode == texts.MODE_PROMPT:
        return GenerateRequest(prompt=prompt, audio_prompt=file, blends=blends, seed=seed)
    return GenerateRequest(prompt=prompt, init=file, strength=strength, blends=blends, seed=seed)
