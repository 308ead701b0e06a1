"""Take a picture of each tab of the demo, on a desk and on a phone, for the README.

    python benchmarks/demo_screenshots.py pocket [--out docs/images]

makes a take with the named checkpoint and writes `demo-TAB-desktop.png` and `demo-TAB-phone.png`.
It needs `pip install .[demo,browser]` and Chromium (`apt install chromium`).
"""

import argparse
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from demo_driver import chromium, create, finished, opened, serving
from PIL import Image

TABS = ("Transform", "History", "Batch", "About")  # beside Create, which is shown with takes too
SIZES = {"desktop": (1280, 800), "phone": (360, 740)}
PROMPT = "a relaxed bossa nova with nylon guitar and flute"
MAX_BYTES = 60_000
COLOURS = (64, 32, 16)  # the most that stays below MAX_BYTES


def small_png(screenshot: bytes) -> bytes:
    """The picture with a palette, as many colours as fit into the size."""
    image = Image.open(io.BytesIO(screenshot)).convert("RGB")
    for colours in COLOURS:
        buffer = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= MAX_BYTES:
            break
    return buffer.getvalue()


def shoot(page: Any, name: str, out: Path) -> None:
    """One view in both sizes; the desk comes last, where no tab hides in a menu."""
    for size, (width, height) in reversed(SIZES.items()):
        page.set_viewport_size({"width": width, "height": height})
        top = page.locator("#create-status" if name == "takes" else "body")
        top.evaluate("element => element.scrollIntoView()")
        page.wait_for_timeout(500)  # until the layout has settled
        path = out / f"demo-{name}-{size}.png"
        path.write_bytes(small_png(page.screenshot()))
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Serve, make a take, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="name, folder or hub id")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--seconds", type=float, default=10.24, help="of the take")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    width, height = SIZES["desktop"]
    with (
        TemporaryDirectory() as outputs,
        serving(args.checkpoint, Path(outputs)) as (address, _),
        chromium() as browser,
    ):
        page = opened(browser, address, viewport={"width": width, "height": height})
        page.locator("#prompt textarea").fill(PROMPT)
        shoot(page, "create", args.out)
        create(page, PROMPT, seconds=args.seconds)
        finished(page)
        shoot(page, "takes", args.out)
        for tab in TABS:
            page.get_by_role("tab", name=tab).click()
            if tab == "History":
                page.get_by_role("button", name="Refresh").click()
                page.get_by_role("gridcell", name=PROMPT).first.wait_for()
            shoot(page, tab.lower(), args.out)


if __name__ == "__main__":
    main()
