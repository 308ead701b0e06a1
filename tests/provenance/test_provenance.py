"""Files that tell what they are: formats, loudness, tags, sidecar, verification, atomicity."""

import errno
import hashlib
import json
import os
import signal
import stat
import tracemalloc
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import jsonschema
import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.flac import FLAC
from mutagen.id3 import ID3

from musicgen_ldm.audio import Waveform, read_audio
from musicgen_ldm.errors import AudioError, OutputError
from musicgen_ldm.provenance import environment, read_record, sidecar_path, verify, write_audio
from musicgen_ldm.provenance.codec import audio_digest
from musicgen_ldm.provenance.mark import DIGITAL_SOURCE_TYPE

RECORD = {"prompt": "a calm bossa nova, Gitarre für Ánh", "seed": 7, "take": 0, "steps": 20}
CASES = [
    ("x.wav", "16"),
    ("x.wav", "24"),
    ("x.wav", "float"),
    ("x.flac", "16"),
    ("x.flac", "24"),
    ("x.ogg", None),
    ("x.mp3", None),
]


@pytest.fixture
def music() -> Waveform:
    rng = np.random.default_rng(0)
    time = np.arange(16_000) / 16_000
    chord = sum(0.2 * np.sin(2 * np.pi * hertz * time) for hertz in (220, 277, 330))
    return Waveform(chord + 0.01 * rng.standard_normal(16_000), 16_000)


@pytest.mark.parametrize(("name", "subtype"), CASES)
class TestEveryFormat:
    def test_verifies_and_carries_the_record(self, music, tmp_path, name, subtype):
        path = write_audio(music, tmp_path / name, subtype=subtype, record=RECORD)
        result = verify(path)
        assert (result.made_by_us, result.intact, result.notes) == (True, True, ())
        assert read_record(path).items() >= RECORD.items()
        assert json.loads(sidecar_path(path).read_text()) == result.record

    def test_record_follows_the_schema(self, music, tmp_path, name, subtype):
        schema = json.loads(
            files("musicgen_ldm.provenance").joinpath("record.schema.json").read_text()
        )
        record = read_record(write_audio(music, tmp_path / name, subtype=subtype, record=RECORD))
        jsonschema.Draft202012Validator(schema).validate(record)

    def test_tags_alone_are_enough(self, music, tmp_path, name, subtype):
        path = write_audio(music, tmp_path / name, subtype=subtype, record=RECORD)
        sidecar_path(path).unlink()
        assert verify(path).intact

    def test_sidecar_alone_is_enough(self, music, tmp_path, name, subtype):
        path = write_audio(music, tmp_path / name, subtype=subtype, record=RECORD)
        tagged = mutagen.File(path)
        tagged.delete()
        result = verify(path)
        assert result.made_by_us
        assert result.intact
        assert "tags were removed" in result.notes[0]

    def test_foreign_tags_do_not_count_as_a_change(self, music, tmp_path, name, subtype):
        path = write_audio(music, tmp_path / name, subtype=subtype, record=RECORD)
        edit_title(path, "My song")
        assert verify(path).intact

    def test_changed_audio_is_noticed(self, music, tmp_path, name, subtype):
        path = write_audio(music, tmp_path / name, subtype=subtype, record=RECORD)
        quieter = Waveform(music.samples * 0.5, music.sample_rate)
        other = write_audio(quieter, tmp_path / f"other{path.suffix}", subtype=subtype, record={})
        record_json = json.dumps(read_record(path))
        copy_record(other, record_json)
        result = verify(other)
        assert result.made_by_us
        assert not result.intact
        assert "changed after it was written" in result.notes[0]

    @pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.8, 0.99])
    def test_a_cut_file_is_refused_or_noticed(self, music, tmp_path, name, subtype, share):
        path = write_audio(music, tmp_path / name, subtype=subtype, record=RECORD)
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])
        try:
            is_intact = verify(path).intact
        except AudioError:
            is_intact = False
        assert not is_intact

    def test_same_audio_gives_the_same_hash(self, music, tmp_path, name, subtype):
        first = write_audio(music, tmp_path / f"a-{name}", subtype=subtype, record=RECORD)
        second = write_audio(music, tmp_path / f"b-{name}", subtype=subtype, record={"seed": 8})
        assert read_record(first)["audio"] == read_record(second)["audio"]


