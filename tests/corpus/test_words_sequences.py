"""Captions of one piece after another tell the order, and each piece truly."""

import numpy as np
import pytest

from musicgen_ldm.corpus.facts import Facts
from musicgen_ldm.corpus.mentions import mentions
from musicgen_ldm.corpus.sequences import Told, write_sequence_captions
from musicgen_ldm.corpus.vocabulary import load_vocabulary
from musicgen_ldm.data.manifest import Tags
from musicgen_ldm.errors import CorpusError

WALTZ = Told(
    Tags(genre="waltz", mood="calm", bpm=90, key="C", mode="major", meter="3/4"),
    Facts(kind="band", lead="violin", backing=("piano",), felt_bpm=80, tempo_word="slow"),
)
TECHNO = Told(
    Tags(genre="techno", mood="dark", bpm=138, key="A", mode="minor", meter="4/4"),
    Facts(
        kind="electronic", lead="synth lead", backing=("909 drum machine",), has_drums=True,
        felt_bpm=138, tempo_word="fast",
    ),
)  # fmt: skip
WALTZ_IS_SECOND = ("after", "preceded", "ends with", "before", "comes in when")


def names_waltz_first(caption):
    """Whether the caption says that the waltz is heard first."""
    position = {}
    for said in mentions(caption)["genres"].items():
        for genre in ("waltz", "techno"):
            if genre in said[1]:
                position[genre] = caption.lower().index(said[0])
    is_reversed = any(word in caption.lower() for word in WALTZ_IS_SECOND)
    if "begins with" in caption:
        is_reversed = False
    return (position["waltz"] < position["techno"]) != is_reversed


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_order_is_told(split):
    rng = np.random.default_rng(0)
    for pieces, expected in (((WALTZ, TECHNO), True), ((TECHNO, WALTZ), False)):
        for caption in write_sequence_captions(*pieces, rng, split=split, count=20):
            assert names_waltz_first(caption) == expected, caption
            assert set(mentions(caption)["moods"]) <= {"calm", "dark"}, caption


def test_solos_and_pieces_without_lead_can_be_told():
    solo = Told(Tags(genre="solo-jazz", mood="sad"), Facts(kind="solo", lead="piano"))
    pad = Told(Tags(genre="ambient", mood="calm"), Facts(kind="electronic", backing=("drone",)))
    captions = write_sequence_captions(solo, pad, np.random.default_rng(1), split="train")
    assert len(set(captions)) == 5


def test_test_set_has_its_own_clauses_and_frames():
    train, held_out = (load_vocabulary().sequences[name] for name in ("train", "held_out"))
    for group in ("clauses", "frames"):
        assert not set(train[group]) & set(held_out[group])


def test_two_equal_pieces_have_no_order():
    bare = Told(Tags(genre="march"), Facts(kind="band"))
    with pytest.raises(CorpusError, match="captions can tell"):
        write_sequence_captions(bare, bare, np.random.default_rng(2), split="train")
