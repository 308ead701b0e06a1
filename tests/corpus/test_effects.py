"""Studio effects: what each promises about level, time and frequency."""

import numpy as np
import pytest

from musicgen_ldm.corpus import effects

RATE = 32_000


def sine(hertz: float, seconds: float = 0.5, gain: float = 0.25) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    return np.tile(gain * np.sin(2 * np.pi * hertz * time), (2, 1)).astype(np.float32)


def impulse(seconds: float = 1.0) -> np.ndarray:
    samples = np.zeros((2, int(seconds * RATE)), np.float32)
    samples[:, 0] = 1
    return samples


def gain_db(effect, hertz: float) -> float:
    wave = sine(hertz)
    settled = effect(wave)[:, RATE // 4 :]
    return 20 * np.log10(settled.std() / wave[:, RATE // 4 :].std())


@pytest.mark.parametrize("is_high", [True, False])
def test_shelf_raises_one_side_and_leaves_the_other(is_high):
    low, high = (
        gain_db(lambda x: effects.shelf(x, RATE, 1000, 6.0, is_high=is_high), hertz)
        for hertz in (60, 12_000)
    )
    raised, kept = (high, low) if is_high else (low, high)
    assert raised == pytest.approx(6, abs=0.1)
    assert kept == pytest.approx(0, abs=0.1)


def test_peak_and_passes_hit_their_frequencies():
    assert gain_db(lambda x: effects.peaking(x, RATE, 1000, -9, 1.0), 1000) == pytest.approx(
        -9, abs=0.1
    )
    assert gain_db(lambda x: effects.low_pass(x, RATE, 1000), 1000) == pytest.approx(-3, abs=0.1)
    assert gain_db(lambda x: effects.high_pass(x, RATE, 1000), 1000) == pytest.approx(-3, abs=0.1)


def test_filters_are_linear_and_agree_with_scipy():
    from scipy.signal import butter, sosfilt

    noise = np.random.default_rng(0).standard_normal((2, 4000)).astype(np.float32)
    sos = butter(2, 800, fs=RATE, output="sos")
    np.testing.assert_allclose(
        effects.low_pass(noise, RATE, 800), sosfilt(sos, noise.astype(float)), atol=1e-5
    )


def test_constant_power_pan():
    wave = sine(440)
    for position in (-1.0, -0.3, 0.0, 0.7, 1.0):
        panned = effects.pan(wave, position)
        assert np.square(panned).sum() == pytest.approx(np.square(wave).sum(), rel=1e-4)
    np.testing.assert_allclose(effects.pan(wave, 0.0), wave, atol=1e-6)
    assert np.abs(effects.pan(wave, -1.0)[1]).max() < 1e-6


def test_width_zero_is_mono_and_one_is_unchanged():
    noise = np.random.default_rng(1).standard_normal((2, 500)).astype(np.float32)
    mono = effects.widen(noise, 0.0)
    np.testing.assert_allclose(mono[0], mono[1], atol=1e-6)
    np.testing.assert_allclose(effects.widen(noise, 1.0), noise, atol=1e-6)


def test_compressor_leaves_quiet_sound_alone_and_holds_loud_sound():
    quiet, loud = sine(200, gain=0.01), sine(200, 1.0, gain=0.9)
    settings = {"threshold_db": -20.0, "ratio": 4.0}
    np.testing.assert_allclose(effects.compress(quiet, RATE, **settings), quiet, atol=1e-6)
    held = effects.compress(loud, RATE, **settings)[:, RATE // 2 :]
    # -0.9 dB peak is 19.1 dB over the threshold; a ratio of 4 lets a quarter through.
    assert 20 * np.log10(np.abs(held).max()) == pytest.approx(-20 + 19.1 / 4, abs=1.5)


def test_duck_dips_at_each_kick_and_recovers():
    steady = np.ones((2, RATE), np.float32)
    ducked = effects.duck(steady, RATE, [0.5], depth=0.8, release_s=0.1)[0]
    np.testing.assert_allclose(ducked[: int(0.49 * RATE)], 1.0)
    assert ducked[int(0.504 * RATE)] == pytest.approx(0.2, abs=0.02)
    assert ducked[-1] > 0.99
    np.testing.assert_array_equal(effects.duck(steady, RATE, [], depth=0.8, release_s=0.1), steady)


@pytest.mark.parametrize("time_s", [0.5, 1.5])
def test_reverberation_falls_by_60_db_in_its_time(time_s):
    tail = effects.reverb(impulse(2.0), RATE, time_s=time_s, size=1.0, damping_hz=12_000)
    energy = np.square(tail.astype(float)).sum(axis=0)[::-1].cumsum()[::-1]  # Schroeder
    decay_db = 10 * np.log10(energy / energy[0] + 1e-30)
    at_10, at_30 = (np.argmax(decay_db < level) / RATE for level in (-10, -30))
    # Damping makes it a little shorter than asked.
    assert 0.55 * time_s < 3 * (at_30 - at_10) < 1.15 * time_s


def test_reverberation_is_stable_when_endless_energy_enters():
    noise = 0.1 * np.random.default_rng(2).standard_normal((2, 3 * RATE)).astype(np.float32)
    wet = effects.reverb(noise, RATE, time_s=4.0, size=1.5, damping_hz=7000)
    assert wet[:, -RATE:].std() < 3 * wet[:, RATE : 2 * RATE].std()


def test_echo_repeats_at_its_delay_with_falling_level():
    repeats = effects.echo(impulse(), RATE, 0.2, feedback=0.5, cutoff=14_000)
    first, second = (np.abs(repeats[0, int(t * RATE) : int((t + 0.05) * RATE)]).max()
                     for t in (0.2, 0.4))  # fmt: skip
    assert np.abs(repeats[:, : int(0.19 * RATE)]).max() == 0
    assert 0 < second < 0.7 * first


def test_soft_clip_keeps_small_signals_and_bounds_large_ones():
    small, large = sine(100, gain=0.3), sine(100, gain=5.0)
    np.testing.assert_allclose(effects.soft_clip(small, 0.97), small, atol=1e-7)
    assert np.abs(effects.soft_clip(large, 0.97)).max() <= np.float32(0.97)


def test_saturation_without_drive_and_at_low_level_is_clean():
    wave = sine(300, gain=0.01)
    np.testing.assert_array_equal(effects.saturate(wave, 0.0), wave)
    np.testing.assert_allclose(effects.saturate(wave, 2.0), wave, rtol=1e-3)


def test_crush_leaves_few_levels():
    assert len(np.unique(effects.crush(sine(100), 3))) <= 2**3 + 1


def test_wow_bends_pitch_within_its_cents():
    wave = sine(1000, 2.0)
    bent = effects.wow(wave, RATE, cents=20, rate_hz=0.7, flutter_cents=0.0)[0]
    crossings = np.flatnonzero((bent[1:] >= 0) & (bent[:-1] < 0))
    periods = np.diff(crossings[10:-10:20]) / 20
    cents = 1200 * np.log2(RATE / periods / 1000)
    assert 15 < cents.max() < 25
    assert -25 < cents.min() < -15


def test_record_noise_is_seeded_and_has_unit_hiss():
    one, two = (
        effects.record_noise(RATE, RATE, np.random.default_rng(5), crackle_hz=0.0) for _ in "ab"
    )
    np.testing.assert_array_equal(one, two)
    assert one.std() == pytest.approx(1, abs=0.01)


def test_effects_leave_their_input_as_it_was():
    wave = sine(500)
    kept = wave.copy()
    effects.shelf(wave, RATE, 900, 3, is_high=True)
    effects.compress(wave, RATE, threshold_db=-30, ratio=3)
    effects.reverb(wave, RATE, time_s=1, size=1, damping_hz=4000)
    effects.chorus(wave, RATE, rate_hz=0.5, depth_s=0.002, mix=0.5)
    effects.echo(wave, RATE, 0.1, feedback=0.3, cutoff=3000)
    np.testing.assert_array_equal(wave, kept)