def edit_title(path: Path, title: str) -> None:
    file = mutagen.File(path)
    if isinstance(file.tags, ID3):
        file.tags.add(mutagen.id3.TIT2(encoding=3, text=[title]))
    else:
        file["TITLE"] = title
    file.save()


def copy_record(path: Path, record_json: str) -> None:
    file = mutagen.File(path)
    if isinstance(file.tags, ID3):
        file.tags.add(mutagen.id3.TXXX(encoding=3, desc="MUSICGEN_LDM_RECORD", text=[record_json]))
    else:
        file["MUSICGEN_LDM_RECORD"] = record_json
    file.save()


class TestSamples:
    def test_float_wav_is_bit_exact(self, music, tmp_path):
        path = write_audio(music, tmp_path / "x.wav", subtype="float", record=RECORD)
        assert np.array_equal(read_audio(path).samples, music.samples)

    @pytest.mark.parametrize(
        ("suffix", "bits"), [("wav", 16), ("wav", 24), ("flac", 16), ("flac", 24)]
    )
    def test_integer_samples_are_rounded_to_the_nearest_level(self, music, tmp_path, suffix, bits):
        path = write_audio(music, tmp_path / f"x.{suffix}", subtype=str(bits), record=RECORD)
        assert soundfile.info(path).subtype == f"PCM_{bits}"
        error = np.abs(read_audio(path).samples - music.samples).max()
        assert error <= 0.5 / 2 ** (bits - 1) * 1.01

    @pytest.mark.parametrize("depth", ["16", "24", "float"])
    def test_loud_audio_is_scaled_not_clipped(self, music, tmp_path, depth):
        loud = Waveform(music.samples * 10, music.sample_rate)
        path = write_audio(loud, tmp_path / "x.wav", subtype=depth, record=RECORD)
        gain = read_record(path)["audio"]["gain"]
        assert gain == pytest.approx(1 / np.abs(loud.samples).max(), rel=1e-6)
        np.testing.assert_allclose(read_audio(path).samples, loud.samples * gain, atol=2**-15)

    def test_full_scale_is_kept(self, tmp_path):
        path = write_audio(Waveform(np.array([1.0, -1.0]), 16_000), tmp_path / "x.wav", record={})
        samples, _ = soundfile.read(path, dtype="int16")
        assert samples.tolist() == [32767, -32768]
        assert read_record(path)["audio"]["gain"] == 1

    def test_channels_are_kept(self, music, tmp_path):
        stereo = Waveform(np.stack([music.samples[0], -music.samples[0]]), music.sample_rate)
        path = write_audio(stereo, tmp_path / "x.flac", record=RECORD)
        assert read_audio(path).samples.shape == (2, 16_000)

    def test_lossless_conversion_keeps_the_hash(self, music, tmp_path):
        path = write_audio(music, tmp_path / "x.wav", record=RECORD)
        samples, rate = soundfile.read(path, dtype="int16")
        soundfile.write(tmp_path / "x.flac", samples, rate, subtype="PCM_16")
        assert verify(tmp_path / "x.flac").intact

    def test_long_vorbis(self, tmp_path):
        rng = np.random.default_rng(0)
        noise = Waveform(0.1 * rng.standard_normal(16_000 * 60), 16_000)
        assert verify(write_audio(noise, tmp_path / "x.ogg", record={})).intact


class TestMark:
    def test_other_programs_see_it(self, music, tmp_path):
        mp3 = ID3(write_audio(music, tmp_path / "a.mp3", record=RECORD))
        assert "AI-generated" in mp3["COMM::eng"].text[0]
        assert mp3["TXXX:DIGITALSOURCETYPE"].text == [DIGITAL_SOURCE_TYPE]
        flac = FLAC(write_audio(music, tmp_path / "b.flac", record=RECORD))
        assert "AI-generated" in flac["COMMENT"][0]
        assert flac["DIGITALSOURCETYPE"] == [DIGITAL_SOURCE_TYPE]

    def test_can_be_switched_off_and_that_is_said(self, music, tmp_path):
        path = write_audio(music, tmp_path / "x.mp3", record=RECORD, mark=False)
        assert "COMM::eng" not in ID3(path)
        assert verify(path).notes == ("the AI-generated mark was switched off",)


