"""Captions say only what is true, read as English, and keep the test set's words apart."""

import re

import numpy as np
import pytest

from musicgen_ldm.config.tempo_words import tempo_word
from musicgen_ldm.corpus.facts import Facts, facts_from_json
from musicgen_ldm.corpus.genre import list_genres
from musicgen_ldm.corpus.instruments import INSTRUMENTS, SOLO_INSTRUMENTS
from musicgen_ldm.corpus.mentions import mentions
from musicgen_ldm.corpus.moods import MOODS
from musicgen_ldm.corpus.prompts import prompt_set
from musicgen_ldm.corpus.sentences import polish, slots_of
from musicgen_ldm.corpus.vocabulary import bare, load_vocabulary
from musicgen_ldm.corpus.words import hard_negatives, write_captions
from musicgen_ldm.data.manifest import Clip, Tags
from musicgen_ldm.errors import CorpusError

VOCABULARY = load_vocabulary()
LEADS = [row.name for row in INSTRUMENTS.values() if "lead" in row.roles]
OTHERS = [row.name for row in INSTRUMENTS.values() if row.family != "drums"]
KITS = [row.name for row in INSTRUMENTS.values() if row.family == "drums"]
MODES = ("major", "minor", "dorian", "mixolydian", "phrygian", "none")
TONICS = ("C", "Db", "Eb", "F#", "G", "Bb")


def one(rng, options):
    return options[int(rng.integers(len(options)))]


def invented_clip(rng):
    """Tags and facts that could be true of some clip."""
    kind = one(rng, ("band", "electronic", "orchestral", "solo"))
    bpm = float(rng.integers(50, 190))
    drums = kind != "solo" and rng.random() < 0.6
    lead = one(rng, SOLO_INSTRUMENTS) if kind == "solo" else one(rng, [*LEADS, None])
    backing = [] if kind == "solo" else [one(rng, OTHERS) for _ in range(rng.integers(1, 5))]
    backing = [name for name in dict.fromkeys(backing + [one(rng, KITS)] * drums) if name != lead]
    facts = Facts(
        kind=kind,
        lead=lead,
        backing=tuple(backing),
        has_drums=drums,
        felt_bpm=bpm,
        tempo_word=tempo_word(bpm),
        density=one(rng, ("sparse", "busy", None)),
        brightness=one(rng, ("dark", "bright", None)),
        space=one(rng, ("dry", "wide", None)),
        is_swung=bool(rng.random() < 0.3),
        events=("drums enter",) if drums else (),
        chords=one(rng, (("Am", "F", "C"), ())),
    )
    tags = Tags(
        genre=one(rng, list(VOCABULARY.genres)),
        mood=one(rng, list(MOODS)),
        instruments=facts.instruments,
        bpm=bpm,
        key=one(rng, TONICS),
        mode=one(rng, MODES),
        meter=one(rng, ("4/4", "3/4", "6/8")),
    )
    return tags, facts


def assert_true(caption, tags, facts):
    said = mentions(caption)
    for phrase, names in said["genres"].items():
        assert tags.genre in names, (phrase, caption)
    for phrase, names in said["instruments"].items():
        assert set(names) & set(facts.instruments), (phrase, caption)
    assert set(said["moods"]) <= {tags.mood}, caption
    assert not said["uses"] or tags.mood in said["uses"], caption
    assert set(said["events"]) <= set(facts.events), caption
    assert said["drums"] in (None, facts.has_drums), caption
    assert said["bpm"] in (None, tags.bpm), caption
    assert said["key"] in (None, (tags.key, tags.mode)), caption
    assert said["meter"] in (None, tags.meter), caption
    assert said["tempo"] in (None, facts.tempo_word), caption
    assert said["density"] in (None, facts.density), caption
    assert said["brightness"] in (None, facts.brightness), caption
    assert said["space"] in (None, facts.space), caption
    assert facts.is_swung or said["swing"] is None, caption
    assert said["solo"] is False or facts.kind == "solo", caption
    assert said["sound"] != "electronic" or facts.kind == "electronic", caption
    assert said["sound"] != "acoustic" or facts.is_acoustic, caption


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_every_word_is_true(split):
    rng = np.random.default_rng(len(split))
    for _ in range(120):
        tags, facts = invented_clip(rng)
        for caption in write_captions(tags, facts, rng, split=split):
            assert_true(caption, tags, facts)
            assert sum(said not in (None, False, (), {}) for said in mentions(caption).values()) > 1


