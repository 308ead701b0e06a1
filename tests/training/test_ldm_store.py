"""The feature store: what was written comes back, nothing stale does, kills lose little."""

import copy
import io
import pickle
from contextlib import redirect_stderr
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from tiny_music import write_tiny_music

from musicgen_ldm.config.mixup import MixupConfig
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.feature_store import FeatureCache, FeatureStore, clip_key, weights_digest
from musicgen_ldm.data.manifest import read_manifest
from musicgen_ldm.data.mixed_clips import MixedClipDataset, merged_captions
from musicgen_ldm.data.sampler import ClipRef
from musicgen_ldm.errors import AudioError


def features(value):
    return {"a": torch.full((2, 3), float(value)), "b": torch.tensor([value, value + 1])}


def test_what_was_written_is_read_by_another_process_too(tmp_path):
    store = FeatureStore(tmp_path, {"weights": "x"})
    store.write({"one": features(1), "two": features(2)})
    store.write({"three": features(3)})
    for reader in (
        store,
        FeatureStore(tmp_path, {"weights": "x"}),
        pickle.loads(pickle.dumps(store)),
    ):
        assert len(reader) == 3
        for number, key in enumerate(("one", "two", "three"), start=1):
            entry = reader.read(key)
            assert torch.equal(entry["a"], features(number)["a"])
            assert torch.equal(entry["b"], features(number)["b"])


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_is_drawn_on_a_terminal_only(tmp_path, terminal):
    cache = FeatureCache(FeatureStore(tmp_path, {}), [f"clip{i}" for i in range(70)], features)
    with redirect_stderr(io.StringIO()) as stderr:
        stderr.isatty = lambda: terminal
        cache.fill(range(70), "latents")
    assert ("latents: 100%" in stderr.getvalue()) == terminal


def test_another_identity_is_another_store(tmp_path):
    FeatureStore(tmp_path, {"weights": "x"}).write({"one": features(1)})
    other = FeatureStore(tmp_path, {"weights": "y"})
    assert "one" not in other


def test_a_killed_computation_goes_on_where_it_stopped(tmp_path):
    computed = []

    def compute(index):
        computed.append(index)
        return features(index)

    keys = [f"clip{i}" for i in range(100)]
    killed = FeatureCache(FeatureStore(tmp_path, {}), keys, compute)
    for index in range(70):  # one shard of 64 is complete
        assert killed[index]["b"].tolist() == [index, index + 1]
    (killed.store.folder / "torn.partial-1").write_bytes(b"killed while writing")
    computed.clear()
    again = FeatureCache(FeatureStore(tmp_path, {}), keys, compute)
    assert len(again.all(range(100), label="test")) == 100
    assert computed == list(range(64, 100))
    computed.clear()
    assert again[99]["b"].tolist() == [99, 100]
    assert not computed


def test_features_of_another_process_are_found(tmp_path):
    first = FeatureCache(FeatureStore(tmp_path, {}), ["one"], lambda index: features(1))
    second = FeatureCache(FeatureStore(tmp_path, {}), ["one"], lambda index: features(2))
    first.all([0], label="test")
    assert torch.equal(second[0]["a"], features(1)["a"])


def test_unusable_clips_are_left_out_of_many_and_raised_alone(tmp_path, caplog):
    def compute(index):
        if index == 1:
            raise AudioError("1.wav: cannot be read")
        return features(index)

    cache = FeatureCache(FeatureStore(tmp_path, {}), ["0", "1", "2"], compute)
    assert [int(f["b"][0]) for f in cache.all(range(3), label="test")] == [0, 2]
    assert "1.wav: cannot be read" in caplog.text
    with pytest.raises(AudioError, match=r"1\.wav"):
        cache[1]


def test_keys_change_with_what_the_features_depend_on(tmp_path):
    clip = next(read_manifest(write_tiny_music(tmp_path)))
    others = [
        replace(clip, sha256="0" * 64),
        replace(clip, captions=("another",)),
        replace(clip, start_s=1.0),
        replace(clip, downbeats_s=(0.0,)),
    ]
    keys = {clip_key(c) for c in (clip, *others)} | {clip_key(clip, 1)}
    assert len(keys) == 6
    assert clip_key(clip) == clip_key(replace(clip, licence="MIT", split="test"))


def test_weights_digest_sees_every_weight():
    first, second = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    second.load_state_dict(first.state_dict())
    assert weights_digest(first) == weights_digest(second)
    second.bias.data[1] += 1e-3
    assert weights_digest(first) != weights_digest(second)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    manifest = write_tiny_music(tmp_path_factory.mktemp("music"))
    chosen = [clip for clip in read_manifest(manifest) if clip.split == "train"]
    return ClipDataset(
        chosen, manifest.parent, sample_rate=16_000, num_samples=16_000, peak=0.5, seed=0
    )


