"""Batch: a prompts file in, a zip of files with their records out."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr

from musicgen_ldm.config.demo import DemoConfig
from musicgen_ldm.config.generation import GenerateRequest
from musicgen_ldm.errors import MusicGenError, OutputError, RequestError
from musicgen_ldm.prompts import file_name, read_prompts
from musicgen_ldm.provenance import sidecar_path
from musicgen_ldm.ui import texts
from musicgen_ldm.ui.library import Entry
from musicgen_ldm.ui.limits import check
from musicgen_ldm.ui.served import bold, copy_of, sentence
from musicgen_ldm.ui.takes import RENDERING, Updates
from musicgen_ldm.ui.visitors import Visitors


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
        entries: dict[str, Entry] = {}
        said = None
        with visitors.running(visitor) as stop:
            try:
                requests = requests_of(Path(path), visitors.engine.config)
                for number, (name, request) in enumerate(requests.items(), start=1):
                    if stop.is_set():
                        break
                    step = texts.BATCH_STEP.format(
                        number=number, total=len(requests), prompt=request.prompt
                    )
                    for told in visitors.rendered(request, visitor, stop):
                        if isinstance(told, Entry):
                            take = told.record["take"]
                            entries[f"{name}-take{take}" if request.takes > 1 else name] = told
                        yield {status: step}
            except MusicGenError as error:
                said = bold(error)
            if stop.is_set():
                said = texts.STOPPED
        yield {status: said or texts.BATCH_DONE.format(count=len(entries))}
        if entries:
            try:
                yield {result: gr.update(value=archive_of(entries), visible=True)}
            except MusicGenError as error:
                yield {status: bold(error)}

    run.click(render, prompts, [status, result], **RENDERING)
    cancel.click(visitors.stop, None, None, api_visibility="private", queue=False)


def requests_of(path: Path, config: DemoConfig) -> dict[str, GenerateRequest]:
    """The requests of a prompts file by the names of their files, checked before all work.

    Raises:
        RequestError: If a line is wrong, names a file of this machine, or there are too many.
    """
    lines = list(read_prompts(path))
    if len(lines) > config.max_prompts:
        raise RequestError(texts.BATCH_TOO_LONG.format(count=len(lines), limit=config.max_prompts))
    requests: dict[str, GenerateRequest] = {}
    for number, values in lines:
        try:
            name = file_name(values.pop("id", None), number, requests)
            request = GenerateRequest.from_json(values)
            if request.source_files:
                # A visitor's text must not open files on the server.
                raise RequestError(texts.WORDS_ONLY)
            check(request, config)
        except RequestError as error:
            raise RequestError(texts.BATCH_LINE.format(number=number, error=error)) from error
        requests[name] = request
    return requests


def archive_of(entries: Mapping[str, Entry]) -> str:
    """A copy for the visitor of all files and sidecars, by name.

    Raises:
        OutputError: If it cannot be written.
    """
    try:
        with TemporaryDirectory(prefix="musicgen-") as folder:
            target = Path(folder) / "music.zip"
            with zipfile.ZipFile(target, "w") as archive:
                for name, entry in entries.items():
                    for file in (entry.path, sidecar_path(entry.path)):
                        archive.write(file, f"{name}{file.suffix}")
            return copy_of(target)
    except OSError as error:
        raise OutputError(sentence(error)) from error
