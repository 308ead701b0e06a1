"""Pictures of what editing leaves audible: repaint, continuation, loop, long piece, and seams.

Each row shows waveform and spectrogram with a mark wherever given and drawn sound, or two rounds
of a loop, meet. Its title gives the seam score (1 is as abrupt as the sound's own strong attacks)
and, in brackets, the score of a sound without that seam or without that care, to compare with. The
long piece is marked, and scored in the mean, where the windows begin and end that it is decoded in.

    python benchmarks/editing_pictures.py pocket docs/images/editing.png
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageDraw, ImageFont

from musicgen_ldm import GenerateRequest, MusicLDM, Waveform
from musicgen_ldm.measure import loop_seam_score, seam_score
from musicgen_ldm.pipeline.plans import Geometry
from musicgen_ldm.ui.pictures import picture
from musicgen_ldm.windows import window_starts

PROMPT = "a calm piano melody over soft pads"
LOOP_PROMPT, LOOP_BARS, LOOP_BPM, ROUNDS = "a house beat with bass and stabs", 2, 120.0, 4
REGION_S = (4.0, 6.0)
NEW_S = 5.0
LONG_S, ELSEWHERE_S = 40.0, 0.5  # length, and distance of the places to compare with
TITLE_HEIGHT, MARK_HEIGHT, TITLE_SIZE = 26, 10, 15  # pixels


@dataclass(frozen=True)
class Row:
    """One picture of the sheet."""

    title: str
    waveform: Waveform
    seams_s: Sequence[float] = ()


def edited_rows(model: MusicLDM, folder: Path, seed: int) -> list[Row]:
    """A drawn clip, a repaint of its middle, and its continuation."""
    source = model.generate(GenerateRequest(prompt=PROMPT, seed=seed))[0].waveform
    path = folder / "source.wav"
    soundfile.write(path, source.samples.T, source.sample_rate, subtype="FLOAT")
    repaint = GenerateRequest(prompt=PROMPT, seed=seed + 1, init=str(path), repaint=(REGION_S,))
    repainted = model.generate(repaint)[0]
    untouched = max(seam_score(source, edge_s) for edge_s in REGION_S)
    longer = GenerateRequest(prompt=PROMPT, seed=seed + 1, continue_file=str(path), seconds=NEW_S)
    continued = model.generate(longer)[0]
    start, end = REGION_S
    return [
        Row(f'"{PROMPT}", as drawn', source),
        Row(
            f"{start:g}-{end:g} s repainted: seam {repainted.measured['seam']:.2f} "
            f"(there before: {untouched:.2f})",
            repainted.waveform,
            REGION_S,
        ),
        Row(
            f"continued for {NEW_S:g} s: seam {continued.measured['seam']:.2f}",
            continued.waveform,
            (source.seconds,),
        ),
    ]


def loop_row(model: MusicLDM, seed: int) -> Row:
    """One loop file, repeated; compared with the same request drawn without a circle."""
    length = {"bars": LOOP_BARS, "bpm": LOOP_BPM}
    loop, straight = (
        model.generate(GenerateRequest(prompt=LOOP_PROMPT, seed=seed, loop=circular, **length))[0]
        for circular in (True, False)
    )
    sound = loop.waveform
    return Row(
        f'"{LOOP_PROMPT}", {LOOP_BARS} bars at {LOOP_BPM:g} bpm, one file {ROUNDS} times: seam '
        f"{loop.measured['seam']:.2f} (not drawn as a loop: "
        f"{loop_seam_score(straight.waveform):.2f})",
        Waveform(np.tile(sound.samples, ROUNDS), sound.sample_rate),
        [sound.seconds * i for i in range(1, ROUNDS)],
    )


def long_row(model: MusicLDM, seed: int) -> Row:
    """A piece of several windows; their borders against places that are none."""
    geometry = Geometry(model.checkpoint)
    canvas = geometry.canvas(round(LONG_S * geometry.latent_rate))
    size, frame_s = canvas.window, 1 / geometry.latent_rate
    starts = window_starts(canvas.shape[1], size, 0, circular=False)
    borders = sorted(
        {s * frame_s for s in starts[1:]} | {(s + size) * frame_s for s in starts[:-1]}
    )
    sound = model.generate(GenerateRequest(prompt=PROMPT, seed=seed, seconds=LONG_S))[0].waveform
    others = np.arange(ELSEWHERE_S, LONG_S, ELSEWHERE_S)
    at, elsewhere = (
        float(np.mean([seam_score(sound, place_s) for place_s in places]))
        for places in (borders, others)
    )
    return Row(
        f"{LONG_S:g} s in windows: mean seam {at:.2f} (elsewhere: {elsewhere:.2f})", sound, borders
    )


def sheet(rows: Sequence[Row]) -> Image.Image:
    """Rows under one another: title, marks at the seams, waveform over spectrogram."""
    pictures = [picture(row.waveform) for row in rows]
    height = sum(p.height + TITLE_HEIGHT + MARK_HEIGHT for p in pictures)
    page = Image.new("RGB", (pictures[0].width, height), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(TITLE_SIZE)
    top = 0
    for row, image in zip(rows, pictures, strict=True):
        pen.text((2, top + 4), row.title, fill="black", font=font)
        top += TITLE_HEIGHT
        for seam_s in row.seams_s:
            x = seam_s / row.waveform.seconds * image.width
            pen.polygon([(x - 5, top), (x + 5, top), (x, top + MARK_HEIGHT)], fill="black")
        page.paste(image, (0, top + MARK_HEIGHT))
        top += MARK_HEIGHT + image.height
    return page


def main() -> None:
    """Draw, edit, and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="name, folder or hub id")
    parser.add_argument("out", type=Path, help="picture file, such as docs/images/editing.png")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    model = MusicLDM.from_pretrained(args.checkpoint, device=args.device)
    with tempfile.TemporaryDirectory() as folder:
        rows = edited_rows(model, Path(folder), args.seed)
    rows += [loop_row(model, args.seed), long_row(model, args.seed)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(rows).save(args.out)
    for row in rows:
        print(row.title)


if __name__ == "__main__":
    main()
