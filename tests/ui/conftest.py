"""Building parts of the page in a test."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def built() -> Callable[[Callable[[], Any]], Any]:
    """Calls a function inside an event loop; outside, gradio opens one and never closes it."""

    def build(make: Callable[[], Any]) -> Any:
        async def inside() -> Any:
            return make()

        return asyncio.run(inside())

    return build
