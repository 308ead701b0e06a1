"""What leaves the server: copies of files, and sentences without the server's paths."""

import re
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from musicgen_ldm.errors import MusicGenError, OutputError, is_full_disk
from musicgen_ldm.ui import texts

FOLDERS = re.compile(r"(?<![\w/])/(?:[^/\s]+/)+")  # absolute, up to the last name


class Page(gr.Blocks):
    """A page on which whatever goes wrong is a sentence, in a note above it."""

    async def process_api(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What a click or a call does, and the files that gradio reads and writes for it."""
        try:
            return await super().process_api(*args, **kwargs)
        except gr.Error:
            raise
        except Exception as error:
            is_mistake = isinstance(error, MusicGenError)  # for which the log has no use
            raise gr.Error(sentence(error), print_exception=not is_mistake) from error


def copy_of(path: Path) -> str:
    """A copy that gradio may hand out; the outputs folder itself stays closed to the web.

    Raises:
        OutputError: If it cannot be made.
    """
    try:
        return save_file_to_cache(path, get_upload_folder())
    except OSError as error:
        raise OutputError(sentence(error)) from error


def sentence(error: Exception) -> str:
    """What a visitor is told: the message where it was written for people, else what broke."""
    is_gradios = type(error).__module__.startswith("gradio")
    if is_gradios and isinstance(error.__cause__, Exception):
        return sentence(error.__cause__)  # which it wraps into the names of its components
    if is_gradios or isinstance(error, MusicGenError):
        return plain(error)
    if is_full_disk(error):
        return texts.FULL_DISK
    if isinstance(error, OSError):
        return texts.NO_ACCESS.format(reason=error.strerror or type(error).__name__)
    return texts.BROKEN_PAGE.format(kind=type(error).__name__)


def plain(error: Exception) -> str:
    """A sentence that names files without their folders, which tell about the server only."""
    return FOLDERS.sub("", str(error))


def bold(error: Exception) -> str:
    """The same as Markdown, for a status line."""
    return f"**{plain(error)}**"
