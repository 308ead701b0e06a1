"""Serve the page: limits, health, pruning; loopback and no public share unless asked."""

import argparse
import threading
from importlib.util import find_spec

import gradio as gr
import uvicorn
from fastapi import FastAPI

from musicgen_ldm import __version__
from musicgen_ldm.config.demo import DemoConfig
from musicgen_ldm.errors import MissingExtraError
from musicgen_ldm.ui import texts
from musicgen_ldm.ui.engine import Engine
from musicgen_ldm.ui.library import prune
from musicgen_ldm.ui.options import config_from
from musicgen_ldm.ui.page import build_page

PRUNE_EVERY_S = 3_600.0
SHUTDOWN_S = 2
# Gradio's teal, from the shade that white is written on (500) downwards two steps darker.
TEAL = gr.themes.Color(
    "#f0fdfa", "#ccfbf1", "#99f6e4", "#5eead4", "#2dd4bf",
    "#0f766e", "#115e59", "#134e4a", "#12443e", "#0f3833", "#0c2d29", name="teal",
)  # fmt: skip
# Focus stays visible, wide things scroll inside themselves on a phone, and nothing moves for
# those who asked their system for less motion.
CSS = """
:focus-visible { outline: 3px solid #2f9e8f !important; outline-offset: 2px; }
.gradio-container { max-width: min(1100px, 100%) !important; margin: auto; }
.gradio-container main, .gradio-container .column, .tabs, .tab-wrapper {
  min-width: 0 !important; max-width: 100% !important;
}
@media (prefers-reduced-motion: reduce) {
  *, *::before, *::after { animation: none !important; transition: none !important; }
}
.dark { --color-accent: var(--primary-300); }
.component-wrapper { --neutral-400: var(--body-text-color-subdued); }  /* the player's times */
progress { width: 100%; height: 1rem; }
"""


def build_app(config: DemoConfig) -> FastAPI:
    """The web application; the model starts loading in the background.

    Args:
        config: Limits and addresses.

    Raises:
        MissingExtraError: If agents are to be served and the package for it is missing.
    """
    if config.mcp and find_spec("mcp") is None:
        raise MissingExtraError("--mcp needs an extra: pip install 'musicgen-ldm[mcp]'")
    engine = Engine(config)
    engine.load(config.checkpoint)
    app = FastAPI(title=texts.TITLE, version=__version__)

    @app.get("/health")
    def health() -> dict[str, object]:
        """For a load balancer: whether the page is up and the model is ready."""
        return {
            "status": "failed" if engine.failure else "ready" if engine.is_ready else "loading",
            "checkpoint": engine.name,
            "waiting": engine.waiting,
            "version": __version__,
        }

    return gr.mount_gradio_app(
        app,
        build_page(engine),
        path="/",
        auth=config.credentials,
        max_file_size=f"{config.max_upload_mb}mb",
        allowed_paths=[str(config.outputs.resolve())],
        theme=build_theme(),
        css=CSS,
        footer_links=["api"],
        mcp_server=config.mcp,
        ssr_mode=False,
    )


def build_theme() -> gr.themes.Base:
    """Gradio's soft theme with text that can be read (WCAG AA, 4.5 to 1), light and dark."""
    return gr.themes.Soft(primary_hue=TEAL).set(
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        button_primary_background_fill_hover="*primary_600",
    )


def serve(args: argparse.Namespace) -> None:
    """Run until interrupted."""
    config = config_from(args)
    _prune_regularly(config)
    uvicorn.run(
        build_app(config),
        host=config.host,
        port=config.port,
        log_level="warning",
        # An open page holds a connection for ever; Ctrl-C must not wait for it.
        timeout_graceful_shutdown=SHUTDOWN_S,
    )


def _prune_regularly(config: DemoConfig) -> None:
    prune(config.outputs, keep_days=config.keep_days, keep_mb=config.keep_mb)
    timer = threading.Timer(PRUNE_EVERY_S, _prune_regularly, args=(config,))
    timer.daemon = True
    timer.start()
