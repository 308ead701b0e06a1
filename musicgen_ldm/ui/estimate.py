"""How long a rendering takes, told before the button is pressed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from musicgen_ldm.config.generation import GenerateRequest
from musicgen_ldm.errors import MusicGenError
from musicgen_ldm.ui import texts
from musicgen_ldm.ui.engine import Engine


def add_estimate(
    engine: Engine,
    state: gr.Markdown,
    fields: Mapping[str, Any],
    request_of: Callable[[Mapping[str, Any]], GenerateRequest],
    *,
    changes_time: Sequence[str],
    name: str,
) -> None:
    """A sentence in the current layout that follows what is filled in.

    Args:
        engine: Whose speed is told.
        state: Of the model; it changes when the model is loaded.
        fields: Of a form by name, one of them the "prompt".
        request_of: The request that the form's values describe.
        changes_time: Names of the fields to be followed.
        name: Sets the sentence apart.
    """
    estimate = gr.Markdown(texts.ESTIMATE_UNKNOWN, elem_id=f"{name}-estimate")

    def update(*values: Any) -> str:
        given = dict(zip(fields, values, strict=True))
        # Words do not change the time, and may come last.
        try:
            request = request_of(given | {"prompt": given["prompt"] or "any"})
        except (MusicGenError, ValueError):
            return ""
        seconds = engine.estimate_s(request)
        if seconds is None:
            return texts.ESTIMATE_UNKNOWN
        return texts.ESTIMATE.format(seconds=f"{seconds:.0f} s")

    gr.on(
        [state.change, *(fields[name].change for name in changes_time)],
        update,
        list(fields.values()),
        estimate,
        api_visibility="private",
        show_progress="hidden",
    )
