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
        ({"takes": 0}, "takes is 0; give a whole number from 1 to 64"),
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
        ({"key": 5}, "the key is 5; give a text"),
        ({"prompt": "caf\udce9"}, "the prompt holds bytes that are no text"),
        ({"seconds": "ten"}, "seconds is ten; give a number from"),
        ({"seed": 1.5}, "seed is 1.5; give a whole number"),
        ({"takes": True}, "takes is True; give a whole number"),
        ({"init": 5}, "init is 5; give the path"),
        ({"init": ""}, "init is ''; give the path"),
        ({"loop": "yes"}, "loop is 'yes'; give true or false"),
        ({"continue_file": "a.wav", "continue_side": "left"}, "choose after or before"),
        ({"init": "a.wav", "repaint": ((1.0, math.inf),)}, "START-END"),
    ],
)
def test_bad_requests(values: dict, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        GenerateRequest(**{"prompt": "piano", **values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prompt": None}, "the prompt is None; give a text"),
        ({"bars": 1.5, "bpm": 100}, "bars is 1.5; give a whole number"),
        ({"blends": 5}, "blends are mappings"),
        ({"blends": [{"txt": "a", "weight": 0.3}]}, "blends are mappings"),
        ({"blends": [{"text": "a", "weight": "x"}]}, "blend weight is x"),
        ({"blends": [{"text": " ", "weight": 0.3}]}, "text of a blend is empty"),
        ({"init": "a.wav", "repaint": "ab"}, "START-END"),
        ({"init": "a.wav", "repaint": [[1]]}, "START-END"),
        ({"init": "a.wav", "repaint": [["x", "y"]]}, "START-END"),
        ({"sampling": 5}, "sampling a mapping"),
        ({"sampling": {"steps": 2.5}}, "steps is 2.5; give a whole number"),
        ({"sampling": {"guidance_interval": [0.1]}}, "two rising numbers"),
        ({"sampling": {"bridge": 3}}, "the bridge is 3; give a text"),
    ],
)
def test_bad_values_of_a_prompts_file(values: dict, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        GenerateRequest.from_json({"prompt": "piano", **values})


def test_weights_may_add_up_to_one_in_any_order() -> None:
    weights = (0.05, 0.55, 0.3, 0.1)  # added one by one they are 1.0000000000000002
    GenerateRequest(prompt="a", blends=tuple(Blend(text="b", weight=w) for w in weights))


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
    word = GenerateRequest(prompt="high-bpm techno", bpm=128.0)
    assert word.conditioning_text == "high-bpm techno, 128 bpm"
    bare = GenerateRequest(prompt="a slow song", key="G")
    assert bare.conditioning_text == "a slow song, in G"


@pytest.mark.parametrize(
    ("prompt", "bpm", "key"),
    [
        ("driving techno, 130 bpm, in F# minor", 130.0, "F# minor"),
        ("a waltz in b flat major at 92.5-BPM", 92.5, "b flat major"),
        ("slow piano in a minor key", None, None),
        ("from 90 bpm to 120 bpm, first D minor, then G major", None, None),
        ("fast, in G", None, None),
    ],
)
def test_tempo_and_key_of_the_prompt_are_asked_for(prompt, bpm, key) -> None:
    request = GenerateRequest(prompt=prompt)
    assert (request.asked_bpm, request.asked_key) == (bpm, key)
    assert request.conditioning_text == prompt
    given = GenerateRequest(prompt=prompt, key="C minor", bpm=bpm)
    assert (given.asked_bpm, given.asked_key) == (bpm, "C minor")


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
