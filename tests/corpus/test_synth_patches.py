"""Own synthesis: pitch, envelopes, variety, determinism of every patch."""

import numpy as np
import pytest

from musicgen_ldm.corpus.drum_synth import KITS, Kit
from musicgen_ldm.corpus.instruments import TABLE
from musicgen_ldm.corpus.score import Note
from musicgen_ldm.corpus.synth import ALTERNATIVES, PATCHES, draw, play_patch
from musicgen_ldm.errors import CorpusError

RATE = 32_000
PITCHED = sorted(set(PATCHES) - {"noise_sweep"})


def play(name: str, seed: int = 0, pitch: int = 57, **options) -> np.ndarray:
    settings = {"num_samples": RATE, "sample_rate": RATE, "bpm": 120.0, "brightness": 0.0,
                "articulation": 0.0} | options  # fmt: skip
    notes = (Note(0.1, 0.5, pitch, 100),)
    return play_patch(name, notes, rng=np.random.default_rng(seed), **settings)


def test_every_synthesised_instrument_has_a_patch_or_kit():
    wanted = {row.synth for row in TABLE if row.synth}
    assert wanted <= set(PATCHES) | set(KITS)
    assert set(ALTERNATIVES.values()) <= set(PATCHES)


@pytest.mark.parametrize("name", sorted(PATCHES))
def test_patch_sounds_from_onset_to_release(name):
    stem = play(name)
    assert stem.shape == (2, RATE)
    assert np.isfinite(stem).all()
    assert not stem[:, : int(0.1 * RATE)].any()
    assert np.abs(stem[:, int(0.1 * RATE) : int(0.6 * RATE)]).max() > 0.01


@pytest.mark.parametrize("name", PITCHED)
def test_patch_plays_the_note_asked_for(name):
    """The spectrum repeats at the note's harmonics (or its octave below, for sub oscillators)."""
    stem = play(name, pitch=57)  # 220 Hz
    part = stem.mean(axis=0)[int(0.25 * RATE) : int(0.55 * RATE)]
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 8 * len(part)))
    hertz = np.fft.rfftfreq(8 * len(part), 1 / RATE)
    strongest = hertz[30:][np.argmax(spectrum[30:])]
    ratios = strongest / 220 / np.array([0.5, 1, 1.41, 1.5, 2, 2.76, 3, 3.5, 4, 5, 6, 7])
    assert np.abs(1200 * np.log2(ratios)).min() < 45


@pytest.mark.parametrize("name", ["saw_bass", "supersaw", "fm_bell", "glass_pad"])
def test_patches_repeat_with_the_seed_and_vary_without(name):
    np.testing.assert_array_equal(play(name, 3), play(name, 3))
    assert not np.array_equal(play(name, 3), play(name, 4))


def test_brightness_opens_the_filter():
    def centroid(brightness: float) -> float:
        spectrum = np.abs(np.fft.rfft(play("saw_pad", brightness=brightness).mean(axis=0)))
        return float((spectrum * np.arange(len(spectrum))).sum() / spectrum.sum())

    assert centroid(1.0) > 1.2 * centroid(-1.0)


def test_wobble_follows_the_tempo():
    slow, fast = play("wobble_bass", bpm=70.0), play("wobble_bass", bpm=140.0)
    assert not np.array_equal(slow, fast)


def test_unknown_patch_and_kit_name_the_known_ones():
    with pytest.raises(CorpusError, match=r"'theremin'; known: .*supersaw"):
        play("theremin")
    with pytest.raises(CorpusError, match=r"'kit_707'; known: .*kit_808"):
        Kit("kit_707", RATE, np.random.default_rng(0))


def test_draw_stays_in_bounds_and_passes_numbers_through():
    rng = np.random.default_rng(0)
    drawn = [draw((0.01, 10.0), rng) for _ in range(4000)]
    assert 0.01 <= min(drawn) < max(drawn) <= 10
    assert np.median(drawn) == pytest.approx(0.316, rel=0.2)  # even in ratio
    assert draw(3, rng) == 3.0


@pytest.mark.parametrize("style", sorted(KITS))
def test_kit_hits_every_general_midi_key(style):
    kit = Kit(style, RATE, np.random.default_rng(1))
    for key in range(35, 88):
        hit = kit.hit(key)
        assert np.isfinite(hit).all()
        assert np.abs(hit).max() == pytest.approx(1, abs=0.35)  # few bits round the peak


def test_kick_is_low_and_hat_is_high():
    kit = Kit("kit_909", RATE, np.random.default_rng(2))

    def centroid(key: int) -> float:
        power = np.abs(np.fft.rfft(kit.hit(key), 4 * RATE)) ** 2
        return float((power * np.fft.rfftfreq(4 * RATE, 1 / RATE)).sum() / power.sum())

    assert centroid(36) < 300 < 1000 < centroid(42)


def test_closed_hat_chokes_the_open_one():
    kit = Kit("kit_808", RATE, np.random.default_rng(3))
    open_hat, closed = Note(0.0, 0.1, 46, 110), Note(0.1, 0.1, 42, 1)
    free = kit.play((open_hat,), RATE)
    choked = kit.play((open_hat, closed), RATE)
    later = slice(int(0.15 * RATE), int(0.3 * RATE))
    assert np.abs(choked[:, later]).max() < 0.1 * np.abs(free[:, later]).max()


def test_recorded_hits_replace_synthesised_ones():
    ramp = np.linspace(1, 0, 100, dtype=np.float32)
    kit = Kit("kit_808", RATE, np.random.default_rng(3), {36: ramp})
    np.testing.assert_array_equal(kit.hit(36), ramp)