def test_captions_read_as_english():
    rng = np.random.default_rng(1)
    for _ in range(150):
        for caption in write_captions(*invented_clip(rng), rng, split="train"):
            assert not re.search(r"\b(\w+) \1\b", caption, re.IGNORECASE), caption
            assert not re.search(r"\b[Aa] [aeio]|\b[Aa]n [bcdfgjkpqtvwyz]", caption), caption
            assert not re.search(r"[{}\[\]()]|  | [,.;]|,,|None", caption), caption
            assert caption[-1] not in ".?" or caption[0].isupper() or caption[0].isdigit()


@pytest.mark.parametrize(
    ("split", "own"), [("train", "train"), ("valid", "train"), ("test", "held_out")]
)
def test_five_distinct_captions_of_several_registers(split, own):
    rng = np.random.default_rng(2)
    captions = write_captions(*invented_clip(rng), rng, split=split)
    assert len(set(captions)) == 5
    assert len(VOCABULARY.templates[own]) == 12


def test_same_generator_writes_the_same():
    clip = invented_clip(np.random.default_rng(3))
    first, again = (write_captions(*clip, np.random.default_rng(4), split="train") for _ in "ab")
    assert first == again


def test_at_least_thirty_training_templates_and_none_shared_with_the_test_set():
    train, held_out = (
        {line for lines in VOCABULARY.templates[split].values() for line in lines}
        for split in ("train", "held_out")
    )
    ensemble = [
        line
        for register, lines in VOCABULARY.templates["train"].items()
        if not register.startswith("solo_")
        for line in lines
    ]
    assert len(ensemble) >= 30
    assert not train & held_out


def test_held_out_words_are_no_part_of_training_words():
    groups = [
        *VOCABULARY.instruments.values(),
        *VOCABULARY.moods.values(),
        *VOCABULARY.uses.values(),
        *(words.style for words in VOCABULARY.genres.values()),
        *(words.piece for words in VOCABULARY.genres.values()),
        *(phrases for values in VOCABULARY.traits.values() for phrases in values.values()),
    ]
    spoken = {bare(phrase).lower() for group in groups for phrase in group.say}
    kept = {bare(phrase).lower() for group in groups for phrase in group.held_out}
    assert not spoken & kept
    spoken |= {line for lines in VOCABULARY.templates["train"].values() for line in lines}
    for phrase in kept:
        inside = re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)
        assert not [said for said in spoken if inside.search(said)], phrase


def test_words_cover_every_instrument_and_mood():
    assert set(VOCABULARY.instruments) == set(INSTRUMENTS)
    assert set(VOCABULARY.moods) == set(MOODS)
    assert set(VOCABULARY.genres) <= set(list_genres())
    slots = {slot for book in VOCABULARY.templates.values() for lines in book.values()
             for line in lines for slot in slots_of(line)}  # fmt: skip
    assert {"genre", "mood", "tempo", "bpm", "key", "a_lead", "band", "drums", "use"} <= slots


def test_negatives_lie_in_one_attribute_of_the_same_sentence():
    rng = np.random.default_rng(6)
    changed = set()
    for _ in range(30):
        tags, facts = invented_clip(rng)
        for negative in hard_negatives(tags, facts, rng):
            assert_true(negative.positive, tags, facts)
            with pytest.raises(AssertionError):
                assert_true(negative.caption, tags, facts)
            changed.add(negative.changed)
    assert changed == {"instrument", "tempo", "genre", "drums", "mood", "key"}


