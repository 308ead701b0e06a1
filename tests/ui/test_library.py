"""The history on disk: names made here, favourites kept, nothing outside the folder touched."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from musicgen_ldm import GenerateRequest, MusicLDM, read_audio
from musicgen_ldm.config.generation import Blend
from musicgen_ldm.errors import RequestError
from musicgen_ldm.pipeline import Take
from musicgen_ldm.provenance import sidecar_path, verify
from musicgen_ldm.ui.history import rows
from musicgen_ldm.ui.library import Library
from musicgen_ldm.ui.pruning import prune

FAST = {"sampler": "dpm++", "steps": 1, "guidance": 1.0}


@pytest.fixture(scope="module")
def take(tiny_model: MusicLDM) -> Take:
    request = GenerateRequest(prompt="slow piano", seconds=0.6, sampling=FAST)
    return tiny_model.generate(request)[0]


def test_a_take_is_found_again_after_a_restart(tmp_path: Path, take: Take) -> None:
    entry = Library.of_user(tmp_path, None).add(take)
    found = Library.of_user(tmp_path, None).search("PIANO slow")
    assert [e.id for e in found] == [entry.id]
    assert verify(entry.path).intact
    assert Library.of_user(tmp_path, None).search("techno") == []


def test_users_do_not_see_each_other(tmp_path: Path, take: Take) -> None:
    entry = Library.of_user(tmp_path, "one").add(take)
    other = Library.of_user(tmp_path, "two")
    assert other.search() == []
    with pytest.raises(RequestError, match="no longer in the history"):
        other.get(entry.id)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "a/b", "20260101-000000-abcdef12", ".."])
def test_ids_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestError, match="no longer in the history"):
        Library.of_user(tmp_path, None).get(name)


@pytest.mark.parametrize("user", ["../evil", "a/b", "", "x" * 500, "..\\.."])
def test_a_user_name_cannot_leave_the_folder(tmp_path: Path, user: str) -> None:
    assert Library.of_user(tmp_path, user).folder.parent == tmp_path


def test_deleting_removes_file_and_record(tmp_path: Path, take: Take) -> None:
    library = Library.of_user(tmp_path, None)
    entry = library.add(take)
    library.set_favourite(entry.id, True)
    library.delete(entry.id)
    assert list(library.folder.iterdir()) == []
    library.delete(entry.id)  # from another tab of the browser: nothing to do


def test_a_favourite_can_be_taken_back(tmp_path: Path, take: Take) -> None:
    library = Library.of_user(tmp_path, None)
    entry = library.add(take)
    library.set_favourite(entry.id, True)
    assert [e.id for e in library.search(only_favourites=True)] == [entry.id]
    library.set_favourite(entry.id, False)
    assert library.search(only_favourites=True) == []


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_downloads_carry_the_record(tmp_path: Path, take: Take, suffix: str) -> None:
    library = Library.of_user(tmp_path / "outputs", None)
    entry = library.add(take)
    copy = library.convert(entry.id, suffix, tmp_path)
    found = verify(copy)
    assert found.made_by_us
    assert found.record is not None
    assert found.record["prompt"] == "slow piano"
    assert read_audio(copy).seconds == pytest.approx(0.6, abs=0.1)


def test_pruning_spares_favourites_and_the_young(tmp_path: Path, take: Take) -> None:
    library = Library.of_user(tmp_path, None)
    kept, old, young = (library.add(take) for _ in range(3))
    library.set_favourite(kept.id, True)
    ago = time.time() - 10 * 86_400
    for entry in (kept, old):
        os.utime(entry.path, (ago, ago))
    assert prune(tmp_path, keep_days=5, keep_mb=1_000) == 1
    assert {e.id for e in library.search()} == {kept.id, young.id}
    assert prune(tmp_path, keep_days=5, keep_mb=0) == 1
    assert {e.id for e in library.search()} == {kept.id}


def aged(path: Path, days: float) -> None:
    ago = time.time() - days * 86_400
    os.utime(path, (ago, ago))


@pytest.mark.parametrize(
    ("room", "left"),
    [
        ({"old", "upload", "young"}, {"old", "upload", "young"}),
        ({"upload", "young"}, {"upload", "young"}),
        ({"young"}, {"young"}),
        (set(), set()),
    ],
)
def test_the_oldest_go_first_and_only_until_the_rest_fits(
    tmp_path: Path, take: Take, room: set[str], left: set[str]
) -> None:
    """A large upload, too, pushes out nothing that is younger than itself."""
    library = Library.of_user(tmp_path, None)
    upload = library.folder / "sources" / "0123456789abcdef-long.wav"
    upload.parent.mkdir()
    upload.write_bytes(bytes(1_000_000))
    paths = {"old": library.add(take).path, "upload": upload, "young": library.add(take).path}
    for name, days in (("old", 4), ("upload", 0.5), ("young", 0.2)):
        aged(paths[name], days)
    keep_mb = sum(paths[name].stat().st_size for name in room) / 1e6
    assert prune(tmp_path, keep_days=30, keep_mb=keep_mb) == len(paths) - len(left)
    assert {name for name, path in paths.items() if path.exists()} == left


def test_files_that_are_not_ours_are_never_deleted(tmp_path: Path) -> None:
    foreign = [tmp_path / "album" / "sources" / "tape.wav", tmp_path / "album" / "song.flac"]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0")
        aged(path, 100)
    assert prune(tmp_path, keep_days=5, keep_mb=0) == 0
    assert all(path.exists() for path in foreign)


def test_a_sound_that_is_used_again_is_as_good_as_new(tmp_path: Path, stereo_file: Path) -> None:
    library = Library.of_user(tmp_path, None)
    asked = GenerateRequest(prompt="a", init=str(stereo_file))
    kept = Path(str(library.keep_sources(asked).init))
    aged(kept, 10)
    library.keep_sources(asked)
    assert prune(tmp_path, keep_days=30, keep_mb=1_000) == 0
    aged(kept, 10)
    assert prune(tmp_path, keep_days=30, keep_mb=1_000) == 1


def test_the_sound_of_a_favourite_stays(tmp_path: Path, take: Take, stereo_file: Path) -> None:
    library = Library.of_user(tmp_path, None)
    request = library.keep_sources(GenerateRequest(prompt="a", init=str(stereo_file)))
    made = replace(take, record=take.record | {"request": request.to_json()})
    library.set_favourite(library.add(made).id, True)
    other = library.add(made)
    assert request.init is not None
    aged(Path(request.init), 10)
    assert prune(tmp_path, keep_days=30, keep_mb=0) == 1
    assert Path(request.init).is_file()
    assert not other.path.exists()


@pytest.mark.parametrize(
    "damaged", [b"\xff\xfe no text", b"[1, 2]", b'"words"', b"{}", b'{"schema": 1', None]
)
def test_one_damaged_record_leaves_the_others_listed(
    tmp_path: Path, take: Take, stereo_file: Path, damaged: bytes | None
) -> None:
    library = Library.of_user(tmp_path, None)
    whole, broken = library.add(take), library.add(take)
    library.keep_sources(GenerateRequest(prompt="a", init=str(stereo_file)))
    beside = sidecar_path(broken.path)
    if damaged is None:
        text = beside.read_text().replace('"seconds"', '"minutes"')
        beside.write_text(text)
    else:
        beside.write_bytes(damaged)
    assert [row[-1] for row in rows(library, "piano", False)] == [whole.id]
    assert prune(tmp_path, keep_days=5, keep_mb=1_000) == 0
    assert broken.path.is_file()


def test_sounds_are_kept_by_name_and_dropped_with_their_takes(
    tmp_path: Path, take: Take, stereo_file: Path
) -> None:
    library = Library.of_user(tmp_path, None)
    asked = GenerateRequest(prompt="a", init=str(stereo_file), blends=(Blend(text="b", weight=1),))
    request = library.keep_sources(asked)
    assert request.init is not None
    assert Path(request.init).read_bytes() == stereo_file.read_bytes()
    assert library.keep_sources(asked) == request
    entry = library.add(replace(take, record=take.record | {"request": request.to_json()}))
    recorded = GenerateRequest.from_json(entry.record["request"])
    assert recorded.init == Path(request.init).name
    assert library.with_kept_sources(recorded) == request
    ago = time.time() - 10 * 86_400
    os.utime(request.init, (ago, ago))
    prune(tmp_path, keep_days=5, keep_mb=1_000)
    assert Path(request.init).is_file()
    library.delete(entry.id)
    prune(tmp_path, keep_days=5, keep_mb=1_000)
    with pytest.raises(RequestError, match="was made from was deleted"):
        library.with_kept_sources(recorded)


@pytest.mark.parametrize("name", ["/etc/passwd", "../../../etc/passwd"])
def test_a_recorded_sound_cannot_lie_outside_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestError, match="was deleted"):
        Library.of_user(tmp_path, None).with_kept_sources(GenerateRequest(prompt="a", init=name))


def test_an_untouched_search_lists_everything(tmp_path: Path, take: Take) -> None:
    library = Library.of_user(tmp_path, None)
    entry = library.add(take)
    assert [row[-1] for row in rows(library, None, False)] == [entry.id]
