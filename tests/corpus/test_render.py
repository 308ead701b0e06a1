"""Score to sound: levels, windows, independence of parts, soundfonts, errors."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from musicgen_ldm.audio import Waveform, rms_dbfs
from musicgen_ldm.corpus import mix
from musicgen_ldm.corpus.clip import make_clip
from musicgen_ldm.corpus.oneshots import OneShots
from musicgen_ldm.corpus.recipe import ClipPlan
from musicgen_ldm.corpus.render import Rendering, SoundBank, render
from musicgen_ldm.corpus.score import Note, Part, Score
from musicgen_ldm.corpus.soundfont import SOUNDFONTS, SoundFont, open_soundfonts
from musicgen_ldm.errors import CorpusError

FLUID = SOUNDFONTS[0]
has_fluid = pytest.mark.skipif(not FLUID.path.is_file(), reason=f"needs {FLUID.package}")
NO_SAMPLES = SoundBank((), OneShots(None))


def note(start: float, length: float, pitch: int, velocity: int = 100) -> Note:
    return Note(start, length, pitch, velocity)


DRUMS = Part(
    role="drums",
    instrument="909 drum machine",
    notes=tuple(note(i * 0.25, 0.1, 36 if i % 2 == 0 else 42) for i in range(60)),
)
BASS = Part(
    role="bass",
    instrument="synth bass",
    notes=tuple(note(i * 0.5, 0.4, 36 + i % 3) for i in range(30)),
)
LEAD = Part(
    role="lead",
    instrument="synth lead",
    notes=tuple(note(i * 0.5, 0.45, 72 + i % 5) for i in range(30)),
)
PIANO = Part(role="comp", instrument="piano", notes=tuple(note(i, 0.9, 60) for i in range(14)))


def score(*parts: Part, **changes) -> Score:
    made = Score(
        seed=11, genre="test", kind="electronic", mood="happy", bpm=120, felt_bpm=120, key="C",
        mode="major", meter="4/4", parts=parts, beats_s=(), downbeats_s=(), chords=(),
        sections=(), patterns=(), clip_start_s=3.2, clip_seconds=4.0,
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture(scope="module")
def fluid_bank() -> SoundBank:
    return SoundBank(open_soundfonts((FLUID.path,)), OneShots(None))


def test_electronic_score_needs_no_soundfont_and_repeats_exactly():
    one, two = (render(score(DRUMS, BASS, LEAD), NO_SAMPLES) for _ in "ab")
    np.testing.assert_array_equal(one.audio.samples, two.audio.samples)
    assert one.audio.samples.shape == (2, 64_000)
    assert {item.licence for item in one.ingredients} == {"CC0-1.0"}
    assert set(one.levels_db) == {"909 drum machine", "synth bass", "synth lead"}


def test_another_seed_sounds_different():
    one, two = (render(score(DRUMS, BASS, seed=seed), NO_SAMPLES) for seed in (1, 2))
    assert not np.allclose(one.audio.samples, two.audio.samples, atol=1e-2)


@pytest.mark.parametrize("sample_rate", [16_000, 44_100])
def test_length_is_exact_at_any_rate(sample_rate):
    audio = render(score(BASS), NO_SAMPLES, sample_rate=sample_rate).audio
    assert audio.samples.shape[1] == 4 * sample_rate
    assert audio.sample_rate == sample_rate


@pytest.mark.parametrize("seed", range(6))
def test_loudness_stays_in_its_limits_and_nothing_clips(seed):
    audio = render(score(DRUMS, BASS, LEAD, seed=seed), NO_SAMPLES).audio
    low, high = mix.LOUDNESS_LIMITS_DB
    assert low - 1 < rms_dbfs(audio.mono) < high + 1
    assert np.abs(audio.samples).max() <= mix.CEILING


def test_swapping_one_part_leaves_the_others_as_they_were():
    lead = replace(LEAD, instrument="bell synth")
    one = render(score(DRUMS, BASS, LEAD), NO_SAMPLES, with_stems=True)
    two = render(score(DRUMS, BASS, lead), NO_SAMPLES, with_stems=True)
    bass_1, bass_2 = (r.stems["synth bass"].samples for r in (one, two))
    np.testing.assert_allclose(
        bass_1 / np.abs(bass_1).max(), bass_2 / np.abs(bass_2).max(), atol=1e-4
    )


def test_notes_before_the_clip_still_sound_in_it():
    held = Part(role="pad", instrument="synth pad", notes=(note(0.0, 9.0, 60),))
    late = render(score(held, clip_start_s=5.0, clip_seconds=2.0), NO_SAMPLES)
    assert rms_dbfs(late.audio.mono[:1600]) > -40


def test_silent_and_faint_stems_are_not_named():
    mute = Part(role="pad", instrument="glass pad", notes=(note(30.0, 1.0, 60),))
    faint = replace(LEAD, gain_db=-26.0)
    rendering = render(score(DRUMS, BASS, faint, mute), NO_SAMPLES)
    assert "glass pad" not in rendering.levels_db
    assert "synth lead" in rendering.levels_db
    assert set(rendering.instruments) == {"909 drum machine", "synth bass"}


def test_named_stems_are_those_within_20_db_loudest_first():
    assert mix.named_stems({"a": -30.0, "b": -12.0, "c": -32.1}) == ("b", "a")
    assert mix.named_stems({}) == ()


def test_loudness_of_a_stem_ignores_its_rests():
    rate = 32_000
    burst = np.random.default_rng(0).standard_normal((2, rate)).astype(np.float32) * 0.1
    alone = mix.loudness_db(burst, rate)
    with_rest = mix.loudness_db(np.pad(burst, ((0, 0), (0, 3 * rate))), rate)
    assert with_rest == pytest.approx(alone, abs=0.8)
    assert mix.loudness_db(np.zeros((2, rate), np.float32), rate) == -np.inf


@pytest.mark.parametrize(
    "treatment", ["sidechain", "lofi", "tape", "wide", "gated", "chorus", "echo", "saturated",
                  "8bit"]
)  # fmt: skip
def test_every_treatment_is_heard(treatment):
    def play(seed: int, *treatments: str) -> np.ndarray:
        made = score(DRUMS, BASS, replace(LEAD, role="comp"), seed=seed, treatments=treatments)
        return render(replace(made, clip_seconds=2.0), NO_SAMPLES).audio.samples

    # Some treatments are likely, not certain, for a part; plain mixes may have them too.
    differences = [np.abs(play(seed) - play(seed, treatment)).max() for seed in range(3)]
    assert max(differences) > 0.005


def test_sidechain_dips_on_the_kick():
    steady = Part(role="pad", instrument="synth pad", notes=(note(0.0, 12.0, 48),))
    kicks = Part(role="drums", instrument="909 drum machine",
                 notes=tuple(note(i * 1.0, 0.1, 36) for i in range(12)))  # fmt: skip
    made = render(score(steady, kicks, treatments=("sidechain",)), NO_SAMPLES, with_stems=True)
    pad = np.abs(made.stems["synth pad"].mono)
    # The clip starts at 3.2 s, so kicks fall at 0.8, 1.8, 2.8 s of it.
    on_kick = np.mean([pad[int((t + 0.01) * 16_000) :][:800].mean() for t in (0.8, 1.8, 2.8)])
    between = np.mean([pad[int((t + 0.6) * 16_000) :][:800].mean() for t in (0.8, 1.8)])
    assert on_kick < 0.7 * between


def test_missing_soundfont_names_its_package():
    missing = replace(FLUID, path=Path("/nowhere/FluidR3_GM.sf2"))
    bank = SoundBank((SoundFont(missing),), OneShots(None))
    with pytest.raises(CorpusError, match=r"FluidR3_GM is not installed.*apt install fluid-sound"):
        render(score(PIANO), bank)
    render(score(BASS), bank)  # our own synthesis does not ask for it


def test_given_soundfont_must_exist():
    with pytest.raises(CorpusError, match="no such soundfont"):
        SoundBank.open((Path("/nowhere/x.sf2"),))


def test_file_that_is_no_soundfont_is_refused(tmp_path):
    path = tmp_path / "x.sf2"
    path.write_bytes(b"no soundfont")
    with pytest.raises(CorpusError, match="not a readable sf2 or sf3"):
        render(score(PIANO), SoundBank.open((path,)))


def test_unknown_instrument_is_refused():
    with pytest.raises(CorpusError, match="'kazoo'"):
        render(score(replace(LEAD, instrument="kazoo")), NO_SAMPLES)


@has_fluid
def test_soundfont_stem_does_not_depend_on_what_was_played_before(fluid_bank):
    font = fluid_bank.fonts[0]
    settings = {"num_samples": 32_000, "sample_rate": 32_000}
    notes = (note(0.1, 0.4, 60), note(0.5, 0.3, 64))
    first = font.play(notes, 48, **settings)
    font.play((note(0.0, 1.0, 40),), 33, **settings)
    np.testing.assert_array_equal(font.play(notes, 48, **settings), first)


@has_fluid
def test_soundfont_plays_on_time_and_in_tune(fluid_bank):
    stem = (
        fluid_bank.fonts[0]
        .play((note(0.25, 0.7, 69),), 73, num_samples=32_000, sample_rate=32_000)
        .mean(axis=0)
    )
    assert not stem[: int(0.249 * 32_000)].any()
    part = stem[14_000:28_000]
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 2**17))
    hertz = np.fft.rfftfreq(2**17, 1 / 32_000)
    near = (hertz > 400) & (hertz < 480)
    assert hertz[near][np.argmax(spectrum[near])] == pytest.approx(440, abs=3)


@has_fluid
def test_sampled_mix_records_font_and_licence(fluid_bank):
    rendering = render(score(PIANO, kind="band"), fluid_bank)
    assert [(i.name, i.kind, i.licence) for i in rendering.ingredients] == [
        ("FluidR3_GM", "soundfont", "MIT")
    ]
    assert rendering.instruments == ("piano",)


def test_font_without_a_drum_bank_is_not_asked_for_drums():
    class Flutes:
        def get_preset_index(self, bank: int, program: int) -> int:
            return program if bank == 0 else -1

    font = SoundFont(FLUID)
    vars(font)["_font"] = Flutes()
    assert font.plays(73)
    assert not font.plays(0, is_drums=True)


@has_fluid
def test_clips_on_a_font_of_the_users_own_come_under_its_terms(tmp_path):
    """Whatever it is called; and a known font keeps its own, wherever it lies."""
    path = tmp_path / FLUID.path.name
    shutil.copy(FLUID.path, path)
    assert SoundBank.open((path,)).fonts[0].info.licence == "MIT"
    with path.open("ab") as file:
        file.write(b"mine")
    plan = ClipPlan(id="x", split="train", genre="solo-etude", seed=3, clip_seconds=2.0)
    clip = make_clip(plan, SoundBank.open((path,)), sample_rate=8000).clip
    assert clip.licence == "user-supplied"
    assert "FluidR3_GM (user-supplied)" in clip.attribution


@has_fluid
def test_programs_that_need_modulators_are_left_to_other_fonts(fluid_bank):
    font = fluid_bank.fonts[0]
    assert font.plays(0)
    assert not any(font.plays(program) for program in FLUID.unsuited)
    with pytest.raises(
        CorpusError, match="no soundfont plays program 43 as it should; tried FluidR3_GM"
    ):
        fluid_bank.font_for(43, is_drums=False, rng=np.random.default_rng(0))


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_the_centroid_of_two_equal_tones_lies_between_them(rate):
    time = np.arange(2 * rate) / rate
    tones = sum(np.sin(2 * np.pi * hz * time) for hz in (1_000, 2_000)).astype(np.float32)
    audio = Waveform(np.stack([tones, tones]) / 2, rate)
    rendering = Rendering(audio=audio, stems={}, levels_db={}, ingredients=())
    assert rendering.centroid_hz == pytest.approx(1_500, rel=0.02)
