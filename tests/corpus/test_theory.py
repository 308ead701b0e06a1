"""Chords, voice leading, step strings and themes."""

import itertools

import pytest

from musicgen_ldm.corpus.harmony import lay_out
from musicgen_ldm.corpus.patterns import make_pattern
from musicgen_ldm.corpus.rhythm import Clock, Swing, parse_meter
from musicgen_ldm.corpus.themes import load_themes, parse_melody, write_theme
from musicgen_ldm.corpus.theory import (
    chord_scale,
    key_name,
    parse_numeral,
    parse_progression,
)
from musicgen_ldm.corpus.voicing import STYLES, lead_voices
from musicgen_ldm.errors import CorpusError

C, A = 0, 9
FOUR = parse_meter("4/4")


@pytest.mark.parametrize(
    ("numeral", "mode", "tonic", "symbol"),
    [
        ("I", "major", C, "C"),
        ("ii7", "major", C, "Dm7"),
        ("V7/ii", "major", C, "A7"),
        ("ii7/IV", "major", C, "Gm7"),
        ("bVII", "major", C, "Bb"),
        ("VII", "minor", A, "G"),
        ("bVII", "minor", A, "G"),
        ("iiø7", "minor", A, "Bm7b5"),
        ("vii°", "major", C, "Bdim"),
        ("I/3", "major", C, "C/E"),
        ("V7/7", "major", C, "G7/F"),
        ("I+", "major", C, "Caug"),
        ("imaj7", "minor", A, "Ammaj7"),
        ("II", "phrygian", 4, "F"),
        ("#ivø7", "major", C, "Gbm7b5"),
    ],
)
def test_numerals(numeral, mode, tonic, symbol):
    assert parse_numeral(numeral, mode, tonic).symbol(flats=True) == symbol


@pytest.mark.parametrize("numeral", ["", "VIII", "iiv", "Iv", "I/4", "V/7", "imaj9"])
def test_unreadable_numerals(numeral):
    with pytest.raises(CorpusError):
        parse_numeral(numeral, "major", C)


def test_scale_bends_to_the_chord():
    dominant = parse_numeral("V7", "minor", A)
    assert set(chord_scale(dominant, "minor", A)) == {9, 11, 0, 2, 4, 5, 8}  # G sharp, no G
    subtonic = parse_numeral("bVII", "major", C)
    assert 10 in chord_scale(subtonic, "major", C)
    assert 11 not in chord_scale(subtonic, "major", C)


def test_key_names():
    assert key_name(1, "major") == "Db"
    assert key_name(1, "minor") == "C#"
    assert key_name(6, "minor") == "F#"


def test_voice_leading_is_smooth_and_in_range():
    chords = [parse_numeral(n, "major", C) for n in ("Imaj7", "vi7", "ii7", "V7", "Imaj7")]
    before: tuple[int, ...] = ()
    for chord in chords:
        notes = lead_voices(chord, "close", 48, 84, 62, before)
        assert {note % 12 for note in notes} == set(chord.pitch_classes)
        if before:
            assert max(abs(a - b) for a, b in zip(notes, before, strict=True)) <= 4
        before = notes


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("numeral", ["I", "ii7", "V13", "I5", "IVmaj9", "vii°"])
def test_every_style_voices_every_chord(style, numeral):
    chord = parse_numeral(numeral, "major", C)
    notes = lead_voices(chord, style, 45, 81, 60, ())
    assert list(notes) == sorted(set(notes))
    assert notes[0] >= 45
    assert notes[-1] <= 81


def test_step_strings_measure_beats():
    pattern = make_pattern("comp", {"steps": "x__-x-x_ --x_----"}, FOUR, 2)
    assert pattern.bars == 2
    assert [(h.beat, h.length) for h in pattern.steps] == [(0, 1.5), (2, 0.5), (3, 1), (5, 1)]
    assert [h.beat for h in pattern.bar_hits("steps", 3, 4)] == [1]


def test_coarse_and_triplet_strings_fill_one_bar():
    eighths = make_pattern("lead", {"steps": "xxxxxxxx"}, FOUR, 4)
    triplets = make_pattern("lead", {"steps": "xxxxxxxxxxxx"}, FOUR, 4)
    assert eighths.bars == triplets.bars == 1
    assert eighths.steps[1].beat == 0.5
    assert triplets.steps[1].beat == pytest.approx(1 / 3)


def test_equal_content_has_equal_digest():
    one = make_pattern("bass", {"steps": "1___ 5___"}, FOUR, 2)
    two = make_pattern("bass", {"steps": "1___|5___"}, FOUR, 2)
    other = make_pattern("bass", {"steps": "1___ 5__1"}, FOUR, 2)
    assert one.digest == two.digest != other.digest


def test_swing_delays_off_beats_and_keeps_beats():
    straight, swung = Clock(120), Clock(120, Swing(1.0, 2 / 3))
    for beat in range(8):
        assert swung.seconds(beat) == pytest.approx(straight.seconds(beat))
    assert swung.seconds(0.5) == pytest.approx(2 / 3 * 0.5)


def test_rubato_never_runs_backwards():
    clock = Clock(90, rubato=0.06, rubato_beats=8)
    times = [clock.seconds(step / 16) for step in range(16 * 32)]
    assert all(b > a for a, b in itertools.pairwise(times))


def test_harmony_merges_repeats_and_finds_chords():
    progression = parse_progression("I | I | IV . V .", "major", 4)
    harmony = lay_out([(progression, bar) for bar in range(6)], FOUR, C, "major")
    assert [span.start for span in harmony.spans] == [0, 8, 10, 12, 20, 22]
    assert harmony.at(9.5).chord.root == 5
    assert harmony.following(harmony.spans[-1]) == harmony.spans[0]
    # An off-beat chord held over the change already belongs to the next harmony.
    assert harmony.meant(7.5, 1.0).chord.root == 5
    assert harmony.meant(7.5, 0.5).chord.root == 0


def test_themes_are_whole_and_sourced():
    themes = load_themes()
    assert len({theme.title for theme in themes}) >= 40
    for theme in themes:
        assert "raditional" in theme.source or "died" in theme.source
        for mode in ("major", "minor", "dorian", "mixolydian", "phrygian"):
            assert len(theme.progression(mode).bars) == theme.bars


def test_ode_to_joy_in_c():
    ode = next(theme for theme in load_themes() if theme.title == "Ode to Joy")
    events = write_theme(ode, [0, 1], C, "major", 70)
    assert [event.pitch % 12 for event in events] == [4, 4, 5, 7, 7, 5, 4, 2]
    assert [event.beat for event in events] == list(range(8))


def test_mistyped_melodies_are_refused():
    with pytest.raises(CorpusError, match=r"bar 2 \(1 2\) is \+2 beats off"):
        parse_melody("1 2 3 4 | 1 2", FOUR, 1.0)
    with pytest.raises(CorpusError, match="'x' is not a note"):
        parse_melody("1 x 3 4", FOUR, 1.0)
