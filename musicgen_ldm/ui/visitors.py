"""Who asks, what they own, and how to stop what they started."""

import threading
from collections import defaultdict
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import gradio as gr

from musicgen_ldm.config.generation import GenerateRequest
from musicgen_ldm.ui.engine import Engine, Step, Waiting
from musicgen_ldm.ui.library import Entry, Library


class Visitors:
    """Who asks, what they own, and how to stop what they started."""

    def __init__(self, engine: Engine) -> None:
        """Keep the engine's limits at hand."""
        self.engine = engine
        self._running: defaultdict[str, list[threading.Event]] = defaultdict(list)
        self._guard = threading.Lock()

    def library(self, request: gr.Request) -> Library:
        """The folder of the visitor."""
        return Library.of_user(self.engine.config.outputs, request.username)

    def name(self, request: gr.Request) -> str:
        """Whose requests are counted together."""
        return request.username or request.session_hash or "api"

    @contextmanager
    def running(self, request: gr.Request) -> Iterator[threading.Event]:
        """The stop sign of what the visitor starts now."""
        stop, name = threading.Event(), self.name(request)
        with self._guard:
            self._running[name].append(stop)
        try:
            yield stop
        finally:
            with self._guard:
                self._running[name].remove(stop)
                if not self._running[name]:
                    del self._running[name]

    def rendered(
        self, asked: GenerateRequest, request: gr.Request, stop: threading.Event
    ) -> Generator[Waiting | Step | Entry, None, None]:
        """What happens to a request, as it happens; its takes go into the visitor's folder.

        Raises:
            MusicGenError: Whatever the rendering or the writing raises.
        """
        library = self.library(request)
        asked = library.keep_sources(asked)
        for message in self.engine.render(asked, self.name(request), stop):
            yield message if isinstance(message, Waiting | Step) else library.add(message)

    def stop(self, request: gr.Request) -> None:
        """End all that the visitor has waiting or running."""
        with self._guard:
            for stop in self._running.get(self.name(request), []):
                stop.set()
