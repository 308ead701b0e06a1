"""The results: takes side by side, and what can be done with the chosen one."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import gradio as gr

from musicgen_ldm.audio import Waveform, read_audio
from musicgen_ldm.config.generation import GenerateRequest
from musicgen_ldm.errors import MusicGenError, RequestError
from musicgen_ldm.ui import forms, texts
from musicgen_ldm.ui.engine import Step, Waiting
from musicgen_ldm.ui.library import Entry
from musicgen_ldm.ui.novelty import NoveltyPanel
from musicgen_ldm.ui.pictures import WIDTH, alt, describe, picture, preview
from musicgen_ldm.ui.served import bold, copy_of
from musicgen_ldm.ui.visitors import Visitors

FORMATS = ("wav", "flac", "mp3", "ogg")
PREVIEW_EVERY = 4  # steps between two previews; each costs one decoding
Updates = dict[Any, Any]
# Who waits stands in the engine's line, which tells them; gradio's own need not hold them back.
RENDERING: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": None}


class TakesPanel:
    """Slots for takes, the choice among them and the actions on it."""

    def __init__(self, visitors: Visitors, name: str) -> None:
        """Build the components in the current layout; `name` sets the panel's apart."""
        self.visitors = visitors
        self.engine = visitors.engine
        self.status = gr.Markdown(elem_id=f"{name}-status", container=False)
        self.preview = gr.Image(
            visible=False,
            show_label=False,
            interactive=False,
            **alt(texts.PREVIEW),
            height=128,
            buttons=[],
        )
        self.columns, self.audios, self.pictures, self.sentences = [], [], [], []
        with gr.Row():
            for number in range(1, self.engine.config.max_takes + 1):
                with gr.Column(visible=False, min_width=300) as column:
                    label = texts.TAKE.format(number=number)
                    self.audios.append(
                        gr.Audio(
                            label=label, type="filepath", interactive=False, buttons=["download"]
                        )
                    )
                    self.pictures.append(
                        gr.Image(show_label=False, interactive=False, **alt(label), buttons=[])
                    )
                    self.sentences.append(gr.Markdown())
                self.columns.append(column)
        self.ids = gr.State([])
        with gr.Group(visible=False) as self.actions:
            self._build_actions()

    def _build_actions(self) -> None:
        self.chosen = gr.Radio([], label=texts.CHOSEN)
        self.novelty = NoveltyPanel(self.engine)
        with gr.Row():
            self.again = gr.Button(texts.AGAIN)
            self.favourite = gr.Checkbox(label=texts.FAVOURITE)
        with gr.Row(equal_height=True):
            self.strength = gr.Slider(
                0, 1, 0.5, step=0.05, label=texts.STRENGTH, info=texts.STRENGTH_HINT
            )
            self.variation = gr.Button(texts.VARIATION)
            self.loop_it = gr.Button(texts.LOOP_IT)
        with gr.Row(equal_height=True):
            self.extend_by = gr.Number(5.12, label=texts.EXTEND_BY, minimum=0.5)
            self.extend = gr.Button(texts.EXTEND)
        with gr.Row(equal_height=True):
            self.region_start = gr.Number(3.0, label=texts.REGION_START, info=texts.REGION_HINT)
            self.region_end = gr.Number(6.0, label=texts.REGION_END)
            self.repaint = gr.Button(texts.REPAINT)
        with gr.Row(equal_height=True):
            self.format = gr.Dropdown(FORMATS, value="wav", label=texts.FORMAT)
            self.prepare = gr.Button(texts.DOWNLOAD)
            self.file = gr.File(visible=False, interactive=False, label=texts.DOWNLOAD)

    @property
    def about(self) -> list[Any]:
        """All components that tell of the chosen take."""
        return [self.favourite, self.file, *self.novelty.outputs]

    @property
    def outputs(self) -> list[Any]:
        """All components that a rendering changes."""
        slots = [*self.columns, *self.audios, *self.pictures, *self.sentences]
        return [self.status, self.preview, *slots, self.ids, self.actions, self.chosen, *self.about]

    def connect(self) -> None:
        """Attach the actions."""
        chosen = [self.chosen, self.ids]
        region = [self.region_start, self.region_end]
        for button, action, given in (
            (self.again, self._again, []),
            (self.variation, self._variation, [self.strength]),
            (self.loop_it, self._loop_it, [self.strength]),
            (self.extend, self._extend, [self.extend_by]),
            (self.repaint, self._repaint, region),
        ):
            button.click(action, [*chosen, *given], self.outputs, **RENDERING)
        self.favourite.input(
            self._favourite, [*chosen, self.favourite], self.status, api_visibility="private"
        )
        self.prepare.click(
            self._convert, [*chosen, self.format], self.file, api_visibility="private"
        )
        self.chosen.change(self._about, chosen, self.about, api_visibility="private")
        self.novelty.listen.click(
            self._listen, chosen, self.novelty.outputs, api_visibility="private"
        )
        for number, image in enumerate(self.pictures):
            image.select(
                self._click(number),
                [self.ids, self.region_start, self.region_end],
                [self.region_start, self.region_end, self.chosen, image],
                api_visibility="private",
            )

    # --- rendering -------------------------------------------------------------------------------

    def render(
        self, request: GenerateRequest, visitor: gr.Request, *, beside: Entry | None = None
    ) -> Iterator[Updates]:
        """Render a request into the slots, as it goes, beside the take that it starts from."""
        begin = perf_counter()
        first = [beside] if beside and request.takes < len(self.columns) else []
        entries: list[Entry] = []
        yield self._cleared()
        with self.visitors.running(visitor) as stop:
            try:
                for told in self.visitors.rendered(request, visitor, stop):
                    if isinstance(told, Entry):
                        entries.append(told)
                        yield self.shown(first + entries, chosen=len(first))
                    elif isinstance(told, Step):
                        yield self._step(told, request)
                    else:
                        yield {self.status: self._waiting(told)}
                entries.sort(key=lambda entry: -entry.record["scores"]["rank"])
                shown = first + entries
                updates = self.shown(shown, chosen=min(len(first), len(shown) - 1))
            except MusicGenError as error:
                yield {self.preview: gr.update(visible=False), self.status: bold(error)}
                return
            done = texts.DONE.format(count=len(entries), seconds=perf_counter() - begin)
            status = texts.STOPPED if stop.is_set() else done
        yield updates | {self.status: status}

    def _cleared(self) -> Updates:
        hidden: Updates = {column: gr.update(visible=False) for column in self.columns}
        hidden[self.file] = gr.update(value=None, visible=False)
        return hidden | {self.actions: gr.update(visible=False), self.status: texts.WAITING}

    def _waiting(self, message: Waiting) -> str:
        return texts.AHEAD.format(count=message.ahead) if message.ahead else texts.WAITING

    def _step(self, message: Step, request: GenerateRequest) -> Updates:
        progress = message.progress
        status = texts.STEP.format(
            take=message.take - request.first_take + 1,
            takes=request.takes,
            step=progress.step,
            total=progress.total,
        )
        left = self.engine.left_s(request, message)
        if left is not None:
            status += texts.LEFT.format(seconds=left)
        share = progress.step / progress.total
        bar = f'<progress value="{share:.3f}" aria-label="{texts.PROGRESS}"></progress>'
        updates: Updates = {self.status: f"{status}\n\n{bar}"}
        if progress.step % PREVIEW_EVERY == 1:
            updates[self.preview] = gr.update(value=preview(message), visible=True)
        return updates

    def shown(self, entries: list[Entry], chosen: int = 0) -> Updates:
        """Entries in the slots, one of them chosen."""
        updates: Updates = {self.preview: gr.update(visible=False)}
        for number, entry in enumerate(entries):
            waveform: Waveform = read_audio(entry.path)
            sentence = describe(waveform.seconds, entry.record)
            updates |= {
                self.columns[number]: gr.update(visible=True),
                self.audios[number]: gr.update(value=copy_of(entry.path)),
                self.pictures[number]: gr.update(value=picture(waveform), **alt(sentence)),
                self.sentences[number]: sentence,
            }
        labels = [texts.TAKE.format(number=n) for n in range(1, len(entries) + 1)]
        # The name "Take 1" may stay while the take behind it changes, which no event would tell.
        updates |= self._facts(entries[chosen]) if entries else {}
        return updates | {
            self.ids: [entry.id for entry in entries],
            self.actions: gr.update(visible=bool(entries)),
            self.chosen: gr.update(choices=labels, value=labels[chosen] if labels else None),
        }

    # --- actions ---------------------------------------------------------------------------------

    def _entry(self, chosen: str | None, ids: list[str], visitor: gr.Request) -> Entry:
        labels = [texts.TAKE.format(number=n) for n in range(1, len(ids) + 1)]
        if chosen not in labels:
            raise RequestError(texts.NO_TAKE)
        return self.visitors.library(visitor).get(ids[labels.index(chosen)])

    def _work_on(
        self, chosen: str | None, ids: list[str], visitor: gr.Request, **changes: Any
    ) -> Iterator[Updates]:
        entry = self._entry(chosen, ids, visitor)
        role = "continue_file" if "seconds" in changes else "init"
        request = forms.on_take(entry.record, {role: str(entry.path), **changes})
        yield from self.render(request, visitor, beside=entry)

    def _again(self, chosen: str, ids: list[str], visitor: gr.Request) -> Iterator[Updates]:
        entry = self._entry(chosen, ids, visitor)
        request = self.visitors.library(visitor).with_kept_sources(forms.again(entry.record))
        yield from self.render(request, visitor, beside=entry)

    def _variation(
        self, chosen: str, ids: list[str], strength: float, visitor: gr.Request
    ) -> Iterator[Updates]:
        yield from self._work_on(chosen, ids, visitor, strength=strength)

    def _loop_it(
        self, chosen: str, ids: list[str], strength: float, visitor: gr.Request
    ) -> Iterator[Updates]:
        yield from self._work_on(chosen, ids, visitor, strength=strength, loop=True)

    def _extend(
        self, chosen: str, ids: list[str], seconds: float, visitor: gr.Request
    ) -> Iterator[Updates]:
        yield from self._work_on(chosen, ids, visitor, seconds=seconds)

    def _repaint(
        self, chosen: str, ids: list[str], start: float, end: float, visitor: gr.Request
    ) -> Iterator[Updates]:
        yield from self._work_on(chosen, ids, visitor, repaint=((start, end),))

    def _favourite(self, chosen: str, ids: list[str], keep: bool, visitor: gr.Request) -> str:
        entry = self._entry(chosen, ids, visitor)
        self.visitors.library(visitor).set_favourite(entry.id, keep)
        return texts.IS_FAVOURITE if keep else texts.NO_FAVOURITE

    def _about(self, chosen: str | None, ids: list[str], visitor: gr.Request) -> Updates:
        if chosen is None:
            return {self.favourite: gr.skip()}
        return self._facts(self._entry(chosen, ids, visitor))

    def _facts(self, entry: Entry) -> Updates:
        shown = {self.favourite: entry.is_favourite, **self.novelty.show(entry.record)}
        return shown | {self.file: gr.update(value=None, visible=False)}

    def _listen(self, chosen: str, ids: list[str], visitor: gr.Request) -> Iterator[Updates]:
        yield from self.novelty.play(self._entry(chosen, ids, visitor).record)

    def _convert(self, chosen: str, ids: list[str], suffix: str, visitor: gr.Request) -> Any:
        entry = self._entry(chosen, ids, visitor)
        with TemporaryDirectory(prefix="musicgen-") as folder:
            path = self.visitors.library(visitor).convert(entry.id, suffix, Path(folder))
            return gr.update(value=copy_of(path), visible=True)

    def _click(self, number: int) -> Any:
        """First click sets the start of the region, the second its end."""

        def click(
            ids: list[str], start: float, end: float, event: gr.SelectData, visitor: gr.Request
        ) -> tuple[float, float, str, Any]:
            label = texts.TAKE.format(number=number + 1)
            waveform = read_audio(self._entry(label, ids, visitor).path)
            region = next_region(event.index[0] / WIDTH, (start, end), waveform.seconds)
            return *region, label, gr.update(value=picture(waveform, region))

        return click


def next_region(clicked: float, region: tuple[float, float], seconds: float) -> tuple[float, float]:
    """The region after a click: the first one sets its start, the second one its end.

    Args:
        clicked: Where, as a share of the length.
        region: As it was, in seconds.
        seconds: Length of the sound.
    """
    start, end = region
    last = int(seconds * 100) / 100  # rounded up it would lie after the end
    at = min(round(clicked * seconds, 2), last)
    # A region that is complete is started anew; an open one has its end at the clip's.
    return (at, last) if end < last or at <= start else (start, at)
