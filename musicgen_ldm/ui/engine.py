"""The model behind the page: loaded in the background, one rendering at a time, stoppable."""

import logging
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakSet

from musicgen_ldm.config.demo import DemoConfig
from musicgen_ldm.config.generation import DEFAULT_STRENGTH, GenerateRequest
from musicgen_ldm.errors import MusicGenError, RequestError
from musicgen_ldm.ui import texts
from musicgen_ldm.ui.late import IMPORTING
from musicgen_ldm.ui.limits import check, drawn_s
from musicgen_ldm.ui.line import Line
from musicgen_ldm.ui.served import plain
from musicgen_ldm.ui.speed import Speed

if TYPE_CHECKING:
    from musicgen_ldm.pipeline import MusicLDM, Take
    from musicgen_ldm.sampling import Progress

logger = logging.getLogger(__name__)

WAIT_S = 0.5  # between two looks at whether a waiting visitor has gone
WARM_UP = GenerateRequest(prompt="warm-up", seconds=2.5, sampling={"steps": 2, "candidates": 1})


class Stopped(Exception):
    """The visitor asked to stop."""


@dataclass(frozen=True)
class Waiting:
    """A request has not begun.

    Attributes:
        ahead: Requests before it; 0 while it waits for the model to be loaded.
    """

    ahead: int


@dataclass(frozen=True)
class Step:
    """A request is being rendered.

    Attributes:
        take: Index of the take.
        progress: Its last step.
        model: What renders it; another one may have been loaded since.
    """

    take: int
    progress: "Progress"
    model: "MusicLDM"


