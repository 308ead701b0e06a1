"""Presets repeat the conventions of the tools behind published tables: each quirk by itself."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, softmax

from musicgen_ldm.audio import Waveform, peak
from musicgen_ldm.errors import ConfigError
from musicgen_ldm.metrics import divergence, frechet, kernel
from musicgen_ldm.metrics.moments import GroupedMoments
from musicgen_ldm.metrics.names import PRESET_NAMES
from musicgen_ldm.metrics.presets import PRESETS, get_preset
from musicgen_ldm.metrics.scoring import (
    Embedded,
    score_divergence,
    score_frechet,
    score_inception,
    score_kernel,
)

CLIPS = 20


def embedded(seed, scale=1.0):
    """Clips of two windows, each with its frame and its logits (8 classes)."""
    ids, window = [f"c{i:02d}" for i in range(CLIPS)], np.repeat(np.arange(CLIPS), 2)
    frames, logits = scale * np.random.default_rng(seed).standard_normal((2, 2 * CLIPS, 8))
    vectors = frames.reshape(CLIPS, 2, 8).mean(axis=1)
    return Embedded(ids, ids, frames, window, vectors, 2 * logits, window)


GEN, REF = embedded(0, scale=1.5), embedded(1)
STATS = GroupedMoments.of(REF.frames, REF.clips)
PAIRS = [(i, i) for i in range(CLIPS)]


@pytest.fixture
def stereo():
    time = np.arange(8_000) / 16_000
    both = np.stack([0.3 * np.sin(440 * time) + 0.1, 0.2 * np.cos(300 * time)])
    return Waveform(both.astype(np.float32), 16_000)


def test_presets_are_named_once_and_differ():
    assert tuple(PRESETS) == PRESET_NAMES
    assert len({repr(p) for p in PRESETS.values()}) == len(PRESETS)
    with pytest.raises(ConfigError, match="known: v1, audioldm_eval"):
        get_preset("v9")


@pytest.mark.parametrize("name", ["v1", "audiocraft"])
def test_by_default_sound_is_the_mean_of_its_channels_as_it_is(stereo, name):
    np.testing.assert_array_equal(get_preset(name).prepare(stereo).mono, stereo.mono)


@pytest.mark.parametrize("name", ["audioldm_eval", "musicldm"])
def test_audioldm_eval_hears_the_first_channel_without_its_offset(stereo, name):
    left = stereo.samples[0]
    heard = get_preset(name).prepare(stereo).mono
    np.testing.assert_allclose(heard, left - left.mean(), atol=1e-7)


def test_stable_audio_sets_the_peak(stereo):
    heard = get_preset("stable-audio").prepare(stereo).mono
    assert peak(heard) == pytest.approx(10 ** (-1 / 20))
    np.testing.assert_allclose(heard / peak(heard), stereo.mono / peak(stereo.mono), atol=1e-6)


def test_fadtk_rounds_to_sixteen_bits(stereo):
    levels = 2**15 * get_preset("fadtk").prepare(stereo).mono
    np.testing.assert_array_equal(levels, np.round(levels))
    np.testing.assert_allclose(levels, 2**15 * stereo.mono, atol=0.51)


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_only_v1_corrects_distances(name):
    fad = score_frechet(GEN, STATS, get_preset(name), 0)[0]["fad"]
    expected = fad.details["corrected" if name == "v1" else "plain"]
    assert fad.value == expected
    assert fad.details["corrected"] < fad.details["plain"]


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_only_fadtk_extrapolates_by_frames_with_replacement(name):
    found = score_frechet(GEN, STATS, get_preset(name), 0)[0]["fad_inf"]
    values = [
        frechet.frechet_infinity(GEN.frames, GEN.prompts, STATS, np.random.default_rng(0),
                                 replacement=replacement).value
        for replacement in (False, True)
    ]  # fmt: skip
    assert found.value == values[name == "fadtk"] != values[name != "fadtk"]


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_only_fadtk_takes_the_bandwidth_of_the_evaluated_set(name):
    source = GEN if name == "fadtk" else REF
    bandwidth = kernel.median_bandwidth(source.frames, np.random.default_rng(0))
    found = score_kernel(GEN, REF, get_preset(name), 0)["kad"]
    assert found.details["bandwidth"] == bandwidth


def kl(p, q):
    return divergence.epsilon_kl(softmax(p, axis=1), softmax(q, axis=1), 1e-6).mean()


def sigmoid_kl(p, q):
    return divergence.epsilon_kl(expit(p), expit(q), 1e-6).mean()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "v1",
            {
                "kl_ref_gen": lambda g, r: divergence.softmax_kl(r, g).mean(),
                "bernoulli_ref_gen": lambda g, r: divergence.bernoulli_kl(r, g).mean(),
                "kl_gen_ref": lambda g, r: divergence.softmax_kl(g, r).mean(),
                "bernoulli_gen_ref": lambda g, r: divergence.bernoulli_kl(g, r).mean(),
            },
        ),
        (
            "audioldm_eval",
            {
                "kl_ref_gen": lambda g, r: kl(r, g),
                "kl_sigmoid_ref_gen": lambda g, r: sigmoid_kl(r, g),
            },
        ),
        ("musicldm", {"kl_ref_gen": lambda g, r: kl(r, g)}),
        ("audiocraft", {"kl_ref_gen": lambda g, r: kl(r, g)}),
        ("stable-audio", {"kl_gen_ref": lambda g, r: kl(g, r)}),
    ],
)
def test_kl_has_each_tools_form_direction_and_unit(name, expected):
    gen, ref = GEN.logits, REF.logits
    if name == "audiocraft":  # by segment
        gen, ref = GEN.segment_logits, REF.segment_logits
    found, _ = score_divergence(GEN, REF, PAIRS, get_preset(name))
    values = {key: metric.value for key, metric in found.items()}
    assert values == pytest.approx({key: form(gen, ref) for key, form in expected.items()})


def test_audioldm_eval_splits_the_inception_score():
    found = score_inception(GEN, get_preset("audioldm_eval"))["is"]
    mean, spread = divergence.split_inception_score(GEN.logits, splits=10)
    assert (found.value, found.details["split_std"]) == (mean, spread)
    whole = score_inception(GEN, replace(get_preset("audioldm_eval"), is_splits=1))["is"]
    assert whole.value != mean