@pytest.mark.parametrize("kind", ["none", "plain", "bam", "blm"])
def test_examples_depend_on_epoch_and_index_alone(clips, kind):
    dataset = MixedClipDataset(clips, MixupConfig(kind=kind, probability=1.0))
    first, again = dataset[ClipRef(3, 2)], dataset[ClipRef(3, 2)]
    other = dataset[ClipRef(4, 2)]
    assert first.keys() == again.keys()
    assert np.array_equal(first["waveform"], again["waveform"])
    assert not np.array_equal(first["waveform"], other["waveform"])
    assert first["mixed"] == (kind != "none")
    assert ("first" in first) == (kind == "blm")


def test_probability_zero_equals_no_mixup(clips):
    plain = MixedClipDataset(clips, MixupConfig(kind="none"))
    never = MixedClipDataset(clips, MixupConfig(kind="bam", probability=0.0))
    assert all(not never[ClipRef(0, index)]["mixed"] for index in range(len(clips)))
    assert plain[ClipRef(0, 1)]["captions"] == list(clips.clips[1].captions)


def test_mixtures_are_normalised_and_partners_share_the_tempo(clips):
    dataset = MixedClipDataset(clips, MixupConfig(kind="bam", probability=1.0))
    rng = np.random.default_rng(0)
    for index, clip in enumerate(clips.clips):
        partner = dataset.draw_partner(index, rng)
        assert partner.id != clip.id
        assert partner.tags.bpm == clip.tags.bpm
        example = dataset[ClipRef(0, index)]
        assert np.abs(example["waveform"]).max() <= 0.5 + 1e-6
        assert example["waveform"].shape == (16_000,)


def test_latent_halves_are_peak_normalised_on_their_own(clips):
    config = MixupConfig(kind="blm", probability=1.0, start="overlap")
    example = MixedClipDataset(clips, config)[ClipRef(0, 0)]
    assert 0 < example["ratio"] < 1
    for half in ("first", "second"):
        assert example[half].shape == (16_000,)
        assert np.abs(example[half]).max() <= 0.5 + 1e-6


def test_energy_matched_latent_halves_are_equally_loud(clips):
    quieter = replace_samples(clips, "clip2", lambda samples: 0.1 * samples)
    config = MixupConfig(kind="blm", probability=1.0, match_energy=True)
    for index in range(len(clips)):
        mixture = mixture_of(MixedClipDataset(quieter, config), index)
        levels = [np.sqrt(np.mean(part**2)) for part in (mixture.first, mixture.second)]
        assert levels[0] == pytest.approx(levels[1], rel=0.02)
        assert max(np.abs(mixture.first).max(), np.abs(mixture.second).max()) == pytest.approx(0.5)


@pytest.mark.parametrize("kind", ["plain", "bam", "blm"])
def test_an_unreadable_partner_leaves_the_anchor_unmixed(clips, kind):
    """Otherwise a single broken file would count against a new anchor in every epoch."""
    broken = {clip.id for clip in clips.clips[1:]}
    chosen = [replace(c, path="missing.wav") if c.id in broken else c for c in clips.clips]
    source = copy.copy(clips)
    source.clips = chosen
    dataset = MixedClipDataset(source, MixupConfig(kind=kind, probability=1.0))
    example = dataset[ClipRef(0, 0)]
    assert not example["mixed"]
    assert np.abs(example["waveform"]).max() > 0
    with pytest.raises(AudioError, match=r"missing\.wav"):
        dataset[ClipRef(0, 1)]


def mixture_of(dataset, index):
    rng = np.random.default_rng(index)
    return dataset.mixture(dataset.source.clips[index], dataset.draw_partner(index, rng), rng)


def replace_samples(clips, name, change):
    """The same clips, one of them changed as it is read."""
    folder = clips.root / "changed"
    folder.mkdir(exist_ok=True)
    changed = copy.copy(clips)
    changed.clips = list(clips.clips)
    for index, clip in enumerate(clips.clips):
        if clip.id == name:
            samples, rate = soundfile.read(clips.root / clip.path, dtype="float32")
            soundfile.write(folder / clip.path, change(samples), rate, subtype="FLOAT")
            changed.clips[index] = replace(clip, path=f"changed/{clip.path}")
    return changed


def test_merged_captions_cover_both_clips():
    merged = merged_captions(["A waltz", "A slow waltz"], ["Techno"], 0.8)
    assert merged == ["A waltz, together with techno", "A slow waltz, together with techno"]
    assert merged_captions(["A waltz"], [], 0.8) == ["A waltz"]
    config = MixupConfig(kind="bam", probability=1.0, merge_captions=True)
    assert config.merge_captions
