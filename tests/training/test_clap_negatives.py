"""False captions are false in one attribute and read like the true one."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_music import write_tiny_music

from musicgen_ldm.data.clap_examples import TagVectors
from musicgen_ldm.data.hard_negatives import NearMisses, replace_word
from musicgen_ldm.data.manifest import Tags, read_manifest


@pytest.fixture
def clip(tmp_path):
    clip = next(read_manifest(write_tiny_music(tmp_path, train=1, valid=0)))
    tags = Tags(genre="bossa-nova", instruments=("piano", "flute"), bpm=120.0)
    return replace(clip, tags=tags, captions=("A slow bossa nova with a piano, 120 bpm",))


MISSES = NearMisses(("bossa nova", "techno"), ("flute", "oboe", "piano", "violin"))


def test_each_false_caption_changes_one_attribute(clip):
    rng = np.random.default_rng(0)
    found = {text for _ in range(40) for text in MISSES.swapped(clip.captions[0], clip, 3, rng)}
    assert "A slow techno with a piano, 120 bpm" in found
    assert "A slow bossa nova with an oboe, 120 bpm" in found
    assert "A fast bossa nova with a piano, 120 bpm" in found
    assert "A slow bossa nova with a piano, 168 bpm" in found
    assert not any("flute" in text for text in found)  # it sounds, so it would be no lie
    assert clip.captions[0] not in found


def test_a_caption_that_names_nothing_has_no_near_misses(clip):
    assert MISSES.swapped("Music for a film", clip, 3, np.random.default_rng(0)) == []


def test_no_false_caption_comes_twice(clip):
    found = MISSES.swapped(clip.captions[0], clip, 6, np.random.default_rng(1))
    assert len(found) == len(set(found)) == 6


def test_the_manifests_own_pairs_are_preferred(clip):
    pairs = [{"caption": f"false {i}", "positive": "true"} for i in range(3)]
    own = replace(clip, extra={"hard_negatives": pairs})
    draws = [MISSES.draw(own, 2, np.random.default_rng(seed)) for seed in range(30)]
    assert {caption for caption, _ in draws} == {"true", clip.captions[0]}
    assert all(len(set(false)) == 2 for _, false in draws)
    assert {text for _, false in draws for text in false} == {"false 0", "false 1", "false 2"}


@pytest.mark.parametrize(
    ("caption", "word", "substitute", "expected"),
    [
        ("a piano and a Piano", "piano", "organ", "an organ and an organ"),
        ("Piano ballad", "piano", "organ", "Organ ballad"),
        ("An organ", "organ", "piano", "A piano"),
        ("pianos", "piano", "organ", "pianos"),
    ],
)
def test_articles_and_capitals_agree(caption, word, substitute, expected):
    assert replace_word(caption, word, substitute) == expected


def test_tag_vectors_say_how_much_two_clips_share(clip):
    same = replace(clip, id="same")
    half = replace(clip, tags=replace(clip.tags, genre="techno"))
    other = replace(clip, tags=Tags(genre="waltz", instruments=("oboe",)), extra={})
    vectors = TagVectors([clip, same, half, other])

    def cosine(first, second):
        a, b = vectors[first], vectors[second]
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert cosine(clip, same) == pytest.approx(1)
    assert cosine(clip, half) == pytest.approx(2 / 3, abs=1e-3)  # tempo and instruments agree
    assert cosine(clip, other) == pytest.approx(0, abs=1e-3)
