"""What leaves the server: copies of files, and sentences without the server's paths."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from musicgen_ldm.errors import MusicGenError

FOLDERS = re.compile(r"(?<![\w/])/(?:[^/\s]+/)+")  # absolute, up to the last name


def copy_of(path: Path) -> str:
    """A copy that gradio may hand out; the outputs folder itself stays closed to the web."""
    return save_file_to_cache(path, get_upload_folder())


def plain(error: Exception) -> str:
    """A sentence that names files without their folders, which tell about the server only."""
    return FOLDERS.sub("", str(error))


def bold(error: Exception) -> str:
    """The same as Markdown, for a status line."""
    return f"**{plain(error)}**"


@contextmanager
def as_toast() -> Iterator[None]:
    """Show a visitor's mistake as a note on the page; the log has no use for it."""
    try:
        yield
    except MusicGenError as error:
        raise gr.Error(plain(error), print_exception=False) from error
