"""The typed-in melodies agree with the chords written under them."""

import pytest

from musicgen_ldm.corpus.rhythm import parse_meter
from musicgen_ldm.corpus.themes import Theme, load_themes
from musicgen_ldm.corpus.theory import SCALES, parse_numeral

THEMES = load_themes()


def test_enough_themes_in_several_metres_and_modes():
    assert len({theme.title for theme in THEMES}) >= 40
    assert {theme.meter for theme in THEMES} >= {"2/4", "3/4", "4/4", "6/8"}
    assert {theme.mode for theme in THEMES} >= {"major", "minor", "dorian"}


def share_in_chord(theme: Theme) -> float:
    """Share of the notes on the beat that belong to the chord there."""
    beats = parse_meter(theme.meter).beats
    bars = theme.progression(theme.mode).bars
    on_beat = [note for note in theme.notes if note.beat % 1 < 1e-6]
    inside = 0
    for note in on_beat:
        chords = bars[int(note.beat // beats)]
        place = int(note.beat % beats * len(chords) // beats)
        numeral = next(chord for chord in chords[place::-1] if chord != ".")
        pitch_class = (SCALES[theme.mode][note.degree % 7] + note.shift) % 12
        inside += pitch_class in parse_numeral(numeral, theme.mode, 0).pitch_classes
    return inside / len(on_beat)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.title)
def test_chords_carry_the_melody(theme: Theme):
    assert share_in_chord(theme) > 0.35  # a run of passing notes may be most of a theme


def test_most_notes_on_the_beat_belong_to_the_chord():
    shares = [share_in_chord(theme) for theme in THEMES]
    assert sum(shares) / len(shares) > 0.7
