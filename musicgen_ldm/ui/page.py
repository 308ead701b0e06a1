"""The page: tabs, forms and what happens on a click."""

import random
from collections.abc import Iterator
from typing import Any

import gradio as gr

from musicgen_ldm.config.generation import MAX_BARS, MAX_BPM, SAMPLERS, VOCODERS
from musicgen_ldm.errors import MusicGenError
from musicgen_ldm.ui import forms, texts
from musicgen_ldm.ui.about import build_about
from musicgen_ldm.ui.api import add_api
from musicgen_ldm.ui.batch import build_batch
from musicgen_ldm.ui.engine import Engine
from musicgen_ldm.ui.estimate import add_estimate
from musicgen_ldm.ui.history import build_history
from musicgen_ldm.ui.limits import sliders
from musicgen_ldm.ui.served import Page, bold
from musicgen_ldm.ui.takes import RENDERING, TakesPanel, Updates
from musicgen_ldm.ui.transform import build_transform
from musicgen_ldm.ui.visitors import Visitors

CHANGES_TIME = (
    "seconds", "takes", "bars", "bpm", "steps", "candidates", "sampler", "vocoder", "loop",
)  # fmt: skip
MOST_SEED = 2**53 - 1  # a browser's numbers are exact up to here
STATE_EVERY_S = 1.0  # how often the page asks whether the model is loaded


def build_page(engine: Engine) -> gr.Blocks:
    """The whole page over one engine.

    Args:
        engine: Whose `load` was called; the page works while the model is still loading.
    """
    visitors = Visitors(engine)
    with Page(title=texts.TITLE, analytics_enabled=False, delete_cache=(3_600, 86_400)) as page:
        gr.Markdown(f"# {texts.TITLE}\n{texts.INTRO}")
        # Its first change, when the model is loaded, also fills in the estimates.
        state = gr.Markdown(texts.LOADING, elem_id="state")
        timer = gr.Timer(STATE_EVERY_S)
        timer.tick(
            lambda: engine.state, None, state, api_visibility="private", show_progress="hidden"
        )
        with gr.Tabs() as tabs:
            with gr.Tab(texts.TAB_CREATE, id="create"):
                fields = _create_form(engine, state)
                panel, make, cancel = _create_buttons(engine, visitors, fields, state)
            with gr.Tab(texts.TAB_TRANSFORM, id="transform"):
                build_transform(visitors, fields, state)
            with gr.Tab(texts.TAB_HISTORY, id="history") as tab:
                build_history(visitors, fields, panel, tabs, page, tab)
            with gr.Tab(texts.TAB_BATCH, id="batch"):
                build_batch(visitors)
            with gr.Tab(texts.TAB_ABOUT, id="about"):
                build_about(engine, state)

        def create(*values: Any, visitor: gr.Request) -> Iterator[Updates]:
            try:
                request = forms.request_of(dict(zip(forms.FIELDS, values, strict=True)))
            except (MusicGenError, ValueError) as error:
                yield {panel.status: bold(error)}
                return
            yield from panel.render(request, visitor)

        make.click(
            lambda locked, seed: seed if locked else random.randrange(forms.DICE_SIDES),
            [fields["lock"], fields["seed"]],
            fields["seed"],
            api_visibility="private",
            queue=False,
        ).then(
            _with_visitor(create),
            [fields[name] for name in forms.FIELDS],
            panel.outputs,
            **RENDERING,
        )
        cancel.click(visitors.stop, None, None, api_visibility="private", queue=False)
        panel.connect()
        add_api(visitors)
    # Gradio's queue would count a click like a rendering; the engine's line has the limits.
    return page.queue(max_size=None)


def _with_visitor(function: Any) -> Any:
    # gradio passes the request by the annotation of a positional parameter.
    def handler(request: gr.Request, *values: Any) -> Iterator[Updates]:
        yield from function(*values, visitor=request)

    return handler


def examples(engine: Engine) -> list[list[str]]:
    """Prompts to start from: the checkpoint's own, else general ones."""
    own = engine.model.checkpoint.examples if engine.model else ()
    return [[prompt] for prompt in own or texts.EXAMPLE_PROMPTS]


