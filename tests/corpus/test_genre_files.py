"""Genre files: the built-in library and what a musician gets told about mistakes."""

import pytest

from musicgen_ldm.corpus.compose import compose
from musicgen_ldm.corpus.genre import KINDS, list_genres, load_genre
from musicgen_ldm.corpus.instruments import SOLO_INSTRUMENTS
from musicgen_ldm.corpus.splits import SHARED_KINDS, patterns_of, progressions_of
from musicgen_ldm.errors import CorpusError

GOOD = """\
title: test beat
kind: band
tempo: [100, 120]
modes: {major: 1}
moods: [happy]
instruments:
  drums: {drum kit: 1}
  bass: {electric bass: 1}
  lead: {flute: 1}
progressions:
  major:
    - "I | V | vi | IV"
    - "I | IV | V | ii7/V V7/V"
drums:
  - {kick: "x---x---x---x---", snare: "----x-------x---"}
  - {kick: "x-x-----x-x-----", hat: "x-x-x-x-x-x-x-x-"}
fills:
  - {snare: "--------xxxxxxxx"}
  - {tom1: "xxxxxxxxxxxx----"}
bass:
  - "1___5___"
  - "1_1_5_a_"
lead:
  - "x_x_x___"
  - "x___x_x_"
"""


def write(tmp_path, text):
    path = tmp_path / "test-beat.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_musicians_own_genre_plays(tmp_path):
    path = write(tmp_path, GOOD)
    score = compose(0, genre=str(path))
    assert score.genre == "test-beat"
    assert {part.role for part in score.parts} <= {"drums", "bass", "lead"}
    train = {p.digest for p in patterns_of(load_genre(path), "bass", "train")}
    test = {p.digest for p in patterns_of(load_genre(path), "bass", "test")}
    assert train
    assert test
    assert not train & test


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("kind: band", "kind: orchestra", 2, "'orchestra' is not one of band"),
        ("tempo: [100, 120]", "tempo: [120, 100]", 3, "runs backwards"),
        ("tempo: [100, 120]", "tempo: [100]", 3, "1 entries, at least 2"),
        ("tempo: [100, 120]", "tempo: [100, fast]", 3, "expected a number, got 'fast'"),
        ("tempo: [100, 120]", "tempi: [100, 120]", 1, "`tempo` is missing"),
        ("moods: [happy]", "mood: [happy]\nmoods: [happy]", 5, "`mood` is not known here"),
        ("moods: [happy]", "moods: [merry]", 5, "'merry' is not one of happy"),
        ("moods: [happy]", "moods: []", 1, "`moods` names no mood"),
        ("modes: {major: 1}", "modes: {}", 4, "names no mode"),
        ("modes: {major: 1}", "modes: {minor: 1}", 10, "`minor` is missing"),
        ("flute: 1", "flut: 1", 9, "no instrument is called 'flut'"),
        ("lead: {flute: 1}", "lead: {drum kit: 1}", 9, "'drum kit' cannot play the role `lead`"),
        ("lead: {flute: 1}", "pad: {strings: 1}", 1, "role `pad` has instruments but no patterns"),
        ("I | V | vi | IV", "I | H | vi | IV", 12, "'H' is not a Roman numeral"),
        ("I | V | vi | IV", "I I I | V | vi | IV", 12, "3 chords do not divide a bar of 4 beats"),
        ("I | V | vi | IV", "I | Vfoo", 12, "'foo' is not a chord ending"),
        ("snare: \"----x-", "snair: \"----x-", 15, "`snair` is not known here"),
        ("x-x-----x-x-----", "x-x-----x-y-----", 16, "'y' in 'x-x-----x-y-----'"),
        ("x-x-----x-x-----", "x-x-----x-x----", 16, "has 15 steps; a bar of 4/4 has 16 here"),
        ("1_1_5_a_", "1_1_5_z_", 22, "'z' in '1_1_5_z_' is not one of"),
        ("  - \"1_1_5_a_\"\n", "", 20, "1 entries, at least 2 are needed"),
        ("fills:", "fill:", 17, "`fill` is not known here"),
        ("title: test beat", "title:", 1, "expected text, got nothing"),
        ("title: test beat", "title: a\ngrid: 2.5", 2, "2.5 is not a whole number"),
        ("title: test beat", "title: [a", 2, "not valid YAML"),
        ("title: test beat", "title: a\ntitle: b", 2, "`title` appears twice"),
    ],
)  # fmt: skip
def test_mistakes_name_file_and_line(tmp_path, old, new, line, message):
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(CorpusError) as caught:
        load_genre(path)
    assert str(caught.value).startswith(f"{path}:{line}: "), caught.value
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(CorpusError, match="cannot be read"):
        load_genre(tmp_path / "none.yaml")
    with pytest.raises(CorpusError, match=":1: the file is empty"):
        load_genre(write(tmp_path, ""))


def test_a_file_with_control_characters_is_not_yaml(tmp_path):
    text = GOOD.replace("kind: band", "kind: \x01band")
    with pytest.raises(CorpusError, match=r"test-beat.yaml:2: not valid YAML: .*#x0001"):
        load_genre(write(tmp_path, text))


def test_held_out_material_is_held_out_in_every_genre():
    used: dict[str, set[str]] = {"train": set(), "test": set()}
    for genre in map(load_genre, list_genres()):
        for split, seen in used.items():
            for kind in genre.patterns.keys() - set(SHARED_KINDS):
                seen |= {pattern.digest for pattern in patterns_of(genre, kind, split)}
            for mode in genre.modes:
                seen |= {item.digest for item in progressions_of(genre, mode, split)}
    assert not used["train"] & used["test"]


def test_library_is_rich():
    genres = [load_genre(name) for name in list_genres()]
    kinds = [genre.kind for genre in genres]
    assert kinds.count("band") >= 40
    assert kinds.count("electronic") + kinds.count("orchestral") >= 20
    assert set(kinds) == set(KINDS)
    assert len({genre.title for genre in genres}) == len(genres)
    for genre in genres:
        assert len(genre.moods) >= 4, genre.name
        assert sum(map(len, genre.progressions.values())) >= 4, genre.name
        least = {"drums": 4, "bass": 3, "comp": 3, "fills": 3, "lead": 3}
        for kind, count in least.items():
            if kind in genre.patterns:
                assert len(genre.patterns[kind]) >= count, (genre.name, kind)


def test_every_group_has_material_for_training_and_test():
    for genre in map(load_genre, list_genres()):
        for split in ("train", "test"):
            for kind in genre.patterns:
                assert patterns_of(genre, kind, split)
            for mode in genre.modes:
                assert progressions_of(genre, mode, split)


def test_solo_genres_cover_the_solo_instruments():
    covered: set[str] = set()
    for genre in map(load_genre, list_genres()):
        if genre.kind == "solo":
            covered |= genre.instruments["lead"].keys()
    assert covered == set(SOLO_INSTRUMENTS)
    assert len(covered) >= 45
