"""The composer: determinism, truth, contrast pairs and splits."""

import itertools

import pytest

from musicgen_ldm.corpus.compose import compose
from musicgen_ldm.corpus.genre import list_genres
from musicgen_ldm.corpus.instruments import INSTRUMENTS
from musicgen_ldm.corpus.moods import MOODS
from musicgen_ldm.errors import CorpusError

BEAT_TOLERANCE_S = 1e-9


@pytest.fixture(scope="module")
def scores():
    """One piece of every genre for training and one for testing."""
    return [
        compose(seed, genre=name, split=split)
        for seed, name in enumerate(list_genres())
        for split in ("train", "test")
    ]


def test_same_request_gives_the_same_score():
    assert compose(11, genre="rock") == compose(11, genre="rock")
    assert compose(11) == compose(11)


def test_seed_split_and_genre_each_change_the_piece():
    parts = {
        compose(seed, genre=genre, split=split).parts
        for seed, split, genre in itertools.product((1, 2), ("train", "valid"), ("rock", "funk"))
    }
    assert len(parts) == 8


def test_notes_are_sound(scores):
    for score in scores:
        end = score.clip_start_s + score.clip_seconds
        assert any(
            note.start_s < end and note.start_s + note.duration_s > score.clip_start_s
            for part in score.parts
            for note in part.notes
        )
        for part in score.parts:
            instrument = INSTRUMENTS[part.instrument]
            onsets = [note.start_s for note in part.notes]
            assert onsets == sorted(onsets)
            for note in part.notes:
                assert 1 <= note.velocity <= 127
                assert note.duration_s > 0
                assert instrument.low <= note.pitch <= instrument.high


def test_monophonic_instruments_play_one_note_at_a_time(scores):
    for score in scores:
        for part in score.parts:
            if INSTRUMENTS[part.instrument].is_monophonic:
                for note, following in itertools.pairwise(part.notes):
                    assert note.start_s + note.duration_s <= following.start_s + 1e-9


def test_beats_are_evenly_spaced_at_the_stated_tempo(scores):
    for score in scores:
        gaps = [b - a for a, b in itertools.pairwise(score.beats_s)]
        if score.kind != "solo":  # soloists breathe
            assert gaps == pytest.approx([60 / score.bpm] * len(gaps))
        assert set(score.downbeats_s) <= set(score.beats_s)
        assert min(gaps, default=1.0) > 0


def test_genres_without_pulse_have_no_beats():
    assert compose(3, genre="ambient").beats_s == ()


def test_clip_lies_in_the_piece_and_starts_anywhere_in_the_bar():
    phases = []
    for seed in range(40):
        score = compose(seed, genre="house")
        assert score.clip_start_s >= 0
        assert score.clip_start_s + score.clip_seconds <= score.beats_s[-1] + 60 / score.bpm + 1e-9
        bar = 4 * 60 / score.bpm
        phases.append(score.clip_start_s % bar / bar)
    assert min(phases) < 0.2
    assert max(phases) > 0.8


def test_clip_length_is_honoured():
    assert compose(1, genre="waltz", clip_seconds=30.0).clip_seconds == 30.0
    with pytest.raises(CorpusError, match="clip_seconds is 0, must be 1 to 120"):
        compose(1, clip_seconds=0)


def test_sections_and_chords_cover_the_piece(scores):
    for score in scores:
        assert score.sections[0].start_s == 0
        assert score.chords[0].start_s == pytest.approx(0, abs=0.1)
        starts = [chord.start_s for chord in score.chords]
        assert starts == sorted(set(starts))


def test_test_split_shares_no_material_with_training(scores):
    train = {name for score in scores[::2] for name in score.patterns}
    test = {name for score in scores[1::2] for name in score.patterns}
    assert train
    assert test
    assert not train & test


