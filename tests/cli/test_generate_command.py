"""The command line as a user meets it: files, records, exit codes, one-line errors."""

import errno
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.torch import load_file, save_file

from musicgen_ldm import read_audio
from musicgen_ldm.cli import info
from musicgen_ldm.cli.main import main
from musicgen_ldm.pipeline import plans
from musicgen_ldm.provenance import read_record, verify, write_audio

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _checkpoint(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MUSICGEN_LDM_CHECKPOINTS", str(tiny_folder.parent))
    monkeypatch.chdir(tmp_path)


def generate(*args: str) -> int:
    fast = ["--checkpoint", "tiny", "--sampler", "dpm++", "--steps", "2", "--device", "cpu"]
    return main(["generate", *fast, *args])


def test_a_sentence_becomes_a_file_with_its_record(capsys: Capture) -> None:
    assert generate("slow piano", "--seconds", "1", "--bpm", "90", "-o", "a.wav") == 0
    out = capsys.readouterr()
    assert out.err == ""
    assert out.out.startswith("a.wav  1.00 s in ")
    assert "asked 90 bpm, measured" in out.out
    record = json.loads(Path("a.json").read_text())
    assert read_record("a.wav") == record
    assert (record["prompt"], record["seed"], record["take"]) == ("slow piano", 0, 0)
    assert verify("a.wav").intact


def test_a_record_holds_no_path_of_this_machine(tiny_folder: Path) -> None:
    fast = ["--seconds", "1", "--steps", "1", "--device", "cpu"]
    assert main(["generate", "a", "--checkpoint", str(tiny_folder), *fast, "-o", "a.wav"]) == 0
    assert read_record("a.wav")["checkpoint"]["name"] == "tiny"
    assert str(tiny_folder.parent) not in json.dumps(read_record("a.wav"))


def test_default_name_says_what_is_inside() -> None:
    assert generate("A Slow Piano!", "--seconds", "1", "--seed", "7") == 0
    assert Path("outputs/a-slow-piano-7.wav").is_file()


@pytest.mark.parametrize(
    ("depth", "suffix"),
    [("PCM_16", "wav"), ("PCM_24", "wav"), ("PCM_24", "flac"), ("FLOAT", "wav")],
)
@pytest.mark.parametrize(
    "edit", [["--repaint", "1-1.5", "--init"], ["--seconds", "1", "--continue"]]
)
def test_edited_files_keep_every_other_sample(
    depth: str, suffix: str, edit: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when what is drawn is louder than a file can hold."""
    monkeypatch.setattr(plans, "TRAINING_PEAK", 0.01)  # drawn sound is scaled up by its inverse
    noise = np.random.default_rng(0).uniform(-0.99, 0.99, 44_100 * 2)
    soundfile.write(f"loud.{suffix}", noise, 44_100, depth)
    assert generate("louder", *edit, f"loud.{suffix}", "-o", f"new.{suffix}") == 0
    before, after = read_audio(f"loud.{suffix}").samples, read_audio(f"new.{suffix}").samples
    assert np.array_equal(after[:, : 44_100 - 1], before[:, : 44_100 - 1])
    assert read_record(f"new.{suffix}")["audio"]["gain"] == 1
    assert read_record(f"new.{suffix}")["audio"]["subtype"] == depth


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_every_format(suffix: str) -> None:
    assert generate("a", "--seconds", "1", "-o", "out", "--format", suffix) == 0
    assert read_audio(next(Path("out").glob(f"*.{suffix}"))).sample_rate == 16_000


def test_takes_are_numbered_and_ranked(capsys: Capture) -> None:
    assert generate("a", "--seconds", "1", "--takes", "3", "-o", "a.flac", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["path"] for line in lines} == {f"a-take{k}.flac" for k in range(3)}
    ranks = [line["scores"]["rank"] for line in lines]
    assert ranks == sorted(ranks, reverse=True)
    assert generate("a", "--seconds", "1", "--take", "2", "-o", "alone.flac") == 0
    alone, batch = read_audio("alone.flac"), read_audio("a-take2.flac")
    assert np.array_equal(alone.samples, batch.samples)


def test_nothing_is_overwritten_without_being_asked_to(capsys: Capture) -> None:
    assert generate("a", "--seconds", "1", "-o", "a.wav") == 0
    before = Path("a.wav").read_bytes()
    capsys.readouterr()
    assert generate("b", "--seconds", "1", "-o", "a.wav") == 2
    assert "a.wav: exists already; choose another name" in capsys.readouterr().err
    assert Path("a.wav").read_bytes() == before
    assert generate("b", "--seconds", "1", "-o", "a.wav", "--overwrite") == 0
    assert Path("a.wav").read_bytes() != before


def test_prompts_file_is_resumed(capsys: Capture) -> None:
    Path("p.jsonl").write_text(
        '{"id": "one", "prompt": "slow piano", "seconds": 1}\n'
        "\nfast techno\n"
        '{"id": "three", "prompt": "flute", "seed": 5, "asked": {"lead": "flute"}}\n'
    )
    arguments = ("--prompts", "p.jsonl", "-o", "out", "--seconds", "0.5")
    assert generate(*arguments) == 0
    names = {path.name for path in Path("out").glob("*.wav")}
    assert names == {"one.wav", "0003.wav", "three.wav"}
    assert read_audio("out/one.wav").seconds == 1
    assert read_record("out/three.wav")["seed"] == 5
    (Path("out") / "0003.wav").unlink()
    kept = Path("out/one.wav").stat().st_mtime_ns
    capsys.readouterr()
    assert generate(*arguments) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert Path("out/0003.wav").is_file()
    assert Path("out/one.wav").stat().st_mtime_ns == kept
    Path("other.txt").write_text("loud drums\nquiet harp\nfast samba\n")
    assert generate("--prompts", "other.txt", *arguments[2:]) == 2
    assert "0003.wav: exists already, from another request" in capsys.readouterr().err


def test_a_line_adds_to_the_sampling_of_the_command_and_lacking_takes_alone_are_rendered(
    capsys: Capture,
) -> None:
    Path("p.jsonl").write_text('{"id": "one", "prompt": "a", "sampling": {"eta": 0.5}}\n')
    arguments = ("--prompts", "p.jsonl", "-o", "out", "--seconds", "1", "--takes", "3")
    assert generate(*arguments, "--sampler", "ddim") == 0
    record = read_record("out/one-take1.wav")
    assert (record["sampling"]["eta"], record["sampling"]["sampler"]) == (0.5, "ddim")
    Path("out/one-take1.wav").unlink()
    capsys.readouterr()
    assert generate(*arguments, "--sampler", "ddim") == 0
    assert capsys.readouterr().out.startswith("out/one-take1.wav")
    assert read_record("out/one-take1.wav")["audio"]["sha256"] == record["audio"]["sha256"]


def test_reproduce_is_bit_identical_and_says_what_differs(
    capsys: Capture, tiny_folder: Path, tmp_path: Path
) -> None:
    assert generate("a", "--seconds", "1", "--seed", "3", "--takes", "2", "-o", "a.flac") == 0
    capsys.readouterr()
    assert main(["reproduce", "a-take1.flac"]) == 0
    assert capsys.readouterr().out.startswith("identical")
    assert main(["reproduce", "a-take1.flac", "-o", "b.wav"]) == 2
    assert "give it the suffix .flac" in capsys.readouterr().err
    from musicgen_ldm.checkpoint import initialise, save

    other = save(initialise("tiny", seed=9), tmp_path / "other")
    assert main(["reproduce", "a-take1.flac", "--checkpoint", str(other), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["identical"]
    assert report["differences"][0].startswith("checkpoint ")
    assert report["differences"][-1].startswith("audio differs by up to ")


def test_the_best_of_candidates_can_be_reproduced(capsys: Capture) -> None:
    asked = ("a", "--seconds", "1", "--take", "1", "--candidates", "3")
    assert generate(*asked, "-o", "best.wav") == 0
    record = read_record("best.wav")
    assert record["take"] == 1
    assert record["draw"] in (3, 4, 5)
    capsys.readouterr()
    assert main(["reproduce", "best.wav", "-o", "again.wav"]) == 0
    assert capsys.readouterr().out.startswith("identical")
    assert read_record("again.wav")["scores"] == record["scores"]


def test_reproduce_names_changed_weights_and_damaged_records(
    capsys: Capture, tiny_folder: Path, tmp_path: Path
) -> None:
    mine = shutil.copytree(tiny_folder, tmp_path / "mine")
    assert generate("a", "--checkpoint", str(mine), "--seconds", "1", "-o", "a.wav") == 0
    file = mine / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["conv_out.weight"] *= 1.5
    save_file(weights, file, metadata={"format": "pt"})
    capsys.readouterr()
    assert main(["reproduce", "a.wav", "--checkpoint", str(mine)]) == 1
    assert "  checkpoint " in capsys.readouterr().out
    for part in ("request", "checkpoint", "loaded", "environment"):
        record = read_record("a.wav") | {part: 5}
        write_audio(read_audio("a.wav"), "bare.wav", record=record, overwrite=True)
        assert main(["reproduce", "bare.wav"]) == 2
        assert "holds no whole request" in capsys.readouterr().err


def test_reproduce_loads_the_checkpoint_as_it_was(capsys: Capture) -> None:
    assert generate("a", "--seconds", "1", "-o", "a.wav", "--precision", "bf16") == 0
    assert read_record("a.wav")["loaded"]["precision"] == "bf16"
    assert generate("a", "--seconds", "1", "-o", "b.wav") == 0
    capsys.readouterr()
    assert main(["reproduce", "a.wav"]) == 0
    assert capsys.readouterr().out.startswith("identical")
    assert not np.array_equal(read_audio("a.wav").samples, read_audio("b.wav").samples)


def test_working_on_sounds(stereo_file: Path) -> None:
    source = str(stereo_file)
    assert generate("a", "--init", source, "--strength", "0.4", "-o", "v.wav") == 0
    assert generate("a", "--init", source, "--repaint", "0.5-1", "2-2.5", "-o", "r.wav") == 0
    assert generate("a", "--continue", source, "--seconds", "1", "-o", "c.wav") == 0
    assert generate("", "--audio-prompt", source, "--seconds", "1", "-o", "p.wav") == 0
    blend = ("--blend", "techno:0.3", "--blend-audio", f"{source}:0.2")
    assert generate("a", "--seconds", "1", *blend, "-o", "b.wav") == 0
    loop = ("--bars", "1", "--bpm", "120", "--loop")
    assert generate("a", *loop, "-o", "l.wav") == 0
    assert read_audio("l.wav").seconds == 2.0
    assert read_audio("c.wav").seconds == pytest.approx(5)
    assert set(read_record("b.wav")["sources"]) == {"blend_1"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([""], "the prompt is empty"),
        (["a" * 3000], "3000 characters"),
        (["a", "--seconds", "-3"], "seconds is -3"),
        (["a", "--seconds", "nan"], "seconds is nan"),
        (["a", "--seconds", "1e9"], "from 0.5 to 600"),
        (["a", "--guidance", "nan"], "guidance is nan"),
        (["a", "--sampler", "magic"], "choose one of ddim, dpm++, unipc, euler"),
        (["a", "--steps", "0"], "steps is 0"),
        (["a", "--key", "H sharp"], "H sharp"),
        (["a", "--blend", "nonsense"], "TEXT:WEIGHT"),
        (["a", "--init", "x.wav", "--repaint", "abc"], "START-END"),
        (["a", "--init", "missing.wav"], "missing.wav"),
        (["a", "--checkpoint", "nothing"], "no checkpoint 'nothing'; known here: tiny"),
        (["a", "--device", "toaster"], "device 'toaster'"),
        (["a", "--prompts", "missing.txt"], "not both"),
        (["--prompts", "missing.txt"], "cannot be read"),
        (["a", "-o", "a.wav", "--format", "mp3"], "disagree"),
        (["a", "-o", "a.mp3", "--subtype", "24"], "24"),
        (["a", "-o", "song.m4a"], ".m4a files are not written here"),
        (["a", "-o", "/dev/null"], "is no folder"),
        (["a", "--seed", "-1"], "from 0 to 9223372036854775807"),
        (["a 120 bpm techno", "--bpm", "90"], "the prompt says 120 bpm and bpm is 90"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    capsys: Capture, arguments: list[str], message: str
) -> None:
    if "--seconds" not in arguments and "--init" not in arguments:
        arguments = [*arguments, "--seconds", "1"]
    assert generate(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert [p for p in Path().rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("words", [["--seconds", "abc"], ["--steps", "0.5"], ["--format", "m4a"]])
def test_an_option_that_cannot_be_read_is_one_line(capsys: Capture, words: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["generate", "a", *words])
    error = capsys.readouterr().err
    assert error.startswith(f"error: argument {words[0]}: invalid")
    assert error.endswith("see `musicgen-ldm generate --help`\n")
    assert error.count("\n") == 1


def test_what_would_fail_after_the_work_is_refused_before_it(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*args: object, **options: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("musicgen_ldm.pipeline.MusicLDM.from_pretrained", load)
    Path("kept.json").write_text('{"lead": "sheet"}')
    Path("late.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b", "seconds": "ten"}\n')
    Path("key.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b", "key": "H"}\n')
    Path("none.txt").write_text("\n\n")
    Path("deep.jsonl").write_text('{"a":' * 100_000)
    Path("top.jsonl").write_text('{"prompt": "a", "guidance": 3}\n')
    Path("id.jsonl").write_text('{"prompt": "a", "id": "../a"}\n')
    Path("bytes.txt").write_text("piano\n\x01\x02\n")
    soundfile.write("wide.wav", np.ones((96_000, 6)) / 9, 96_000)
    for arguments, message in (
        (("a", "-o", "a.mp3", "--subtype", "24"), "has no depth '24'"),
        (("a", "-o", "kept.wav"), "kept.json: exists already"),
        (("a", "-o", "kept.wav", "--overwrite"), "is no record of this package"),
        (("a", "-o", f"{'a' * 300}.wav"), "File name too long"),
        (("--prompts", "late.jsonl"), "late.jsonl:2: seconds is ten"),
        (("--prompts", "key.jsonl"), "key 'H'"),
        (("--prompts", "none.txt"), "holds no prompt"),
        (("--prompts", "deep.jsonl"), "deep.jsonl:1: not valid JSON"),
        (("--prompts", "top.jsonl"), 'top.jsonl:1: guidance must stand under "sampling"'),
        (("--prompts", "id.jsonl"), "id.jsonl:1: id '../a' must be unique"),
        (("--prompts", "bytes.txt"), "bytes.txt:2: holds control characters"),
        (("--prompts", "key.jsonl", "-o", "all.wav"), ".wav files are not written here"),
        (("a", "--continue", "wide.wav", "-o", "a.mp3"), "MP3 cannot hold 6 channels at 96000 Hz"),
    ):
        assert generate(*arguments) == 2, arguments
        assert message in capsys.readouterr().err
    assert Path("kept.json").read_text() == '{"lead": "sheet"}'


def test_a_prompts_file_may_begin_with_a_byte_order_mark() -> None:
    Path("p.jsonl").write_bytes(b'\xef\xbb\xbf{"id": "one", "prompt": "a"}\n')
    assert generate("--prompts", "p.jsonl", "--seconds", "1", "-o", "out") == 0
    assert Path("out/one.wav").is_file()


def write(path: str, samples: np.ndarray, rate: int = 16_000, subtype: str = "PCM_16") -> None:
    soundfile.write(path, samples, rate, subtype=subtype)


def test_odd_but_legal_sounds_work() -> None:
    tone = 0.3 * np.sin(np.arange(96_000) / 10)
    write("eight-bit.wav", tone[:32_000], subtype="PCM_U8")
    write("fast.wav", tone, 96_000)
    write("surround.wav", np.stack([tone[:32_000]] * 6, axis=1))
    for name in ("eight-bit", "fast", "surround"):
        assert generate("a", "--init", f"{name}.wav", "-o", f"{name}-out.wav") == 0
    assert generate("a", "--init", "surround.wav", "--repaint", "0.5-1", "-o", "s.wav") == 0
    assert read_audio("s.wav").samples.shape[0] == 6


def test_broken_sounds_are_refused(capsys: Capture, stereo_file: Path) -> None:
    write("silent.wav", np.zeros(16_000))
    write("empty.wav", np.zeros(0))
    Path("noise.wav").write_bytes(b"RIFF" + bytes(range(256)))
    write("nan.wav", np.full(16_000, np.nan), subtype="FLOAT")
    for name in ("silent", "empty", "noise", "nan"):
        capsys.readouterr()
        assert generate("a", "--init", f"{name}.wav", "-o", "out.wav") == 2, name
        assert f"{name}.wav" in capsys.readouterr().err
    assert not Path("out.wav").exists()


def test_a_truncated_checkpoint_is_refused(
    capsys: Capture, tiny_folder: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(tiny_folder, tmp_path / "broken"))
    file = broken / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    assert generate("a", "--seconds", "1", "--checkpoint", str(broken)) == 2
    assert "copy the folder again" in capsys.readouterr().err
    assert main(["info", str(broken)]) == 2


def test_info_describes_and_verifies(capsys: Capture, tiny_folder: Path, tmp_path: Path) -> None:
    assert main(["info", "tiny"]) == 0
    assert "verified           yes" in capsys.readouterr().out
    changed = Path(shutil.copytree(tiny_folder, tmp_path / "changed"))
    with (changed / "tokenizer" / "tokenizer_config.json").open("a") as file:
        file.write("\n")
    assert main(["info", str(changed), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["problems"] == ["tokenizer/tokenizer_config.json was changed"]


@pytest.mark.parametrize(
    ("met", "said"),
    [
        (OSError(errno.ENOSPC, "No space left", "a.npz"), "a.npz: the disk is full; free some"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "the memory is full; close other"),
        (MemoryError(), "the memory is full; close other programs and repeat the command"),
        (ImportError("a.so: failed to map segment from shared object"), "the memory is full"),
    ],
)
def test_what_ran_out_anywhere_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, met: Exception, said: str
) -> None:
    def run(_: object) -> None:
        raise met

    monkeypatch.setattr(info, "run", run)
    assert main(["info"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said}")
    assert error.count("\n") == 1


def test_ctrl_c_keeps_finished_files_and_no_halves(tiny_folder: Path) -> None:
    command = [sys.executable, "-m", "musicgen_ldm", "generate", "a", "--checkpoint", "tiny"]
    command += ["--seconds", "4", "--takes", "60", "--steps", "20", "-o", "takes"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while process.poll() is None and len(list(Path("takes").glob("*.wav"))) < 2:
        time.sleep(0.1)
    assert process.poll() is None, process.communicate()[1]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    assert errors == "interrupted; finished files are kept\n"
    files = sorted(Path("takes").iterdir())
    assert {path.suffix for path in files} == {".wav", ".json"}
    for path in Path("takes").glob("*.wav"):
        assert verify(path).intact