class TestRefusals:
    @pytest.mark.parametrize("suffix", [".txt", ""])
    def test_unknown_suffix(self, music, tmp_path, suffix):
        with pytest.raises(OutputError, match=r"use one of \.wav, \.flac, \.ogg, \.mp3"):
            write_audio(music, tmp_path / f"x{suffix}", record={})

    @pytest.mark.parametrize(
        ("name", "depth"), [("x.flac", "float"), ("x.mp3", "24"), ("x.wav", "8")]
    )
    def test_depth_the_format_lacks(self, music, tmp_path, name, depth):
        with pytest.raises(OutputError, match=f"has no depth '{depth}'"):
            write_audio(music, tmp_path / name, subtype=depth, record={})

    def test_rate_the_format_lacks(self, tmp_path):
        waveform = Waveform(np.zeros(1000), 96_000)
        with pytest.raises(OutputError, match="MP3 cannot hold 1 channels at 96000 Hz"):
            write_audio(waveform, tmp_path / "x.mp3", record={})

    def test_no_samples(self, tmp_path):
        with pytest.raises(OutputError, match="nothing to write"):
            write_audio(Waveform(np.zeros((1, 0)), 16_000), tmp_path / "x.wav", record={})

    @pytest.mark.parametrize("existing", ["x.wav", "x.json"])
    def test_existing_file_is_kept(self, music, tmp_path, existing):
        (tmp_path / existing).write_text("mine")
        with pytest.raises(OutputError, match=rf"{existing}: exists already.*--overwrite"):
            write_audio(music, tmp_path / "x.wav", record={})
        assert [file.read_text() for file in tmp_path.iterdir()] == ["mine"]

    def test_overwrite_replaces_our_files(self, music, tmp_path):
        write_audio(music, tmp_path / "x.wav", record={"seed": 1})
        write_audio(music, tmp_path / "x.wav", record={"seed": 2}, overwrite=True)
        assert read_record(tmp_path / "x.wav")["seed"] == 2
        assert json.loads((tmp_path / "x.json").read_text())["seed"] == 2

    def test_overwrite_never_replaces_a_foreign_json(self, music, tmp_path):
        (tmp_path / "x.json").write_text('{"lead": "sheet"}')
        with pytest.raises(OutputError, match="is no record of this package"):
            write_audio(music, tmp_path / "x.wav", record={}, overwrite=True)

    def test_missing_folder(self, music, tmp_path):
        with pytest.raises(OutputError, match="No such file or directory"):
            write_audio(music, tmp_path / "nowhere" / "x.wav", record={})

    @pytest.mark.parametrize("value", [float("nan"), object()])
    def test_record_without_json_form(self, music, tmp_path, value):
        with pytest.raises(OutputError, match="cannot be written as JSON"):
            write_audio(music, tmp_path / "x.wav", record={"scores": {"fit": value}})
        assert list(tmp_path.iterdir()) == []

    def test_numpy_values_are_written_as_numbers(self, music, tmp_path):
        record = {"scores": {"fit": np.float32(0.5), "beats": np.arange(2)}}
        path = write_audio(music, tmp_path / "x.wav", record=record)
        assert read_record(path)["scores"] == {"fit": 0.5, "beats": [0, 1]}


