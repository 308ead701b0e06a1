"""History: what was made before, and files that come back."""

from typing import Any

import gradio as gr

from musicgen_ldm.errors import MusicGenError, RequestError
from musicgen_ldm.provenance import verify
from musicgen_ldm.ui import forms, texts
from musicgen_ldm.ui.library import Library
from musicgen_ldm.ui.pictures import describe
from musicgen_ldm.ui.takes import Visitors

ID_COLUMN = len(texts.HISTORY_HEADERS) - 1


def rows(library: Library, words: str, only_favourites: bool) -> list[list[str]]:
    """One row an entry, newest first."""
    return [
        [
            f"{entry.id[:4]}-{entry.id[4:6]}-{entry.id[6:8]} {entry.id[9:11]}:{entry.id[11:13]}",
            entry.record.get("prompt", ""),
            f"{entry.record['seconds']:.1f} s",
            "★" if entry.is_favourite else "",
            entry.id,
        ]
        for entry in library.search(words, only_favourites=only_favourites)
    ]


def build_history(visitors: Visitors, fields: dict[str, Any], tabs: gr.Tabs) -> None:
    """The tab's components and actions."""
    with gr.Row():
        words = gr.Textbox(label=texts.SEARCH)
        favourites = gr.Checkbox(label=texts.ONLY_FAVOURITES)
        refresh = gr.Button(texts.REFRESH)
    table = gr.Dataframe(
        headers=list(texts.HISTORY_HEADERS),
        interactive=False,
        wrap=True,
        label=texts.TAB_HISTORY,
        elem_id="history-table",
    )
    chosen = gr.State(None)
    audio = gr.Audio(interactive=False, type="filepath", visible=False, label=texts.TAB_HISTORY)
    sentence = gr.Markdown()
    with gr.Row():
        reuse = gr.Button(texts.REUSE)
        keep = gr.Button(texts.FAVOURITE)
        delete = gr.Button(texts.DELETE, variant="stop")
    dropped = gr.File(label=texts.DROP, type="filepath", file_types=["audio"], elem_id="drop")
    verdict = gr.Markdown(elem_id="verdict")
    form = [fields[name] for name in forms.FIELDS]

    def listed(query: str, only: bool, visitor: gr.Request) -> list[list[str]]:
        return rows(visitors.library(visitor), query, only)

    def select(event: gr.SelectData, visitor: gr.Request) -> tuple[str, Any, str]:
        entry = _entry(visitors.library(visitor), event.row_value[ID_COLUMN])
        text = describe(entry.record["seconds"], entry.record)
        return entry.id, gr.update(value=str(entry.path), visible=True), text

    def use(name: str | None, visitor: gr.Request) -> list[Any]:
        record = _entry(visitors.library(visitor), name).record
        return [*forms.values_of(record).values(), gr.Tabs(selected="create")]

    def toggle(name: str | None, query: str, only: bool, visitor: gr.Request) -> list[list[str]]:
        library = visitors.library(visitor)
        entry = _entry(library, name)
        library.set_favourite(entry.id, not entry.is_favourite)
        return rows(library, query, only)

    def remove(name: str | None, query: str, only: bool, visitor: gr.Request) -> tuple:
        library = visitors.library(visitor)
        library.delete(_entry(library, name).id)
        return rows(library, query, only), None, gr.update(visible=False), texts.DELETED

    def check(path: str | None) -> list[Any]:
        if path is None:
            return ["", *[gr.skip()] * len(form)]
        try:
            found = verify(path)
        except MusicGenError as error:
            return [f"**{error}**", *[gr.skip()] * len(form)]
        if found.record is None or "request" not in found.record:
            return [texts.FOREIGN, *[gr.skip()] * len(form)]
        said = texts.VERIFIED if found.intact else texts.ALTERED
        facts = describe(found.record["seconds"], found.record)
        text = f"{said}\n\n> {found.record['prompt']}\n\n{facts}"
        return [text, *forms.values_of(found.record).values()]

    query = [words, favourites]
    gr.on(
        [refresh.click, words.submit, favourites.change], listed, query, table,
        api_visibility="private",
    )  # fmt: skip
    table.select(select, None, [chosen, audio, sentence], api_visibility="private")
    reuse.click(use, chosen, [*form, tabs], api_visibility="private")
    keep.click(toggle, [chosen, *query], table, api_visibility="private")
    delete.click(
        remove, [chosen, *query], [table, chosen, audio, sentence], api_visibility="private"
    )
    dropped.change(check, dropped, [verdict, *form], api_visibility="private")


def _entry(library: Library, name: str | None) -> Any:
    if name is None:
        raise RequestError(texts.NO_TAKE)
    return library.get(name)
