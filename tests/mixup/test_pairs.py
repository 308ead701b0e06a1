"""Partners share a tempo, and nobody is mixed with itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicgen_ldm.config.mixup import MixupConfig
from musicgen_ldm.errors import ConfigError
from musicgen_ldm.mixup.pairs import PartnerGroups, beats_per_bar, group_key, tempo_bpm

BAM = MixupConfig(kind="bam")


def grid(bpm: float, bars: int = 5, meter: int = 4, start_s: float = 0.3):
    beats = start_s + np.arange(bars * meter) * 60 / bpm
    return tuple(beats), tuple(beats[::meter])


@pytest.mark.parametrize("bpm", [61, 90, 119.6, 174])
def test_tempo_is_the_rounded_mean(bpm):
    assert tempo_bpm(grid(bpm)[0]) == round(bpm)


@pytest.mark.parametrize("beats", [(), (1.0,), (2.0, 2.0)])
def test_no_tempo_without_two_beats(beats):
    assert tempo_bpm(beats) == 0


@pytest.mark.parametrize("meter", [2, 3, 4, 5])
def test_beats_per_bar(meter):
    assert beats_per_bar(*grid(100, meter=meter)) == meter


def test_bins_are_three_bpm_wide():
    keys = [group_key(*grid(bpm), BAM) for bpm in (117, 119, 120, 122, 123)]
    assert keys[0] == keys[1] != keys[2] == keys[3] != keys[4]


def test_clips_without_bar_lines_are_never_paired():
    beats, downbeats = grid(100)
    assert group_key(beats, downbeats[:1], BAM) is None
    assert group_key((), (), BAM) is None


def test_plain_mixup_pairs_any_two():
    plain = MixupConfig(kind="plain")
    assert group_key(*grid(80), plain) == group_key((), (), plain)


def test_synchronised_bars_need_the_same_meter():
    waltz, common = grid(100, meter=3), grid(100, meter=4)
    assert group_key(*waltz, BAM) == group_key(*common, BAM)
    bars = MixupConfig(kind="bam", sync="downbeats")
    assert group_key(*waltz, bars) != group_key(*common, bars)


def test_ten_thousand_draws_never_pair_a_clip_with_itself_or_another_tempo():
    rng = np.random.default_rng(0)
    tempi = rng.integers(70, 160, size=200)
    keys = [group_key(*grid(float(bpm)), BAM) for bpm in tempi]
    groups = PartnerGroups(keys)
    for _ in range(10_000):
        index = int(rng.integers(len(keys)))
        partner = groups.partner(index, rng)
        if partner is None:
            assert keys.count(keys[index]) == 1
        else:
            assert partner != index
            assert keys[partner] == keys[index]


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_partners_are_equally_likely(size, seed):
    rng = np.random.default_rng(seed)
    groups = PartnerGroups([(0,)] * size)
    draws = [groups.partner(1, rng) for _ in range(600)]
    counts = [draws.count(i) for i in range(size) if i != 1]
    assert min(counts) > 0.5 * 600 / (size - 1)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_clips_of_one_recording_are_never_paired(recordings, seed):
    rng = np.random.default_rng(seed)
    groups = PartnerGroups([(0,)] * len(recordings), recordings)
    for index, recording in enumerate(recordings):
        others = {i for i, other in enumerate(recordings) if other != recording}
        draws = {groups.partner(index, rng) for _ in range(40 * len(recordings))}
        assert draws == (others or {None})
        assert groups.num_partners(index) == len(others)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=10),
    st.floats(0, 1),
    st.sampled_from(["plain", "bam", "blm"]),
    st.integers(0, 2**32 - 1),
)
def test_only_clips_with_a_sure_pulse_are_paired(confidences, least, kind, seed):
    """Plain mixup knows no beats; 0 asks for nothing."""
    rng = np.random.default_rng(seed)

    def partners(config):
        groups = PartnerGroups([group_key(*grid(120), config, c) for c in confidences])
        return [
            {groups.partner(index, rng) for _ in range(40 * len(confidences))}
            for index in range(len(confidences))
        ]

    everyone = range(len(confidences))
    assert partners(MixupConfig(kind=kind)) == [{*everyone} - {i} or {None} for i in everyone]
    sure = {i for i in everyone if kind == "plain" or confidences[i] >= least}
    found = partners(MixupConfig(kind=kind, min_beat_confidence=least))
    assert found == [(sure - {i} or {None}) if i in sure else {None} for i in everyone]


def test_a_lonely_clip_has_no_partner():
    groups = PartnerGroups([(1,), (2,), None])
    assert [groups.partner(i, np.random.default_rng(0)) for i in range(3)] == [None] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": 1.5}, "mixup.probability=1.5"),
        ({"beta": 0.0}, "mixup.beta=0.0"),
        ({"tempo_bin_bpm": 0}, "mixup.tempo_bin_bpm=0"),
        ({"min_beat_confidence": 1.1}, "mixup.min_beat_confidence=1.1: must be between 0 and 1"),
    ],
)
def test_values_out_of_range_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        MixupConfig(kind="bam", **change)
