"""A contact sheet of mel-spectrograms with beats and captions: hearing a corpus at a glance."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw

from musicgen_ldm.audio import read_audio
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.data.manifest import Clip, read_manifest
from musicgen_ldm.errors import CorpusError, OutputError
from musicgen_ldm.mel import log_mel
from musicgen_ldm.whole_file import whole_file

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
COLUMNS = 4
PIXELS_PER_BIN = 2
FRAMES_PER_PIXEL = 3
TEXT_HEIGHT, MARGIN = 42, 8
FLOOR_LOG, CEILING_LOG = -8.5, 1.5  # natural-log mel magnitudes drawn black and white
BEAT_TICK, DOWNBEAT_TICK = 5, 12  # pixels
# Dark to bright: black, violet, red, orange, pale yellow.
PALETTE = np.array([[0, 0, 8], [70, 16, 110], [180, 50, 90], [245, 140, 50], [252, 250, 190]])


def choose_clips(clips: Sequence[Clip], count: int) -> list[Clip]:
    """At most `count` clips, genres taking turns, in the order of the manifest."""
    queues: dict[str, list[Clip]] = {}
    for clip in clips:
        queues.setdefault(clip.tags.genre or "", []).append(clip)
    chosen: list[Clip] = []
    while queues and len(chosen) < count:
        for genre in list(queues):
            chosen.append(queues[genre].pop(0))
            if not queues[genre]:
                del queues[genre]
    return chosen[:count]


def draw_sheet(corpus: str | Path, path: str | Path, *, count: int = 40) -> None:
    """Draw clips of a corpus as a PNG or JPEG, as the name of `path` says.

    Each cell shows the log-mel spectrogram (64 bins, low notes below), a tick above it for every
    beat and a longer one for every downbeat, and the first caption.

    Raises:
        ManifestError: If the folder holds no manifest.
        CorpusError: If the manifest is empty or `count` is not positive.
        OutputError: If the picture cannot be written.
    """
    folder, path = Path(corpus), Path(path)
    if (picture_format := FORMATS.get(path.suffix.lower())) is None:
        raise OutputError(f"{path}: a sheet is a {' or '.join(FORMATS)} file; change its suffix")
    clips = choose_clips(list(read_manifest(folder / "manifest.jsonl")), count)
    if not clips:
        raise CorpusError(f"{folder}: nothing to draw; build a corpus and ask for 1 clip or more")
    cells = [_cell(clip, folder) for clip in clips]
    width = max(cell.width for cell in cells)
    height = max(cell.height for cell in cells)
    rows = -(-len(cells) // COLUMNS)
    sheet = Image.new(
        "RGB", (COLUMNS * (width + MARGIN) + MARGIN, rows * (height + MARGIN) + MARGIN), "white"
    )
    for index, cell in enumerate(cells):
        row, column = divmod(index, COLUMNS)
        sheet.paste(cell, (MARGIN + column * (width + MARGIN), MARGIN + row * (height + MARGIN)))
    try:
        with whole_file(path) as partial:
            sheet.save(partial, format=picture_format)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error}); give another -o") from error


def _cell(clip: Clip, folder: Path) -> Image.Image:
    """Spectrogram, ticks and caption of one clip."""
    config = MelConfig()
    audio = read_audio(
        folder / clip.path, start_s=clip.start_s, duration_s=clip.duration_s,
        sample_rate=config.sample_rate,
    )  # fmt: skip
    mel = log_mel(torch.from_numpy(audio.mono)[None], config)[0, 0].numpy()  # (N, M)
    picture = Image.fromarray(_coloured(mel))
    width = mel.shape[0] // FRAMES_PER_PIXEL
    picture = picture.resize((width, config.num_bins * PIXELS_PER_BIN), Image.Resampling.BILINEAR)
    cell = Image.new("RGB", (width, picture.height + DOWNBEAT_TICK + TEXT_HEIGHT), "white")
    cell.paste(picture, (0, DOWNBEAT_TICK))
    pen = ImageDraw.Draw(cell)
    scale = config.frame_rate / FRAMES_PER_PIXEL
    for times, tick in ((clip.beats_s, BEAT_TICK), (clip.downbeats_s, DOWNBEAT_TICK)):
        for time in times:
            x = time * scale
            pen.line([(x, DOWNBEAT_TICK - tick), (x, DOWNBEAT_TICK)], fill="black")
    for line, text in enumerate(_wrapped(_title(clip), width)):
        pen.text((2, DOWNBEAT_TICK + picture.height + 1 + 13 * line), text, fill="black")
    return cell


def _coloured(mel: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """(N, M) log-mel to (M, N, 3) colours, low bins at the bottom."""
    level = np.clip((mel - FLOOR_LOG) / (CEILING_LOG - FLOOR_LOG), 0, 1).T[::-1]
    stops = np.linspace(0, 1, len(PALETTE))
    return np.stack([np.interp(level, stops, PALETTE[:, c]) for c in range(3)], -1).astype(np.uint8)


def _title(clip: Clip) -> str:
    bpm = f" {clip.tags.bpm:.0f} bpm" if clip.tags.bpm else ""
    caption = clip.captions[0] if clip.captions else ""
    return f"{clip.id} {clip.tags.genre}{bpm}: {caption}"


def _wrapped(text: str, width: int, lines: int = 3) -> list[str]:
    """Cut text into at most `lines` lines of the default font."""
    return textwrap.wrap(text, max(8, width // 6))[:lines]
