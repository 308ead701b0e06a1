"""The documented call for programs and agents."""

from typing import Any

import gradio as gr
from anyio import to_thread

from musicgen_ldm.config.generation import GenerateRequest
from musicgen_ldm.config.signal import CLIP_SECONDS
from musicgen_ldm.errors import RequestError
from musicgen_ldm.ui import texts
from musicgen_ldm.ui.library import Entry
from musicgen_ldm.ui.served import copy_of
from musicgen_ldm.ui.visitors import Visitors


def add_api(visitors: Visitors) -> None:
    """Sentence in, file out: over HTTP, from gradio's clients, and as a tool for agents."""

    async def generate(
        prompt: str,
        seconds: float = CLIP_SECONDS,
        seed: int = 0,
        bpm: float = 0.0,
        key: str = "",
        negative_prompt: str = "",
        bars: int = 0,
        loop: bool = False,
        request: gr.Request = None,  # type: ignore[assignment]
    ) -> tuple[str, dict]:
        """Make music from a sentence.

        Args:
            prompt: What it should sound like.
            seconds: Length, unless bars are given.
            seed: The same seed gives the same music again.
            bpm: Tempo in beats per minute; 0 leaves it to the model.
            key: For example "A minor"; empty leaves it to the model.
            negative_prompt: What it should avoid.
            bars: Length in bars of four beats; needs bpm; 0 takes the seconds.
            loop: Whether the end should lead into the beginning without a seam.
            request: Filled in by the server.

        Returns:
            A FLAC file and its record.
        """
        asked = GenerateRequest(
            prompt=prompt,
            negative_prompt=negative_prompt,
            seconds=None if bars else seconds,
            bars=bars or None,
            seed=seed,
            bpm=bpm or None,
            key=key or None,
            loop=loop,
        )
        with visitors.running(request) as stop:
            rendering = visitors.rendered(asked, request, stop)
            entries: list[Entry] = []
            try:
                # A call that waits must not hold one of the threads that the page runs on.
                while (told := await to_thread.run_sync(next, rendering, None)) is not None:
                    entries += [told] if isinstance(told, Entry) else []
            finally:
                rendering.close()
        if not entries:
            raise RequestError(texts.STOPPED)
        # A client downloads what is marked as a file; a bare path would be the server's.
        file: Any = gr.FileData(path=copy_of(entries[0].path)).model_dump()
        return file, entries[0].record

    gr.api(generate, api_name="generate", concurrency_limit=None)
