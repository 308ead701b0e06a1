"""The model behind the page: loaded in the background, one rendering at a time, stoppable."""

import logging
import queue
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from musicgen_ldm.config.demo import DemoConfig
from musicgen_ldm.config.generation import GenerateRequest
from musicgen_ldm.errors import MusicGenError, RequestError
from musicgen_ldm.pipeline import MusicLDM, Take
from musicgen_ldm.sampling import Progress
from musicgen_ldm.ui import texts

logger = logging.getLogger(__name__)

WAIT_S = 0.2  # between two looks at whether a waiting visitor has gone


class Stopped(Exception):
    """The visitor asked to stop."""


@dataclass(frozen=True)
class Step:
    """Progress of a rendering; `progress` is None while it waits for its turn."""

    take: int
    progress: Progress | None


class Engine:
    """Owns the model and the order in which requests use it."""

    def __init__(self, config: DemoConfig) -> None:
        """Nothing is loaded before `load` is called."""
        self.config = config
        self.model: MusicLDM | None = None
        self.failure: str | None = None
        self.name = config.checkpoint
        self._turn = threading.Lock()
        self._waiting: Counter[str] = Counter()
        self._guard = threading.Lock()
        self._loaded = threading.Event()
        self._seconds_per_step: float | None = None  # of one second of music

    def load(self, name: str) -> None:
        """Load a checkpoint in the background; the old one serves until the new one is ready."""
        self._loaded.clear()
        threading.Thread(target=self._load, args=(name,), daemon=True).start()

    def _load(self, name: str) -> None:
        try:
            model = MusicLDM.from_pretrained(name, device=self.config.device)
        except Exception as error:  # whatever it is, waiting visitors must learn of it
            logger.info("%s was not loaded", name, exc_info=error)
            self.failure = str(error)
        else:
            with self._turn:
                self.model, self.name, self.failure = model, name, None
                self._seconds_per_step = None
        self._loaded.set()

    @property
    def is_ready(self) -> bool:
        """Whether a model is loaded and no other is on its way."""
        return self.model is not None and self._loaded.is_set()

    @property
    def waiting(self) -> int:
        """Requests that wait or run."""
        return self._waiting.total()

    @property
    def state(self) -> str:
        """A sentence about the model."""
        if self.failure is not None:
            return texts.FAILED.format(reason=self.failure)
        if not self.is_ready:
            return texts.LOADING
        return texts.READY.format(name=self.name)

    def ready_model(self) -> MusicLDM:
        """The model, after waiting for it.

        Raises:
            RequestError: If it could not be loaded.
        """
        self._loaded.wait()
        if self.model is None:
            raise RequestError(texts.FAILED.format(reason=self.failure))
        return self.model

    def estimate_s(self, request: GenerateRequest) -> float | None:
        """Expected wall seconds of a request; None before the first rendering."""
        if self._seconds_per_step is None or self.model is None:
            return None
        steps = self.model.sampling(request).steps
        return self._seconds_per_step * steps * request.length_s * request.takes

    def check(self, request: GenerateRequest) -> None:
        """Refuse what exceeds the page's limits.

        Raises:
            RequestError: With the limit and what was asked.
        """
        if request.length_s > self.config.max_seconds:
            raise RequestError(
                texts.TOO_LONG.format(limit=self.config.max_seconds, seconds=request.length_s)
            )
        if request.takes > self.config.max_takes:
            raise RequestError(
                texts.TOO_MANY.format(limit=self.config.max_takes, takes=request.takes)
            )

    def render(
        self, request: GenerateRequest, user: str, stop: threading.Event
    ) -> Iterator[Step | Take]:
        """Steps and takes of a request as they come; ends early when `stop` is set.

        Raises:
            MusicGenError: Whatever the rendering raises, and when the visitor waits too often.
        """
        self.check(request)
        with self._admitted(user):
            while not self._turn.acquire(timeout=WAIT_S):
                yield Step(0, None)
                if stop.is_set():
                    return
            try:
                yield from self._run(request, stop)
            finally:
                self._turn.release()

    def _run(self, request: GenerateRequest, stop: threading.Event) -> Iterator[Step | Take]:
        model = self.ready_model()
        messages: queue.Queue[Step | Take | BaseException | None] = queue.Queue()

        gone = threading.Event()

        def watch(take: int, progress: Progress) -> None:
            if stop.is_set() or gone.is_set():
                raise Stopped
            messages.put(Step(take, progress))

        def work() -> None:
            try:
                for take in model.iterate(request, on_progress=watch):
                    messages.put(take)
                messages.put(None)
            except BaseException as error:
                messages.put(error)

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
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
                if isinstance(message, Take):
                    self._measure(request, model, message)
                yield message
        finally:
            # A visitor who closes the page ends this generator; the worker must end too, before
            # the next one takes its turn.
            gone.set()
            worker.join()

    def _measure(self, request: GenerateRequest, model: MusicLDM, take: Take) -> None:
        steps = model.sampling(request).steps
        self._seconds_per_step = take.record["render_s"] / steps / take.waveform.seconds

    @contextmanager
    def _admitted(self, user: str) -> Iterator[None]:
        with self._guard:
            if self._waiting[user] >= self.config.max_waiting_per_user:
                raise RequestError(texts.BUSY.format(count=self._waiting[user]))
            if self._waiting.total() >= self.config.max_queue:
                raise RequestError(texts.BUSY.format(count=self._waiting.total()))
            self._waiting[user] += 1
        try:
            yield
        finally:
            with self._guard:
                self._waiting[user] -= 1
