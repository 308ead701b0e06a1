"""A sheet of spectrograms of rendered files, each under its prompt.

    musicgen-ldm generate --prompts docs/samples/prompts.txt -o docs/samples --format flac --seed 0
    python benchmarks/samples_sheet.py docs/samples docs/images/samples.jpg

The prompts are read from the records in the files.
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from musicgen_ldm.audio import read_audio
from musicgen_ldm.provenance import read_record
from musicgen_ldm.ui.pictures import picture

COLUMNS, MARGIN, TITLE_HEIGHT, TITLE_SIZE = 2, 8, 26, 15  # the last three in pixels


def sheet(files: list[Path]) -> Image.Image:
    """Pictures in reading order, each titled with the prompt of its record."""
    pictures = [picture(read_audio(file)) for file in files]
    width, height = pictures[0].width + MARGIN, pictures[0].height + TITLE_HEIGHT
    rows = -(-len(files) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * width - MARGIN, rows * height), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(TITLE_SIZE)
    for number, (file, image) in enumerate(zip(files, pictures, strict=True)):
        left, top = number % COLUMNS * width, number // COLUMNS * height
        title = f"{file.name}: {read_record(file)['prompt']}"
        pen.text((left + 2, top + 4), title, fill="black", font=font)
        page.paste(image, (left, top + TITLE_HEIGHT))
    return page


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="files made by `musicgen-ldm generate`")
    parser.add_argument("out", type=Path, help="picture file")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(sorted(args.folder.glob("*.flac"))).save(args.out)


if __name__ == "__main__":
    main()
