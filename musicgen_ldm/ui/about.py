"""About: which model is loaded, whose it is, and another one."""

import re

import gradio as gr

from musicgen_ldm.checkpoint_folders import known_names
from musicgen_ldm.ui import texts
from musicgen_ldm.ui.engine import Engine

FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)  # for a hub, not for readers


def build_about(engine: Engine, state: gr.Markdown) -> None:
    """The tab's components and actions.

    Args:
        engine: Whose model is told of.
        state: Of the model; it changes when another one is loaded.
    """
    if engine.config.credentials is None:  # else one user would change everybody's
        _model_choice(engine)
    gr.Markdown(texts.ABOUT)
    with gr.Accordion(texts.CARD, open=False):
        text = gr.Markdown(elem_id="card")
    state.change(lambda: card(engine), None, text, api_visibility="private", show_progress="hidden")


def card(engine: Engine) -> str:
    """The model card as Markdown of words and links alone.

    A stranger's card must not make the visitor's browser ask other servers for pictures.
    """
    folder = engine.model.checkpoint.folder if engine.model else None
    try:
        text = (folder / "README.md").read_text(encoding="utf-8") if folder else ""
    except (OSError, UnicodeDecodeError):
        text = ""
    return FRONT_MATTER.sub("", text).replace("<", "&lt;").replace("![", "[") or texts.NO_CARD


def _model_choice(engine: Engine) -> None:
    """Only names inside the checkpoint folders: a visitor's text is never a path."""
    names = known_names()
    current = engine.config.checkpoint if engine.config.checkpoint in names else None
    with gr.Row(equal_height=True):
        choice = gr.Dropdown(names, value=current, label=texts.CHECKPOINT)
        load = gr.Button(texts.LOAD)

    def change(name: str | None) -> None:
        if name in known_names():
            engine.load(str(name))

    load.click(change, choice, None, api_visibility="private")
