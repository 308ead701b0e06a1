"""Whatever goes wrong on the page is a sentence that does not tell the server's paths."""

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Any

import gradio as gr
import pytest
from gradio.exceptions import InvalidPathError
from PIL import Image

from musicgen_ldm.errors import RequestError
from musicgen_ldm.ui import texts
from musicgen_ldm.ui.served import Page

PATH = "/srv/secret/music/a.flac"
DENIED = OSError(errno.EACCES, os.strerror(errno.EACCES), PATH)


def clicked(built: Callable, function: Callable[[], Any]) -> Any:
    """What a click on a button gives whose function fills a picture."""

    def make() -> Page:
        with Page() as page:
            gr.Button().click(function, None, gr.Image())
        return page

    page = built(make)
    return asyncio.run(page.process_api(0, [], request=None))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RequestError("bars need a tempo"), "bars need a tempo"),
        (RequestError(f"{PATH}: is no sound"), "a.flac: is no sound"),
        (OSError(errno.ENOSPC, "No space left on device", PATH), texts.FULL_DISK),
        (DENIED, texts.NO_ACCESS.format(reason="Permission denied")),
        (InvalidPathError(f"Cannot move {PATH}"), "Cannot move a.flac"),
        (KeyError("seconds"), texts.BROKEN_PAGE.format(kind="KeyError")),
        (gr.Error("as it is"), "as it is"),
    ],
)
def test_what_breaks_is_a_sentence(built: Callable, error: Exception, said: str) -> None:
    def function() -> None:
        raise error

    with pytest.raises(gr.Error) as told:
        clicked(built, function)
    assert told.value.message == said
    # Of a visitor's mistake the log says nothing.
    is_mistake = isinstance(error, RequestError)
    assert told.value.print_exception is not is_mistake


def test_a_picture_that_cannot_be_written_is_a_sentence(
    built: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradio writes it, after our function has returned."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), PATH)

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(gr.Error) as told:
        clicked(built, lambda: Image.new("RGB", (2, 2)))
    assert told.value.message == texts.FULL_DISK
