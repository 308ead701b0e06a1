"""Batch: a prompts file in, a zip of files with their records out."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from musicgen_ldm.config.generation import GenerateRequest
from musicgen_ldm.errors import MusicGenError, RequestError
from musicgen_ldm.pipeline import Take
from musicgen_ldm.prompts import read_prompts
from musicgen_ldm.provenance import sidecar_path
from musicgen_ldm.ui import texts
from musicgen_ldm.ui.library import Entry
from musicgen_ldm.ui.takes import Updates, Visitors


def build_batch(visitors: Visitors) -> None:
    """The tab's components and actions."""
    prompts = gr.File(label=texts.BATCH_FILE, file_types=[".txt", ".jsonl"], type="filepath")
    with gr.Row():
        run = gr.Button(texts.BATCH_RUN, variant="primary")
        cancel = gr.Button(texts.CANCEL, variant="stop")
    status = gr.Markdown()
    result = gr.File(label=texts.BATCH_RESULT, interactive=False, visible=False)

    def render(path: str | None, visitor: gr.Request) -> Iterator[Updates]:
        if path is None:
            yield {status: texts.NO_FILE}
            return
        library, stop = visitors.library(visitor), visitors.start(visitor)
        entries: list[Entry] = []
        said = None
        try:
            requests = requests_of(Path(path), visitors)
            for number, request in enumerate(requests, start=1):
                if stop.is_set():
                    break
                yield {status: f"{number} / {len(requests)}: {request.prompt}"}
                for message in visitors.engine.render(request, visitors.name(visitor), stop):
                    if isinstance(message, Take):
                        entries.append(library.add(message))
        except MusicGenError as error:
            said = f"**{error}**"
        if stop.is_set():
            said = texts.STOPPED
        yield {status: said or texts.BATCH_DONE.format(count=len(entries))}
        if entries:
            # gradio has copied the archive when it asks for the next value.
            with TemporaryDirectory(prefix="musicgen-") as folder:
                archive = zipped(entries, Path(folder) / "music.zip")
                yield {result: gr.update(value=str(archive), visible=True)}

    run.click(render, prompts, [status, result], api_visibility="private")
    cancel.click(visitors.stop, None, None, api_visibility="private", queue=False)


def requests_of(path: Path, visitors: Visitors) -> list[GenerateRequest]:
    """The requests of a prompts file, all checked before the first is rendered.

    Raises:
        RequestError: If a line is wrong, names a file of this machine, or there are too many.
    """
    lines = [values for _, values in read_prompts(path)]
    limit = visitors.engine.config.max_prompts
    if len(lines) > limit:
        raise RequestError(texts.BATCH_TOO_LONG.format(count=len(lines), limit=limit))
    requests = []
    for values in lines:
        plain: dict[str, Any] = {name: v for name, v in values.items() if name != "id"}
        request = GenerateRequest.from_json(plain)
        if request.source_files:
            # A visitor's text must not open files on the server.
            raise RequestError("a prompts file on this page holds words only, no file names")
        visitors.engine.check(request)
        requests.append(request)
    return requests


def zipped(entries: list[Entry], target: Path) -> Path:
    """All files and sidecars in one archive."""
    with zipfile.ZipFile(target, "w") as archive:
        for entry in entries:
            archive.write(entry.path, entry.path.name)
            archive.write(sidecar_path(entry.path), sidecar_path(entry.path).name)
    return target
