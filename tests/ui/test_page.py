"""What the page tells of the loaded checkpoint: prompts to start from, and its card."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from musicgen_ldm import MusicLDM
from musicgen_ldm.checkpoint import Checkpoint
from musicgen_ldm.config.demo import DemoConfig
from musicgen_ldm.ui import texts
from musicgen_ldm.ui.about import card
from musicgen_ldm.ui.engine import Engine
from musicgen_ldm.ui.page import build_page, examples

CARD = """---
license: cc0-1.0
---
# tiny

[The licence](https://example.org) and ![a picture](https://example.org/a.png) <img src="b.png">
"""


@pytest.fixture
def engine() -> Engine:
    return Engine(DemoConfig(device="cpu"))


def test_a_checkpoint_may_bring_its_own_examples(
    engine: Engine, tiny_checkpoint: Checkpoint
) -> None:
    general = [[prompt] for prompt in texts.EXAMPLE_PROMPTS]
    assert examples(engine) == general
    engine.model = MusicLDM(tiny_checkpoint, device="cpu")
    assert examples(engine) == general
    with_own = replace(tiny_checkpoint, metadata={"examples": ["slow piano", "fast piano"]})
    engine.model = MusicLDM(with_own, device="cpu")
    assert examples(engine) == [["slow piano"], ["fast piano"]]


def test_the_card_is_shown_without_asking_other_servers(
    engine: Engine, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    assert card(engine) == texts.NO_CARD
    engine.model = MusicLDM(replace(tiny_checkpoint, folder=tmp_path), device="cpu")
    assert card(engine) == texts.NO_CARD
    (tmp_path / "README.md").write_text(CARD)
    shown = card(engine)
    assert shown.strip().startswith("# tiny")
    assert "[The licence](https://example.org)" in shown
    assert "![" not in shown
    assert "<img" not in shown


def test_no_button_gives_music_to_a_public_site(engine: Engine, built: Callable) -> None:
    """Gradio's players and pictures can be shared on its maker's site unless told otherwise."""
    page = built(lambda: build_page(engine))
    # An old gradio takes a picture without buttons for one with its default ones.
    kinds = (gr.Audio, gr.Image) if gr.Image(buttons=[]).buttons == [] else (gr.Audio,)
    shown = [block for block in page.blocks.values() if isinstance(block, kinds)]
    assert len(shown) > 10
    assert [b.label for b in shown if b.buttons is None or "share" in b.buttons] == []
