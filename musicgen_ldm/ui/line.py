"""The line of visitors before the one model: first come, first served."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from musicgen_ldm.errors import RequestError
from musicgen_ldm.ui import texts


@dataclass(frozen=True, eq=False)
class Place:
    """Where one request stands; two requests of a visitor have two places."""

    user: str


class Line:
    """Places in the order in which they were taken; the first one's turn it is."""

    def __init__(self, *, most: int, most_per_user: int) -> None:
        """Set the limits: places in all, and of one visitor."""
        self._most, self._most_per_user = most, most_per_user
        self._places: deque[Place] = deque()
        self._moved = threading.Condition()

    def __len__(self) -> int:
        """Requests that wait or run."""
        return len(self._places)

    @contextmanager
    def place(self, user: str) -> Iterator[Place]:
        """A place at the end, given up on leaving.

        Raises:
            RequestError: If the visitor or all together have too many.
        """
        place = Place(user)
        with self._moved:
            own = sum(other.user == user for other in self._places)
            if own >= self._most_per_user:
                raise RequestError(texts.BUSY.format(count=own))
            if len(self._places) >= self._most:
                raise RequestError(texts.FULL.format(count=len(self._places)))
            self._places.append(place)
        try:
            yield place
        finally:
            with self._moved:
                self._places.remove(place)
                self._moved.notify_all()

    def ahead(self, place: Place, wait_s: float) -> int:
        """How many stand before a place: at once if none, else as soon as the line moves."""
        with self._moved:
            if self._places[0] is not place:
                self._moved.wait(wait_s)
            return self._places.index(place)
