import json

import mutagen
import mutagen.id3
import pytest

from musicgen_ldm.errors import AudioError, ManifestError
from musicgen_ldm.prepare.captions import read_table, words_of
from musicgen_ldm.prepare.names import leaks, name_patterns
from musicgen_ldm.prepare.tags import descriptive, read_tags
from musicgen_ldm.prepare.walk import audio_suffixes, find_audio


def tag_vorbis(path, **tags):
    file = mutagen.File(path)
    for name, value in tags.items():
        file[name] = value
    file.save()


def test_walk_finds_every_format_sorted_and_skips_the_hidden(write, music):
    for name in ("b.wav", "a.flac", "deep/er/c.ogg", ".hidden.wav", ".cache/d.wav", "E.AIFF"):
        write(name, 1)
    (music / "notes.txt").write_text("not audio")
    (music / "loop").symlink_to(music, target_is_directory=True)
    found = [path.relative_to(music).as_posix() for path in find_audio(music)]
    assert found == ["E.AIFF", "a.flac", "b.wav", "deep/er/c.ogg"]
    assert {".mp3", ".wav", ".flac", ".ogg", ".w64", ".caf"} <= audio_suffixes()


def test_walk_names_an_empty_and_a_missing_folder(tmp_path):
    with pytest.raises(AudioError, match="no such folder"):
        find_audio(tmp_path / "absent")
    with pytest.raises(AudioError, match=r"holds no audio file; put WAV"):
        find_audio(tmp_path)


def test_text_sidecar_has_one_caption_a_line(write, music):
    path = write("song.wav", 1)
    path.with_suffix(".txt").write_text("slow piano\n\n  a calm evening  \n")
    assert words_of(path, music).captions == ("slow piano", "a calm evening")


def test_json_sidecar_states_facts(write, music):
    path = write("song.wav", 1)
    record = {
        "captions": ["fast samba"],
        "instruments": ["surdo", "cavaquinho"],
        "bpm": 132,
        "key": "F#m",
        "licence": "CC0-1.0",
        "source": "field day",
        "artist": "Ana Lima",
    }
    path.with_suffix(".json").write_text(json.dumps(record))
    words = words_of(path, music)
    assert words.captions == ("fast samba",)
    assert words.tags.instruments == ("surdo", "cavaquinho")
    assert (words.tags.bpm, words.tags.key, words.tags.mode) == (132.0, "F#", "minor")
    assert (words.licence, words.source) == ("CC0-1.0", "field day")
    assert words.attribution == "Ana Lima"


@pytest.mark.parametrize(("text", "complaint"), [("{", "not valid JSON"), ("[1]", "holds a list")])
def test_broken_json_is_named(write, music, text, complaint):
    path = write("song.wav", 1)
    path.with_suffix(".json").write_text(text)
    with pytest.raises(ManifestError, match=rf"song\.json: {complaint}"):
        words_of(path, music)


