"""Every value a user can get wrong, with the sentence they see."""

import math

import pytest

from musicgen_ldm.config.generation import Blend, GenerateRequest, SamplingConfig
from musicgen_ldm.errors import RequestError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prompt": "  "}, "prompt is empty"),
        ({"prompt": "a" * 2001}, "2001 characters; at most 2000"),
        ({"negative_prompt": "a" * 2001}, "negative prompt has 2001"),
        ({"seconds": -1.0}, r"seconds is -1.* from 0\.5 to 600"),
        ({"seconds": math.nan}, "seconds is nan"),
        ({"seconds": 1e9}, "seconds is 1000000000"),
        ({"takes": 0}, "takes is 0; give a number from 1 to 64"),
        ({"seed": -1}, "seed is -1"),
        ({"bpm": 1000.0}, "bpm is 1000"),
        ({"bars": 4}, "bars needs bpm"),
        ({"bars": 4, "bpm": 120.0, "seconds": 3.0}, "both set the length"),
        ({"strength": 0.5}, "need a file to work on"),
        ({"repaint": ((1.0, 2.0),)}, "need a file to work on"),
        ({"init": "a.wav", "strength": 1.5}, "strength is 1.5"),
        ({"init": "a.wav", "repaint": ((2.0, 1.0),)}, "START-END"),
        ({"init": "a.wav", "repaint": ((1.0, 2.0),), "strength": 0.5}, "leave strength out"),
        ({"init": "a.wav", "continue_file": "b.wav"}, "exclude each other"),
        ({"init": "a.wav", "seconds": 3.0}, "length follows from init"),
        ({"init": "a.wav", "repaint": ((1.0, 2.0),), "loop": True}, "render it alone"),
        ({"sampling": {"stepz": 3}}, "unknown sampling option stepz; known: sampler"),
        ({"sampling": {"sampler": "magic"}}, "choose one of ddim, dpm"),
        ({"sampling": {"guidance": math.nan}}, "guidance is nan"),
        ({"sampling": {"steps": 0}}, "steps is 0"),
        ({"sampling": {"guidance_interval": (0.6, 0.2)}}, "two rising numbers"),
        ({"sampling": {"sampler": "euler", "eta": 0.5}}, "needs the ddim sampler"),
    ],
)
def test_bad_requests(values: dict, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        GenerateRequest(**{"prompt": "piano", **values})


def test_bad_blends() -> None:
    with pytest.raises(RequestError, match="either a text or an audio"):
        Blend(weight=0.5)
    with pytest.raises(RequestError, match="above 0, at most 1"):
        Blend(text="a", weight=0.0)
    with pytest.raises(RequestError, match="add up to more than 1"):
        GenerateRequest(
            prompt="a", blends=(Blend(text="b", weight=0.6), Blend(text="c", weight=0.6))
        )


def test_bars_fix_the_length() -> None:
    assert GenerateRequest(prompt="a", bars=4, bpm=120.0).length_s == 8.0


def test_tempo_and_key_join_the_text_once() -> None:
    request = GenerateRequest(prompt="slow piano.", bpm=92.0, key="A minor")
    assert request.conditioning_text == "slow piano, 92 bpm, in A minor"
    said = GenerateRequest(prompt="slow piano at 92 BPM in a minor", bpm=92.0, key="A minor")
    assert said.conditioning_text == said.prompt


def test_json_round_trip() -> None:
    import json

    request = GenerateRequest(
        prompt="a",
        init="x.wav",
        repaint=((1.0, 2.0),),
        blends=(Blend(text="b", weight=0.25),),
        sampling={"guidance_interval": (0.1, 0.9)},
    )
    assert GenerateRequest.from_json(json.loads(json.dumps(request.to_json()))) == request
    with pytest.raises(RequestError, match="unknown request field promt"):
        GenerateRequest.from_json({"promt": "a"})


def test_defaults_are_the_published_ones() -> None:
    config = SamplingConfig()
    assert (config.sampler, config.steps, config.guidance) == ("ddim", 200, 2.0)