def _create_form(engine: Engine, state: gr.Markdown) -> dict[str, Any]:
    limits = engine.config
    fields: dict[str, Any] = {
        "prompt": gr.Textbox(
            label=texts.PROMPT, placeholder=texts.PROMPT_HINT, lines=2, elem_id="prompt"
        )
    }
    ideas = gr.Dataset(
        components=[fields["prompt"]], samples=examples(engine), label=texts.EXAMPLES, type="values"
    )
    ideas.click(
        lambda idea: idea[0], ideas, fields["prompt"], api_visibility="private", queue=False
    )
    state.change(
        lambda: gr.Dataset(samples=examples(engine)),
        None,
        ideas,
        api_visibility="private",
        show_progress="hidden",
    )
    fields["negative_prompt"] = gr.Textbox(label=texts.NEGATIVE)
    with gr.Row():
        fields |= sliders(limits)
    with gr.Row():
        fields["bpm"] = gr.Number(0, label=texts.BPM, info=texts.BPM_HINT, maximum=MAX_BPM)
        fields["key"] = gr.Textbox(label=texts.KEY, info=texts.KEY_HINT)
        fields["bars"] = gr.Number(
            0, label=texts.BARS, info=texts.BARS_HINT, precision=0, maximum=MAX_BARS
        )
        fields["loop"] = gr.Checkbox(label=texts.LOOP)
    with gr.Row(equal_height=True):
        fields["seed"] = gr.Number(
            0, label=texts.SEED, info=texts.SEED_HINT, precision=0, minimum=0, maximum=MOST_SEED
        )
        fields["lock"] = gr.Checkbox(label=texts.LOCK, info=texts.LOCK_HINT)
        dice = gr.Button(texts.DICE)
    dice.click(
        lambda: random.randrange(forms.DICE_SIDES), None, fields["seed"], api_visibility="private"
    )
    with gr.Accordion(texts.ADVANCED, open=False):
        default = forms.CHECKPOINT_DEFAULT
        fields["sampler"] = gr.Dropdown(
            [default, *SAMPLERS], value=default, label=texts.SAMPLER, info=texts.SAMPLER_HINT
        )
        fields["steps"] = gr.Number(0, label=texts.STEPS, info=texts.STEPS_HINT, precision=0)
        fields["guidance"] = gr.Number(0, label=texts.GUIDANCE, info=texts.GUIDANCE_HINT)
        fields["interval_start"] = gr.Slider(
            0, 1, 0, label=texts.INTERVAL_START, info=texts.INTERVAL_HINT
        )
        fields["interval_end"] = gr.Slider(
            0, 1, 1, label=texts.INTERVAL_END, info=texts.INTERVAL_HINT
        )
        fields["bridge"] = gr.Dropdown(
            [default, "none"],
            value=default,
            label=texts.BRIDGE,
            info=texts.BRIDGE_HINT,
            allow_custom_value=True,
        )
        fields["vocoder"] = gr.Dropdown(
            [default, *VOCODERS], value=default, label=texts.VOCODER, info=texts.VOCODER_HINT
        )
        fields["candidates"] = gr.Number(
            0, label=texts.CANDIDATES, info=texts.CANDIDATES_HINT, precision=0
        )
    fields["first_take"] = gr.State(0)
    return fields


def _create_buttons(
    engine: Engine, visitors: Visitors, fields: dict[str, Any], state: gr.Markdown
) -> tuple[TakesPanel, gr.Button, gr.Button]:
    add_estimate(
        engine,
        state,
        {name: fields[name] for name in forms.FIELDS},
        forms.request_of,
        changes_time=CHANGES_TIME,
        name="create",
    )
    with gr.Row():
        make = gr.Button(texts.MAKE, variant="primary", elem_id="make")
        cancel = gr.Button(texts.CANCEL, variant="stop", elem_id="cancel")
    return TakesPanel(visitors, "create"), make, cancel