def test_tempo_override_changes_the_tempo_alone():
    slow = compose(8, genre="pop", overrides={"bpm": 80})
    fast = compose(8, genre="pop", overrides={"bpm": 160})
    assert (slow.bpm, fast.bpm) == (80, 160)
    assert [(p.role, p.instrument) for p in slow.parts] == [
        (p.role, p.instrument) for p in fast.parts
    ]
    count = min(len(slow.chords), len(fast.chords))
    assert [c.symbol for c in slow.chords[:count]] == [c.symbol for c in fast.chords[:count]]
    assert (slow.key, slow.mode, slow.mood) == (fast.key, fast.mode, fast.mood)
    assert slow.clip_start_s * 80 == pytest.approx(fast.clip_start_s * 160)
    for score in (slow, fast):
        assert score.clip_start_s + score.clip_seconds <= score.beats_s[-1] + 60 / score.bpm


def test_instrument_override_changes_one_part():
    base = compose(4, genre="bossa-nova")
    other = compose(4, genre="bossa-nova", overrides={"instrument": "xylophone"})
    changed = [a for a, b in zip(base.parts, other.parts, strict=True) if a != b]
    assert len(changed) == 1
    assert "xylophone" in {part.instrument for part in other.parts}


@pytest.mark.parametrize("genre", ["disco", "house", "jazz-swing", "samba"])
def test_drums_override_leaves_every_other_note_alone(genre):
    base = compose(6, genre=genre)
    without = compose(6, genre=genre, overrides={"drums": False})
    silent = {"drums", "percussion", "fx"}
    assert not silent & {part.role for part in without.parts}
    assert tuple(part for part in base.parts if part.role not in silent) == without.parts
    assert base.sections == without.sections
    assert base.clip_start_s == without.clip_start_s


def test_drums_can_be_switched_on():
    for seed in range(5):
        score = compose(seed, genre="piano-ballad", overrides={"drums": True, "mood": "calm"})
        assert "drums" in {part.role for part in score.parts}


def test_mode_override_keeps_tonic_tempo_and_players():
    major = compose(9, genre="waltz", overrides={"mode": "major"})
    minor = compose(9, genre="waltz", overrides={"mode": "minor"})
    assert major.bpm == minor.bpm
    assert [p.instrument for p in major.parts] == [p.instrument for p in minor.parts]
    assert (major.mode, minor.mode) == ("major", "minor")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"overrides": {"colour": "red"}}, "override 'colour' is not known"),
        ({"overrides": {"bpm": 900}}, "bpm=900 is not a number within 30 to 260"),
        ({"overrides": {"instrument": "808 drum machine"}}, "drums cannot play a line"),
        ({"overrides": {"instrument": "theremin"}}, "no instrument is called 'theremin'"),
        ({"overrides": {"mood": "hangry"}}, "no mood is called 'hangry'"),
        ({"overrides": {"drums": 1}}, "must be True or False"),
        ({"overrides": {"key": "H"}}, "'H' is not a key"),
        ({"genre": "waltz", "overrides": {"mode": "phrygian"}}, "waltz has no mode 'phrygian'"),
        ({"genre": "gypsy-jazz", "overrides": {"drums": True}}, "no drums to switch on"),
        ({"genre": "yodel"}, "no genre is called 'yodel'"),
        ({"split": "dev"}, "split is 'dev'"),
    ],
)
def test_impossible_requests_are_refused(arguments, message):
    with pytest.raises(CorpusError, match=message):
        compose(0, **arguments)


def mean_over_seeds(mood, measure):
    values = [measure(compose(seed, genre="folk", overrides={"mood": mood})) for seed in range(12)]
    return sum(values) / len(values)


def onsets_per_second(score):
    end = score.beats_s[-1]
    return sum(len(part.notes) for part in score.parts) / end


def test_moods_drive_what_they_promise():
    def velocity(score):
        notes = [note.velocity for part in score.parts for note in part.notes]
        return sum(notes) / len(notes)

    def lead_pitch(score):
        notes = [n.pitch for part in score.parts if part.role == "lead" for n in part.notes]
        return sum(notes) / max(1, len(notes))

    assert mean_over_seeds("energetic", onsets_per_second) > 1.7 * mean_over_seeds(
        "calm", onsets_per_second
    )
    assert mean_over_seeds("epic", velocity) > mean_over_seeds("calm", velocity) + 15
    assert mean_over_seeds("playful", lead_pitch) > mean_over_seeds("dark", lead_pitch) + 5
    assert len(MOODS) == 12