@pytest.mark.parametrize(
    ("caption", "kind", "value"),
    [
        ("drum and bass at 174 BPM", "instruments", {}),
        ("some house in F sharp minor", "key", ("F#", "minor")),
        ("a saxophone", "instruments",
         {"saxophone": ("soprano saxophone", "alto saxophone", "tenor saxophone")}),
        ("built on the chords E, A and B", "key", None),
        ("dark ambient, calm", "moods", ("calm",)),
        ("a waltz in 3/4", "meter", "3/4"),
        ("techno without drums", "drums", False),
        ("jazz with brushed drums", "drums", True),
        ("violins only", "solo", True),
        ("violins only", "instruments", {"violins": ("violin",)}),
    ],
)  # fmt: skip
def test_mentions_read_what_is_named(caption, kind, value):
    assert mentions(caption)[kind] == value


@pytest.mark.parametrize(
    ("draft", "polished"),
    [
        ("a energetic techno track", "an energetic techno track"),
        ("a 808 beat and a 909 beat", "an 808 beat and a 909 beat"),
        ("a R&B track, a UK garage track", "an R&B track, a UK garage track"),
        ("Chords: E, A and B in A major.", "Chords: E, A and B in A major."),
        ("a violin plays . it is sad.", "A violin plays. It is sad."),
        ("an slow piece", "a slow piece"),
    ],
)
def test_polish_puts_articles_and_capitals_right(draft, polished):
    assert polish(draft) == polished


@pytest.mark.parametrize(
    ("bpm", "word"),
    [(None, None), (60, "slow"), (90, None), (110, "medium"), (126, None), (150, "fast")],
)
def test_tempo_words_leave_gaps_where_listeners_differ(bpm, word):
    assert tempo_word(bpm) == word


def clip_of(number, tags, facts):
    return Clip(
        id=f"clip-{number}", path="x.flac", sha256="", start_s=0, duration_s=10, sample_rate=16000,
        captions=(), tags=tags, beats_s=(), downbeats_s=(), split="test", licence="CC0-1.0",
        source="corpus", attribution="", extra={"facts": facts.to_json()},
    )  # fmt: skip


def test_prompts_differ_and_ask_only_what_they_say():
    rng = np.random.default_rng(7)
    clips = [clip_of(number, *invented_clip(rng)) for number in range(20)]
    by_id = {clip.id: clip for clip in clips}
    prompts = prompt_set(clips, 60, rng)
    assert len({prompt["prompt"] for prompt in prompts}) == 60
    assert len({prompt["id"] for prompt in prompts}) == 60
    for prompt in prompts:
        clip, asked = by_id[prompt["clip"]], prompt["asked"]
        facts = facts_from_json(clip.extra["facts"])
        assert asked["genre"] in (None, clip.tags.genre)
        assert asked["lead"] in (None, facts.lead)
        assert set(asked["instruments"] or ()) <= set(clip.tags.instruments)
        assert asked["drums"] in (None, facts.has_drums)
        assert asked["bpm"] in (None, clip.tags.bpm)
        assert asked["tempo_word"] in (None, facts.tempo_word)
    for kind in ("genre", "lead", "instruments", "drums", "solo", "tempo_word", "bpm", "key"):
        assert any(prompt["asked"][kind] is not None for prompt in prompts), kind


def test_wrong_input_is_refused():
    rng = np.random.default_rng(8)
    tags, facts = invented_clip(rng)
    with pytest.raises(CorpusError, match="split is 'dev', must be one of"):
        write_captions(tags, facts, rng, split="dev")
    with pytest.raises(CorpusError, match="captions can be written about"):
        write_captions(Tags(), Facts(kind="solo"), rng, split="train")
    with pytest.raises(CorpusError, match="no clips to write prompts about"):
        prompt_set([], 3, rng)
    with pytest.raises(CorpusError, match="unknown field"):
        facts_from_json({"kind": "solo", "tuning": 1})
