"""History: what was made before, and files that come back."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from musicgen_ldm.config.generation import GenerateRequest
from musicgen_ldm.errors import MusicGenError, RequestError
from musicgen_ldm.provenance import verify
from musicgen_ldm.ui import forms, texts
from musicgen_ldm.ui.library import Entry, Library
from musicgen_ldm.ui.limits import check_file
from musicgen_ldm.ui.pictures import describe
from musicgen_ldm.ui.served import bold, copy_of
from musicgen_ldm.ui.takes import TakesPanel, Updates
from musicgen_ldm.ui.visitors import Visitors

if TYPE_CHECKING:
    from musicgen_ldm.pipeline import MusicLDM

COLUMN_WIDTHS: list[str | int] = [
    "150px",
    "270px",
    "120px",
    "90px",
    "80px",
    "240px",
]  # no header breaks
ID_COLUMN = len(texts.HISTORY_HEADERS) - 1


def rows(library: Library, words: str | None, only_favourites: bool) -> list[list[str]]:
    """One row an entry, newest first; an untouched search field holds None."""
    return [
        [
            f"{entry.id[:4]}-{entry.id[4:6]}-{entry.id[6:8]} {entry.id[9:11]}:{entry.id[11:13]}",
            entry.record.get("prompt", ""),
            made_by(entry.record.get("request", {})),
            f"{entry.record['seconds']:.1f} s",
            "★" if entry.is_favourite else "",
            entry.id,
        ]
        for entry in library.search(words or "", only_favourites=only_favourites)
    ]


def made_by(request: Mapping[str, Any]) -> str:
    """What a take was made by, where it was not from words alone."""
    return next((word for field, word in texts.MADE_BY.items() if request.get(field)), "")


def build_history(
    visitors: Visitors,
    fields: dict[str, Any],
    panel: TakesPanel,
    tabs: gr.Tabs,
    page: gr.Blocks,
    tab: gr.Tab,
) -> None:
    """The tab's components and actions.

    Args:
        visitors: Whose folders are listed.
        fields: Of the Create form, where settings come back to.
        panel: Of the Create form, where a take is worked on again.
        tabs: All tabs, to turn to the Create form.
        page: Whose opening lists the history.
        tab: Of the history, which lists it anew.
    """
    with gr.Row():
        words = gr.Textbox(label=texts.SEARCH)
        favourites = gr.Checkbox(label=texts.ONLY_FAVOURITES)
        refresh = gr.Button(texts.REFRESH)
    table = gr.Dataframe(
        headers=list(texts.HISTORY_HEADERS),
        interactive=False,
        wrap=True,
        column_widths=COLUMN_WIDTHS,
        label=texts.TAB_HISTORY,
        elem_id="history-table",
    )
    nothing = gr.Markdown(elem_id="history-nothing", visible=False)
    chosen = gr.State(None)
    audio = gr.Audio(
        interactive=False,
        type="filepath",
        visible=False,
        label=texts.TAB_HISTORY,
        buttons=["download"],
    )
    sentence = gr.Markdown()
    with gr.Row():
        work_on = gr.Button(texts.WORK_ON)
        reuse = gr.Button(texts.REUSE)
        keep = gr.Button(texts.FAVOURITE)
        delete = gr.Button(texts.DELETE, variant="stop")
    with gr.Row(visible=False) as sure:
        gr.Markdown(texts.SURE)
        for_good = gr.Button(texts.DELETE_FOR_GOOD, variant="stop", elem_id="delete-for-good")
        keep_it = gr.Button(texts.KEEP_IT)
    dropped = gr.File(label=texts.DROP, type="filepath", file_types=["audio"], elem_id="drop")
    verdict = gr.Markdown(elem_id="verdict")
    form = [*(fields[name] for name in forms.FIELDS), fields["lock"]]

    def listed(query: str | None, only: bool, visitor: gr.Request) -> Updates:
        found = rows(visitors.library(visitor), query, only)
        is_searched = only or (query or "").strip()
        said = texts.NOTHING_FOUND if is_searched else texts.NOTHING_YET
        return {table: found, nothing: gr.update(value=said, visible=not found)}

    def select(event: gr.SelectData, visitor: gr.Request) -> tuple[str, Any, str]:
        entry = _entry(visitors.library(visitor), event.row_value[ID_COLUMN])
        text = describe(entry.record["seconds"], entry.record)
        return entry.id, gr.update(value=copy_of(entry.path), visible=True), text

    def use(name: str | None, visitor: gr.Request) -> list[Any]:
        record = _entry(visitors.library(visitor), name).record
        return [*forms.values_of(record).values(), True, gr.Tabs(selected="create")]

    def work(name: str | None, visitor: gr.Request) -> Updates:
        entry = _entry(visitors.library(visitor), name)
        return panel.shown([entry]) | {panel.status: "", tabs: gr.Tabs(selected="create")}

    def toggle(name: str | None, query: str | None, only: bool, visitor: gr.Request) -> Updates:
        library = visitors.library(visitor)
        entry = _entry(library, name)
        library.set_favourite(entry.id, not entry.is_favourite)
        return listed(query, only, visitor)

    def ask(name: str | None, visitor: gr.Request) -> Any:
        _entry(visitors.library(visitor), name)
        return gr.Row(visible=True)

    def remove(name: str | None, query: str | None, only: bool, visitor: gr.Request) -> Updates:
        library = visitors.library(visitor)
        library.delete(_entry(library, name).id)
        done = {audio: gr.update(visible=False), sure: gr.Row(visible=False)}
        return listed(query, only, visitor) | done | {chosen: None, sentence: texts.DELETED}

    def check(path: str | None) -> list[Any]:
        said, values = ("", None) if path is None else told_of(Path(path), visitors.engine.model)
        return [said, *([gr.skip()] * len(form) if values is None else [*values.values(), True])]

    query = [words, favourites]
    gr.on(
        [page.load, tab.select, refresh.click, words.submit, favourites.change],
        listed,
        query,
        [table, nothing],
        api_visibility="private",
        show_progress_on=table,
        trigger_mode="always_last",  # a search while the tab is still being listed must not be lost
    )
    table.select(select, None, [chosen, audio, sentence], api_visibility="private")
    work_on.click(work, chosen, [*panel.outputs, tabs], api_visibility="private")
    reuse.click(use, chosen, [*form, tabs], api_visibility="private")
    keep.click(toggle, [chosen, *query], [table, nothing], api_visibility="private")
    delete.click(ask, chosen, sure, api_visibility="private")
    keep_it.click(lambda: gr.Row(visible=False), None, sure, api_visibility="private")
    for_good.click(
        remove,
        [chosen, *query],
        [table, nothing, chosen, audio, sentence, sure],
        api_visibility="private",
    )
    dropped.change(check, dropped, [verdict, *form], api_visibility="private")


def told_of(path: Path, model: "MusicLDM | None") -> tuple[str, dict[str, Any] | None]:
    """Markdown about a file that was dropped, and the Create form's values if it has any."""
    try:
        check_file(path)
        found = verify(path)
        if found.record is None:
            return texts.FOREIGN, None
        values = forms.values_of(found.record)
        return origin(found.record, found.intact, model), values
    except MusicGenError as error:
        return bold(error), None
    except (KeyError, TypeError, ValueError):
        return texts.DAMAGED, None  # a record that was edited, or of another version


def origin(record: Mapping[str, Any], is_intact: bool, model: "MusicLDM | None") -> str:
    """Markdown: where one of our files comes from, and what it is."""
    made_with = texts.MADE_WITH.format(
        name=record["checkpoint"]["name"], seed=record["seed"], take=record["take"] + 1
    )
    if GenerateRequest.from_json(record["request"]).source_files:
        made_with += " " + texts.NO_SOURCE
    if model is not None:
        is_its_own = record["checkpoint"]["sha256"] == model.identity
        made_with += " " + (texts.THIS_MODEL if is_its_own else texts.OTHER_MODEL)
    said = texts.VERIFIED if is_intact else texts.ALTERED
    facts = describe(record["seconds"], record)
    return f"{said} {made_with}\n\n> {record['prompt']}\n\n{facts}"


def _entry(library: Library, name: str | None) -> Entry:
    if name is None:
        raise RequestError(texts.NO_TAKE)
    return library.get(name)