class TestNothingHalfWritten:
    def test_full_disk(self, music, tmp_path, monkeypatch):
        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=r"x\.wav: cannot be written \(No space left"):
            write_audio(music, tmp_path / "x.wav", record={})
        assert list(tmp_path.iterdir()) == []

    def test_interrupt_while_the_sidecar_is_written(self, music, tmp_path, monkeypatch):
        calls = []

        def interrupted(descriptor: int) -> None:
            calls.append(descriptor)
            if len(calls) == 2:
                raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_audio(music, tmp_path / "x.wav", record={})
        assert list(tmp_path.iterdir()) == []

    def test_ctrl_c_while_libsndfile_writes_waits_for_it(self, music, tmp_path, monkeypatch):
        write, written = soundfile.SoundFile.write, []

        def interrupted(file: soundfile.SoundFile, frames: np.ndarray) -> None:
            signal.raise_signal(signal.SIGINT)
            write(file, frames)
            written.append(len(frames))

        monkeypatch.setattr(soundfile.SoundFile, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_audio(music, tmp_path / "x.wav", record={})
        assert written == [16_000]
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
    def test_read_only_folder(self, music, tmp_path):
        tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
        with pytest.raises(OutputError, match="Permission denied"):
            write_audio(music, tmp_path / "x.wav", record={})

    def test_file_in_place_of_a_folder(self, music, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match="choose a folder"):
            write_audio(music, tmp_path / "file" / "x.wav", record={})


class TestForeignFiles:
    def test_foreign_audio(self, music, tmp_path):
        soundfile.write(tmp_path / "x.wav", music.mono, 16_000)
        result = verify(tmp_path / "x.wav")
        assert (result.made_by_us, result.intact, result.record) == (False, False, None)
        with pytest.raises(AudioError, match="carries no musicgen_ldm record"):
            read_record(tmp_path / "x.wav")

    def test_left_over_sidecar_of_other_audio(self, music, tmp_path):
        write_audio(music, tmp_path / "x.wav", record=RECORD)
        soundfile.write(tmp_path / "x.wav", music.mono / 2, 16_000)
        result = verify(tmp_path / "x.wav")
        assert not result.made_by_us
        assert "describes other audio" in result.notes[0]

    def test_unrelated_json_beside_it(self, music, tmp_path):
        soundfile.write(tmp_path / "x.wav", music.mono, 16_000)
        (tmp_path / "x.json").write_text("[1, 2")
        assert not verify(tmp_path / "x.wav").made_by_us

    def test_edited_sidecar(self, music, tmp_path):
        path = write_audio(music, tmp_path / "x.wav", record=RECORD)
        sidecar = sidecar_path(path)
        sidecar.write_text(sidecar.read_text().replace('"seed": 7', '"seed": 8'))
        result = verify(path)
        assert result.record["seed"] == 7
        assert "differ" in result.notes[0]

    def test_newer_schema(self, music, tmp_path):
        path = write_audio(music, tmp_path / "x.flac", record=RECORD)
        copy_record(path, json.dumps({**read_record(path), "schema": 99}))
        with pytest.raises(AudioError, match="install a newer musicgen-ldm"):
            verify(path)

    def test_damaged_record(self, music, tmp_path):
        path = write_audio(music, tmp_path / "x.flac", record=RECORD)
        copy_record(path, '{"schema": 1, ')
        with pytest.raises(AudioError, match="record is damaged"):
            read_record(path)

    @pytest.mark.parametrize(
        "content", [b"", b"not audio at all", b"RIFF\x00\x00\x00\x00WAVE", b"ID3\x04"]
    )
    def test_no_audio(self, tmp_path, content):
        (tmp_path / "x.wav").write_bytes(content)
        with pytest.raises(AudioError, match=r"x\.wav: "):
            verify(tmp_path / "x.wav")

    def test_header_that_claims_more_samples_than_memory_holds(self, music, tmp_path):
        path = write_audio(music, tmp_path / "x.flac", record=RECORD)
        data = bytearray(path.read_bytes())
        data[21:26] = bytes([data[21] | 0x0F, 255, 255, 255, 255])  # 36 bits of STREAMINFO
        path.write_bytes(data)
        for read in (verify, read_audio):
            with pytest.raises(AudioError, match=r"x\.flac: "):
                read(path)

    def test_missing(self, tmp_path):
        with pytest.raises(AudioError, match="No such file"):
            verify(tmp_path / "x.wav")

    def test_truncated_file_is_not_intact(self, music, tmp_path):
        path = write_audio(music, tmp_path / "x.mp3", record=RECORD)
        path.write_bytes(path.read_bytes()[:-500])
        assert not verify(path).intact


def test_id3v1_tag_does_not_change_the_digest(music, tmp_path):
    path = write_audio(music, tmp_path / "x.mp3", record=RECORD)
    data = path.read_bytes()
    with_v1 = data + b"TAG".ljust(128, b"\0")
    assert audio_digest(with_v1, "x") == audio_digest(data, "x")


def test_a_small_file_of_silence_is_hashed_in_bounded_memory(tmp_path):
    path = tmp_path / "silence.flac"
    block = np.zeros(2_000_000, np.int16)
    with soundfile.SoundFile(path, "w", 16_000, 1) as file:
        for _ in range(10):
            file.write(block)
    data = path.read_bytes()
    tracemalloc.start()
    try:
        digest = audio_digest(data, "x")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    whole, _ = soundfile.read(path, dtype="int32", always_2d=True)
    assert digest["sha256"] == hashlib.sha256(whole.astype("<i4").tobytes()).hexdigest()
    assert most < whole.nbytes / 10


def test_environment_names_the_installed_versions():
    versions = environment()
    assert versions["torch"] == version("torch")
    assert versions.keys() >= {"musicgen_ldm", "python", "platform", "diffusers", "transformers"}