class Engine:
    """Owns the model and the order in which requests use it."""

    def __init__(self, config: DemoConfig) -> None:
        """Nothing is loaded before `load` is called."""
        self.config = config
        self.model: MusicLDM | None = None
        self.failure: str | None = None
        self.line = Line(most=config.max_queue, most_per_user=config.max_waiting_per_user)
        self._wanted = config.checkpoint
        self._loading = threading.Lock()
        self._loaded = threading.Event()
        self._closed = threading.Event()
        self._loaders: WeakSet[threading.Thread] = WeakSet()
        # One thread for all: the C library keeps what each new one leaves in pieces, 2 MB a take.
        self._artist = ThreadPoolExecutor(1, "drawing")
        self._speed: Speed | None = None

    def load(self, name: str) -> None:
        """Load a checkpoint in the background; the old one is kept if that fails."""
        self._wanted, self.failure = name, None
        self._loaded.clear()
        threading.Thread(target=self._load, args=(name,), daemon=True).start()

    def _load(self, name: str) -> None:
        with self._loading:
            if name != self._wanted:
                return  # another one was asked for meanwhile, and its thread waits here
            try:
                with IMPORTING:
                    from musicgen_ldm.pipeline import MusicLDM
                self._loaders.add(threading.current_thread())
                if self._closed.is_set():
                    return
                model = MusicLDM.from_pretrained(name, device=self.config.device)
                # The first take pays for caches and kernels, and shows how fast the machine is.
                for _ in self._rendered(WARM_UP, model, threading.Event()):
                    pass
            except Exception as error:  # whatever it is, waiting visitors must learn of it
                logger.info("%s was not loaded", name, exc_info=error)
                self.failure = plain(error)
            else:
                self.model = model
            if name == self._wanted:
                self._loaded.set()

    def close(self) -> None:
        """End what is running and begin nothing any more."""
        self._closed.set()

    def wait_for_end(self, most_s: float) -> None:
        """After `close`: a thread that is inside torch when the interpreter ends would abort it.

        The interpreter itself waits for the drawing.
        """
        end_s = time.monotonic() + most_s
        for thread in list(self._loaders):
            thread.join(max(0.0, end_s - time.monotonic()))

    @property
    def is_ready(self) -> bool:
        """Whether a model is loaded and no other is on its way."""
        return self.model is not None and self._loaded.is_set()

    @property
    def state(self) -> str:
        """A sentence about the model."""
        if not self._loaded.is_set():
            return texts.LOADING
        if self.failure is not None:
            return texts.FAILED.format(reason=self.failure)
        return texts.READY.format(name=self.name)

    @property
    def name(self) -> str | None:
        """What records call the loaded model, which is never a path of the server."""
        return None if self.model is None else self.model.checkpoint.name

    def ready_model(self) -> "MusicLDM":
        """The model, after waiting for it.

        Raises:
            RequestError: If it could not be loaded.
        """
        self._loaded.wait()
        if self.model is None:
            raise RequestError(texts.FAILED.format(reason=self.failure))
        return self.model

    def estimate_s(self, request: GenerateRequest) -> float | None:
        """Expected wall seconds of a request; None before a model is loaded."""
        if self._speed is None or self.model is None:
            return None
        sampling = self.model.sampling(request)
        steps: float = sampling.steps
        if request.init is not None and not request.repaint:
            steps *= DEFAULT_STRENGTH if request.strength is None else request.strength
        draws = request.takes * sampling.candidates
        return draws * self._speed.draw_s(round(steps), drawn_s(request))

    def left_s(self, request: GenerateRequest, step: Step) -> float | None:
        """Expected wall seconds until a request that is being rendered is done."""
        if self._speed is None:
            return None
        candidates = step.model.sampling(request).candidates
        progress, music_s = step.progress, drawn_s(request)
        steps = progress.total // candidates
        draws, this = divmod(progress.total - progress.step, steps)
        draws += candidates * (request.first_take + request.takes - 1 - step.take)
        return self._speed.draw_s(this, music_s) + draws * self._speed.draw_s(steps, music_s)

    def render(
        self, request: GenerateRequest, user: str, stop: threading.Event
    ) -> "Iterator[Waiting | Step | Take]":
        """What happens to a request, as it happens; ends early when `stop` is set.

        Raises:
            MusicGenError: Whatever the rendering raises, and when the visitor waits too often.
        """
        check(request, self.config)
        with self.line.place(user) as place:
            while (ahead := self.line.ahead(place, WAIT_S)) or not self._loaded.wait(WAIT_S):
                yield Waiting(ahead)
                if stop.is_set() or self._closed.is_set():
                    return
            yield from self._rendered(request, self.ready_model(), stop)

    def _rendered(
        self, request: GenerateRequest, model: "MusicLDM", stop: threading.Event
    ) -> "Iterator[Step | Take]":
        messages: queue.Queue[Step | Take | BaseException | None] = queue.Queue()
        gone = threading.Event()

        def work() -> None:
            try:
                self._draw(request, model, messages, (stop, gone, self._closed))
                messages.put(None)
            except BaseException as error:
                messages.put(error)

        drawing = self._artist.submit(work)
        try:
            while (message := messages.get()) is not None:
                if isinstance(message, Stopped):
                    return
                if isinstance(message, MusicGenError):
                    raise message
                if isinstance(message, BaseException):
                    logger.error("rendering failed", exc_info=message)
                    raise RequestError(
                        texts.BROKEN.format(kind=type(message).__name__)
                    ) from message
                yield message
        finally:
            # A visitor who closes the page ends this generator; the drawing must end too, before
            # the next one takes its turn.
            gone.set()
            drawing.result()

    def _draw(
        self,
        request: GenerateRequest,
        model: "MusicLDM",
        messages: "queue.Queue[Step | Take | BaseException | None]",
        stops: tuple[threading.Event, ...],
    ) -> None:
        """Render into a queue and learn how fast that was."""
        music_s, candidates = drawn_s(request), model.sampling(request).candidates
        begin_s, draws_s = time.perf_counter(), list[list[float]]()

        def watch(take: int, progress: "Progress") -> None:
            if any(stop.is_set() for stop in stops):
                raise Stopped
            if (progress.step - 1) % (progress.total // candidates) == 0:
                draws_s.append([])
            draws_s[-1].append(time.perf_counter())
            messages.put(Step(take, progress, model))

        for take in model.iterate(request, on_progress=watch):
            end_s = time.perf_counter()
            if draws_s:
                self._speed = Speed.of_take(begin_s, draws_s, end_s, music_s)
            begin_s = end_s
            draws_s.clear()
            messages.put(take)
