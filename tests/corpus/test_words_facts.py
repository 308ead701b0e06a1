"""Facts are read off the window of the score that becomes audio."""

import numpy as np
import pytest

from musicgen_ldm.corpus.facts import facts_from_json
from musicgen_ldm.corpus.facts import facts_of as facts_of_sound
from musicgen_ldm.corpus.score import Chord, Note, Part, Score


def part(role, instrument, onsets, **hints):
    notes = tuple(Note(float(t), 0.2, 60, 90) for t in onsets)
    return Part(role=role, instrument=instrument, notes=notes, **hints)


def score(parts, **changes):
    fields = {
        "seed": 0, "genre": "rock", "kind": "band", "mood": "calm", "bpm": 120.0,
        "felt_bpm": 60.0, "key": "A", "mode": "minor", "meter": "4/4", "parts": tuple(parts),
        "beats_s": tuple(np.arange(0, 20, 0.5)), "downbeats_s": tuple(np.arange(0, 20, 2.0)),
        "chords": (Chord(0.0, "Am"), Chord(4.0, "F"), Chord(8.0, "C"), Chord(16.0, "G")),
        "sections": (), "patterns": (), "clip_start_s": 5.0, "clip_seconds": 10.0,
    }  # fmt: skip
    return Score(**(fields | changes))


def facts_of(told, audible, centroid_hz=1_000.0):
    return facts_of_sound(told, audible, centroid_hz=centroid_hz)


DRUMS = part("drums", "drum kit", np.arange(9, 20, 0.5))
BASS = part("bass", "electric bass", np.arange(0, 20, 1.0))
LEAD = part("lead", "trumpet", np.arange(0, 20, 1.0), brightness=1.0)


def test_lead_backing_tempo_and_chords_of_the_clip():
    facts = facts_of(score([LEAD, BASS, DRUMS]), [DRUMS, LEAD, BASS])
    assert facts.lead == "trumpet"
    assert facts.backing == ("drum kit", "electric bass")
    assert facts.has_drums
    assert facts.tempo_word == "slow"  # of the felt pulse, though 120 bpm are written
    assert facts.chords == ("F", "C")
    assert facts_from_json(facts.to_json()) == facts


@pytest.mark.parametrize(
    ("onsets", "events"),
    [
        (np.arange(9, 20, 0.5), ("drums enter",)),
        (np.arange(0, 10, 0.5), ("drums stop",)),
        ([*np.arange(0, 8, 0.5), *np.arange(12, 20, 0.5)], ("drums pause",)),
        (np.arange(0, 20, 2.0), ()),  # once a bar is no break
    ],
)
def test_entries_and_breaks_of_the_drums(onsets, events):
    drums = part("drums", "drum kit", onsets)
    assert facts_of(score([BASS, drums]), [BASS, drums]).events == events


def test_percussion_in_the_place_of_drums_is_not_called_drums():
    rolls = part("drums", "orchestral percussion", np.arange(9, 20, 0.5))
    facts = facts_of(score([BASS, rolls]), [BASS, rolls])
    assert not facts.has_drums
    assert not facts.events


def test_inaudible_parts_are_not_told():
    facts = facts_of(score([LEAD, BASS, DRUMS]), [BASS])
    assert facts.lead is None
    assert facts.instruments == ("electric bass",)
    assert not facts.has_drums
    assert not facts.events


def test_density_counts_chords_once_and_brightness_is_the_mean():
    chords = [note for t in range(20) for note in (t, t, t)]
    comp = part("comp", "piano", chords, brightness=-1.0)
    assert facts_of(score([comp]), [comp]).density == "sparse"
    assert facts_of(score([comp]), [comp]).brightness == "dark"
    assert facts_of(score([comp, LEAD]), [comp, LEAD]).brightness is None
    assert facts_of(score([comp]), [comp], centroid_hz=3_000.0).brightness is None
    assert facts_of(score([LEAD]), [LEAD], centroid_hz=3_000.0).brightness == "bright"
    assert facts_of(score([LEAD]), [LEAD]).brightness is None  # meant, but not heard
    busy = part("lead", "violin", np.arange(0, 20, 0.08))
    assert facts_of(score([busy]), [busy]).density == "busy"


def test_pulseless_music_has_no_tempo():
    facts = facts_of(score([BASS], beats_s=(), downbeats_s=()), [BASS])
    assert facts.felt_bpm is None
    assert facts.tempo_word is None


def test_solo_names_its_instrument_and_electricity_is_not_acoustic():
    comp = part("comp", "piano", range(20))
    facts = facts_of(score([comp], kind="solo"), [comp])
    assert facts.lead == "piano"
    assert facts.is_acoustic
    assert not facts_of(score([comp, BASS]), [comp, BASS]).is_acoustic
