"""The reports in a real browser: headless Chromium, from the disk and without a network."""

import argparse

import pytest
from synthetic_music import melody, write_folder

from musicgen_ldm.cli import evaluate as evaluate_verb
from musicgen_ldm.cli import novelty as novelty_verb

pytest.importorskip("playwright", reason="needs pip install .[browser]")

from demo_driver import chromium, find_chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="needs Chromium: apt install chromium"),
]
WIDE = {"width": 1280, "height": 900}
HEARD = """async audio => {
    audio.muted = true;
    await audio.play();
    audio.pause();
    return audio.duration;
}"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def run(cache, audio, tmp_path_factory):
    def call(verb, *words):
        parser = argparse.ArgumentParser()
        verb.add_arguments(parser)
        folder = tmp_path_factory.mktemp("run")
        words = ("--gen", audio / "gen", "--out", folder, "--cache", cache.root, *words)
        verb.run(parser.parse_args([str(word) for word in words]))
        return folder / "report.html"

    return call


@pytest.fixture
def opened(browser):
    """Opens a page from the disk, and tells what the browser complained of and asked for."""
    with_errors = []

    def open_page(path, viewport=WIDE):
        context = browser.new_context(offline=True, viewport=viewport)
        page = context.new_page()
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_load_state("load")
        with_errors.append((context, said, asked))
        return page

    yield open_page
    for context, said, asked in with_errors:
        context.close()
        assert not said
        assert all(url.startswith(("file:", "data:")) for url in asked)


def headings(page):
    return [heading.inner_text() for heading in page.locator("h2").all()]


def durations(page):
    return [player.evaluate(HEARD) for player in page.locator("audio").all()]


def test_the_evaluation_report_opens_offline(run, opened, audio):
    words = ("--ref", audio / "ref", "--prompts", audio / "prompts.jsonl", "--embedder", "logmel")
    page = opened(run(evaluate_verb, *words))
    assert page.title() == "Evaluation"
    assert headings(page) == [
        "Metrics", "Obedience", "Set", "Distance against 1/n", "Embedding map", "By genre",
        "Best and worst clips",
    ]  # fmt: skip
    cell = page.locator("tr", has_text="fad.logmel.v1").locator("td").nth(1)
    assert float(cell.inner_text()) > 0
    assert page.locator("svg").count() == 2
    assert page.locator("svg").first.bounding_box()["height"] > 100
    assert durations(page) == pytest.approx([3.5] * 8, abs=0.1)
    pictures = page.locator("img").evaluate_all("all => all.map(one => one.naturalWidth)")
    assert pictures == [256] * 8


def test_the_novelty_report_opens_offline(run, opened, audio, tmp_path):
    train = write_folder(tmp_path, {f"t{i}": melody(100 + i, seconds=6) for i in range(3)})
    page = opened(run(novelty_verb, "--train", train, "--embedder", "chroma-3s"))
    assert page.title() == "Novelty"
    assert page.locator("tr", has_text="sim_aa@90.chroma-3s.v1").is_visible()
    assert page.locator("svg polyline").count() == 2
    heard = durations(page)
    assert len(heard) == 2 * 12
    assert all(1.9 < seconds < 3.1 for seconds in heard)  # the last excerpt is cut off


def test_wide_tables_do_not_widen_the_page(run, opened, audio):
    page = opened(run(novelty_verb, "--train", audio / "ref", "--embedder", "chroma"),
                  viewport={"width": 360, "height": 640})  # fmt: skip
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1]
