"""What a visitor may ask for: lengths and takes, of files too."""

from pathlib import Path

import gradio as gr
import soundfile

from musicgen_ldm.config.demo import DemoConfig
from musicgen_ldm.config.generation import MAX_SECONDS, MIN_SECONDS, GenerateRequest
from musicgen_ldm.config.signal import CLIP_SECONDS
from musicgen_ldm.errors import RequestError
from musicgen_ldm.ui import texts

MAX_SAMPLES = int(MAX_SECONDS * 96_000 * 2)  # of all channels: half a gigabyte as float32
NOT_A_SOUND = (soundfile.LibsndfileError, RuntimeError, TypeError)


def check(request: GenerateRequest, config: DemoConfig) -> None:
    """Refuse what exceeds the page's limits, before any sound is read.

    Raises:
        RequestError: With the limit and what was asked.
    """
    for path in request.source_files.values():
        check_file(path)
    if (seconds := drawn_s(request)) > config.max_seconds:
        raise RequestError(texts.TOO_LONG.format(limit=config.max_seconds, seconds=seconds))
    if request.takes > config.max_takes:
        raise RequestError(texts.TOO_MANY.format(limit=config.max_takes, takes=request.takes))


def check_file(path: Path) -> None:
    """Refuse by its header a sound that must not be unpacked: a small file may hold hours.

    Raises:
        RequestError: With the limit and what the file holds.
    """
    try:
        info = soundfile.info(path)
    except NOT_A_SOUND:
        return  # which its reading will say better
    # A stream that does not tell its length has the largest number there is.
    if info.duration > MAX_SECONDS:
        raise RequestError(
            texts.LONG_SOURCE.format(name=path.name, seconds=info.duration, limit=MAX_SECONDS)
        )
    if (samples := info.frames * info.channels) > MAX_SAMPLES:
        millions, limit = samples / 1e6, MAX_SAMPLES / 1e6
        raise RequestError(
            texts.LARGE_SOURCE.format(name=path.name, millions=millions, limit=limit)
        )


def sliders(config: DemoConfig, length_hint: str | None = None) -> dict[str, gr.Slider]:
    """Length and number of takes, as far as they may go."""
    length = min(CLIP_SECONDS, config.max_seconds)
    return {
        "seconds": gr.Slider(
            MIN_SECONDS,
            config.max_seconds,
            length,
            step=0.01,
            label=texts.LENGTH,
            info=length_hint,
        ),
        "takes": gr.Slider(
            1, max(2, config.max_takes), 1, step=1, label=texts.TAKES, visible=config.max_takes > 1
        ),
    }


def drawn_s(request: GenerateRequest) -> float:
    """Seconds that a take of a request draws: not what is kept of a file."""
    if request.repaint:
        return max(end for _, end in request.repaint) - min(start for start, _ in request.repaint)
    if request.init is not None:
        return file_s(Path(request.init)) or request.length_s
    return request.length_s


def file_s(path: Path) -> float:
    """Length of a sound file in seconds; 0 if it is none, which its reading will say better."""
    try:
        return float(soundfile.info(path).duration)
    except NOT_A_SOUND:
        return 0.0
