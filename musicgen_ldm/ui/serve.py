"""Serve the page: limits, health, pruning; loopback and no public share unless asked."""

import logging
import socket
import threading
from collections.abc import Callable
from importlib.util import find_spec

import gradio as gr
import uvicorn
from fastapi import FastAPI

from musicgen_ldm import __version__
from musicgen_ldm.config.demo import DemoConfig
from musicgen_ldm.errors import MissingExtraError, MusicGenError
from musicgen_ldm.ui import texts
from musicgen_ldm.ui.engine import Engine
from musicgen_ldm.ui.page import build_page
from musicgen_ldm.ui.pruning import prune

PRUNE_EVERY_S = 3_600.0
MODEL_END_S = 10.0  # for a step, a decoding or a loading to end, which cannot be cut short
SHUTDOWN_S = 1  # for downloads to end after Ctrl-C; an open page would hold on for ever
QUIET_AT_THE_END = ("uvicorn.error", "asyncio", "gradio", "mcp")

logger = logging.getLogger(__name__)
# Gradio's teal, from the shade that white is written on (500) downwards two steps darker.
TEAL = gr.themes.Color(
    "#f0fdfa", "#ccfbf1", "#99f6e4", "#5eead4", "#2dd4bf",
    "#0f766e", "#115e59", "#134e4a", "#12443e", "#0f3833", "#0c2d29", name="teal",
)  # fmt: skip
# Focus stays visible, wide things scroll inside themselves on a phone, and nothing moves for
# those who asked their system for less motion.
CSS = """
:focus-visible { outline: 3px solid #2f9e8f !important; outline-offset: 2px; }
.gradio-container { width: 100%; max-width: min(1100px, 100%) !important; margin: auto; }
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
    app = FastAPI(title=texts.TITLE, version=__version__)
    app.state.engine = engine

    @app.get("/health")
    def health() -> dict[str, object]:
        """For a load balancer: whether the page is up and the model is ready."""
        return {
            "status": "ready" if engine.is_ready else "failed" if engine.failure else "loading",
            "checkpoint": engine.name,
            "waiting": len(engine.line),
            "version": __version__,
        }

    page = build_page(engine)
    # Gradio refuses paths that no visitor has uploaded only on a page that it takes for launched.
    page.has_launched = True
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        auth=config.credentials,
        max_file_size=f"{config.max_upload_mb}mb",
        theme=build_theme(),
        css=CSS,
        footer_links=["api"],
        mcp_server=config.mcp,
        ssr_mode=False,
    )
    engine.load(config.checkpoint)  # last: its imports would slow down the building of the page
    return app


def build_theme() -> gr.themes.Base:
    """Gradio's soft theme with text that can be read (WCAG AA, 4.5 to 1), light and dark."""
    return gr.themes.Soft(primary_hue=TEAL).set(
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        button_primary_background_fill_hover="*primary_600",
    )


class Server(uvicorn.Server):
    """Says where the page is, and ends at once and without a word."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, announce: Callable[[str], None]):
        """Keep what is told at the beginning and what is ended at the end."""
        super().__init__(config)
        self._app, self._announce = app, announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then announce the address."""
        await super().startup(sockets)
        if self.started:
            address = f"http://{self.config.host}:{self.config.port}"
            self._announce(texts.ADDRESS.format(address=address))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the rendering; connections that are cut off now are no errors."""
        self._app.state.engine.close()
        for name in QUIET_AT_THE_END:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        await super().shutdown(sockets)


def serve(config: DemoConfig, *, announce: Callable[[str], None]) -> None:
    """Run until interrupted.

    Args:
        config: Limits and addresses.
        announce: Told the page's address when it can be opened.
    """
    _prune_regularly(config)
    app = build_app(config)
    settings = uvicorn.Config(
        app,
        host=config.host,
        port=config.port,
        log_level="warning",
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    try:
        Server(settings, app, announce).run()
    finally:
        app.state.engine.wait_for_end(MODEL_END_S)


def _prune_regularly(config: DemoConfig) -> None:
    try:
        prune(config.outputs, keep_days=config.keep_days, keep_mb=config.keep_mb)
    except (OSError, MusicGenError) as error:
        logger.warning("old files were not deleted: %s", error)  # and are tried again
    timer = threading.Timer(PRUNE_EVERY_S, _prune_regularly, args=(config,))
    timer.daemon = True
    timer.start()
