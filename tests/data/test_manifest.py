"""The manifest: round trip, unknown fields kept, errors with file and line, joining."""

import json
from pathlib import Path

import pytest

from musicgen_ldm.data.manifest import (
    Clip,
    Tags,
    join_manifests,
    parse_clip,
    read_manifest,
    write_manifest,
)
from musicgen_ldm.errors import ManifestError


def clip(name: str, **changes: object) -> Clip:
    values: dict = {
        "id": name, "path": f"audio/{name}.flac", "sha256": "0" * 64, "start_s": 0.0,
        "duration_s": 10.24, "sample_rate": 16_000, "captions": ("a", "b"),
        "tags": Tags(genre="house", instruments=("synth bass",), bpm=124.0), "beats_s": (0.1, 0.6),
        "downbeats_s": (0.1,), "split": "train", "licence": "CC0-1.0", "source": "x",
        "attribution": "y", "extra": {"seed": 3},
    }  # fmt: skip
    return Clip(**{**values, **changes})


def test_round_trip_keeps_unknown_fields(tmp_path: Path) -> None:
    clips = [clip("one"), clip("two", split="test", extra={"chords": [["Am", 0.0]]})]
    write_manifest(tmp_path / "m.jsonl", clips)
    assert list(read_manifest(tmp_path / "m.jsonl")) == clips
    assert [p.name for p in tmp_path.iterdir()] == ["m.jsonl"]


def test_what_a_line_may_leave_out() -> None:
    """Known beats are sure, and a file is a recording of its own, unless the line says not."""
    assert (clip("a").beats_confidence, clip("a").recording) == (1.0, "0" * 64)
    said = clip("a", extra={"beats_confidence": 0.3, "recording": "f" * 64})
    assert (said.beats_confidence, said.recording) == (0.3, "f" * 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "dev"}, "split is 'dev', must be one of train, valid, test"),
        ({"duration_s": 0}, "duration_s is 0, must be above 0"),
        ({"licence": ...}, "missing field.*licence"),
        ({"captions": "slow piano"}, "captions is 'slow piano', must be a list"),
        ({"captions": [1]}, "captions holds 1, each of its items must be a text"),
        ({"beats_s": ["0.5"]}, "beats_s holds '0.5', each of its items must be a number"),
        ({"duration_s": "10"}, "duration_s is '10', must be a number"),
        ({"path": 7}, "path is 7, must be a text"),
        ({"recording": 7}, "recording is 7, must be a text"),
        ({"beats_confidence": "high"}, "beats_confidence is 'high', must be a number"),
        ({"tags": ["jazz"]}, r"tags is \['jazz'\], must be an object"),
        ({"tags": {"bpm": "fast"}}, "bpm is 'fast', must be a number"),
        ({"tags": {"instruments": "flute"}}, "instruments is 'flute', must be a list"),
    ],
)
def test_bad_lines_name_file_and_line(tmp_path: Path, change: dict, message: str) -> None:
    record = clip("two").to_json() | change
    record = {key: value for key, value in record.items() if value is not ...}
    lines = [json.dumps(clip("one").to_json()), json.dumps(record)]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    with pytest.raises(ManifestError, match=rf"m\.jsonl:2: {message}"):
        list(read_manifest(tmp_path / "m.jsonl"))


def test_broken_json_repeated_ids_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    for line in (b"{", b"[]", '{"id": "Götz"}'.encode("latin-1")):
        path.write_bytes(line + b"\n")
        with pytest.raises(ManifestError, match=r"m\.jsonl:1: "):
            list(read_manifest(path))
    path.write_text(2 * (json.dumps(clip("one").to_json()) + "\n"))
    with pytest.raises(ManifestError, match=r"m\.jsonl:2: id 'one' appears twice"):
        list(read_manifest(path))
    with pytest.raises(ManifestError, match="no such manifest"):
        list(read_manifest(tmp_path / "none.jsonl"))


def test_unknown_tags_are_no_error() -> None:
    record = clip("one").to_json()
    record["tags"]["weather"] = "rain"
    assert parse_clip(record).tags == clip("one").tags


def test_joining_rewrites_paths(tmp_path: Path) -> None:
    for folder, name in (("train", "one"), ("valid", "two")):
        (tmp_path / folder).mkdir()
        write_manifest(tmp_path / folder / "manifest.jsonl", [clip(name)])
    sources = [tmp_path / folder / "manifest.jsonl" for folder in ("train", "valid")]
    assert join_manifests(tmp_path / "all.jsonl", sources) == 2
    assert [c.path for c in read_manifest(tmp_path / "all.jsonl")] == [
        "train/audio/one.flac",
        "valid/audio/two.flac",
    ]
    with pytest.raises(ManifestError, match="stands in another manifest too"):
        join_manifests(tmp_path / "all.jsonl", [sources[0], sources[0]])