def test_table_rows_match_by_relative_path_name_or_stem(write, music, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(
        "File,Caption,Licence\nsub/a.wav,first|second,CC0-1.0\nb.wav,third,\nc,fourth,MIT\n"
    )
    rows = read_table(table)
    captions = {
        name: words_of(write(name, 1), music, rows).captions
        for name in ("sub/a.wav", "deep/b.wav", "c.wav", "d.wav")
    }
    assert captions == {
        "sub/a.wav": ("first", "second"),
        "deep/b.wav": ("third",),
        "c.wav": ("fourth",),
        "d.wav": (),
    }
    assert words_of(music / "c.wav", music, rows).licence == "MIT"


def test_table_without_a_file_column_says_which_are_known(tmp_path):
    (tmp_path / "table.csv").write_text("song,words\n")
    with pytest.raises(ManifestError, match=r"table\.csv:1: has columns song, words; one must be"):
        read_table(tmp_path / "table.csv")
    with pytest.raises(ManifestError, match="no such captions table"):
        read_table(tmp_path / "absent.csv")


def test_vorbis_tags_become_a_caption_without_names(write, music):
    path = write("song.flac", 1)
    tag_vorbis(path, genre="Bossa Nova; Jazz", mood="relaxed", title="Rain", artist="Ana Lima",
               bpm="118", license="CC-BY-4.0")  # fmt: skip
    words = words_of(path, music)
    assert words.captions == ("bossa nova, jazz, relaxed",)
    assert words.tags.genre == "bossa nova"
    assert (words.tags.bpm, words.licence) == (118.0, "CC-BY-4.0")
    assert words.attribution == "Ana Lima"


def test_id3_tags_of_a_wav_and_an_mp3(write):
    for name in ("song.wav", "song.mp3"):
        path = write(name, 1)
        file = mutagen.File(path)
        if file.tags is None:
            file.add_tags()
        file.tags.add(mutagen.id3.TCON(encoding=3, text="(17)"))
        file.tags.add(mutagen.id3.TBPM(encoding=3, text="96"))
        file.tags.add(mutagen.id3.TPE1(encoding=3, text="Ana Lima"))
        file.tags.add(mutagen.id3.WCOP(url="https://example.org/licence"))
        file.save()
        assert read_tags(path) == {
            "genre": ["Rock"],
            "bpm": ["96"],
            "artist": ["Ana Lima"],
            "licence": ["https://example.org/licence"],
        }


def test_names_never_reach_a_caption_from_any_source(write, music, tmp_path):
    names = {"title": "Midnight Rain", "artist": "Ana Lima", "album": "Harbour"}
    leaking = ["in the style of ana lima", "Midnight rain, a ballad", "soft piano", "the Harbour"]
    tagged = write("tagged.flac", 1)
    tag_vorbis(tagged, **names, genre="Harbour", mood="soft")
    text = write("text.flac", 1)
    tag_vorbis(text, **names)
    text.with_suffix(".txt").write_text("\n".join(leaking))
    sidecar = write("sidecar.wav", 1)
    sidecar.with_suffix(".json").write_text(json.dumps(names | {"captions": leaking}))
    (tmp_path / "t.csv").write_text(
        "file,title,artist,album,caption\n"
        f"row.wav,Midnight Rain,Ana Lima,Harbour,{'|'.join(leaking).replace(',', ' ')}\n"
    )
    found = [
        words_of(path, music, read_table(tmp_path / "t.csv"))
        for path in (tagged, text, sidecar, write("row.wav", 1))
    ]
    assert [words.captions for words in found] == [("soft",), *[("soft piano",)] * 3]
    assert [len(words.withheld) for words in found] == [1, 3, 3, 3]
    assert all(words.tags.genre is None for words in found)


def test_players_and_remixers_are_names_too(write, music):
    path = write("song.flac", 1)
    tag_vorbis(path, performer="Rui Mar", remixer="Low Tide")
    path.with_suffix(".txt").write_text("rui mar on guitar\na low tide of strings\nslow waltz")
    assert words_of(path, music).captions == ("slow waltz",)


@pytest.mark.parametrize(
    ("name", "caption", "is_leak"),
    [
        ("U2", "music by U2!", True),
        ("Rain", "a raining sound", False),
        ("A", "a raining sound", False),
        ("rock (Live)", "Rock (live)", True),
        ("Ana Lima feat. Rui", "a song with Rui", True),
        ("Ana Lima feat. Rui", "ana lima, a ballad", True),
        ("Ana Lima (ft. The Low Tides)", "like the low tides", True),
        ("Ana Lima & Rui", "Rui sings", True),
        ("The Tides", "in the style of Tides", True),
        ("The Tides", "the sound of tides", False),
        ("Earth, Wind & Harbour", "a wind ensemble", False),
        ("Ana Lima; Rui Mar", "rui mar on guitar", True),
    ],
)
def test_names_are_found_as_whole_words(name, caption, is_leak):
    assert leaks(caption, name_patterns([name])) is is_leak


def test_a_table_that_is_not_utf_8_says_so(tmp_path):
    (tmp_path / "t.csv").write_bytes("file,caption\na.wav,música\n".encode("latin-1"))
    with pytest.raises(
        ManifestError, match=r"t\.csv: is not written in UTF-8 .*save it as CSV UTF-8"
    ):
        read_table(tmp_path / "t.csv")


def test_descriptive_words_are_split_and_cleaned():
    assert descriptive(["Rock/Pop", "Other", "12", "pop"]) == ["rock", "pop"]


def test_a_tempo_or_key_that_makes_no_sense_counts_as_unstated(write, music):
    path = write("song.wav", 1)
    path.with_suffix(".json").write_text(json.dumps({"bpm": "fast", "key": "H"}))
    tags = words_of(path, music).tags
    assert (tags.bpm, tags.key) == (None, None)
