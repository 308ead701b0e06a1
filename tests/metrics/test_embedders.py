"""Windows, weight-free features, CLAP, EnCodec and AST from folders, adapters of packages."""

import warnings

import numpy as np
import pytest
import torch
from synthetic_music import RATE, melody
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    EncodecConfig,
    EncodecModel,
)

from musicgen_ldm import checkpoint as checkpoints
from musicgen_ldm.audio import Waveform
from musicgen_ldm.errors import CheckpointError, MetricError, MissingExtraError
from musicgen_ldm.metrics.embedders import (
    Embedder,
    Excerpts,
    TextEmbedder,
    clip_vector,
    cut_windows,
    load_embedder,
    load_embedders,
    packages,
    window_starts,
)
from musicgen_ldm.models.clap import audio_windows


@pytest.mark.parametrize("seconds", [0.3, 1.0, 1.4, 2.0, 3.2, 7.9])
@pytest.mark.parametrize("name", ["logmel", "chroma", "logmel-3s"])
def test_windows_cover_every_clip_and_know_where_they_begin(name, seconds):
    embedder = load_embedder(name)
    samples = np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype(np.float32)
    windows = cut_windows(samples, embedder)
    starts = window_starts(len(windows), embedder)
    assert windows.shape == (len(starts), round(embedder.window_s * RATE))
    first = min(len(samples), windows.shape[1])
    np.testing.assert_array_equal(windows[0, :first], samples[:first])
    for window, start in zip(windows, starts, strict=True):
        assert window[0] == samples[round(start * RATE)]


def test_windows_equal_those_of_the_generator(tiny_folder):
    """Ranking takes and judging them must hear the same windows."""
    clap = load_embedder(f"clap:{tiny_folder}")
    for seconds in (0.7, 2.5, 11.3, 20.4):
        samples = np.random.default_rng(1).standard_normal(round(seconds * clap.sample_rate))
        samples = samples.astype(np.float32)
        ours = cut_windows(samples, clap)
        theirs = audio_windows(torch.from_numpy(samples), clap.clap.feature_extractor)
        np.testing.assert_array_equal(ours, theirs.numpy())


@pytest.mark.parametrize("name", ["logmel", "chroma", "chroma-3s"])
def test_weight_free_embedders_are_deterministic_and_batch_free(name):
    embedder = load_embedder(name)
    assert isinstance(embedder, Embedder)
    assert not isinstance(embedder, TextEmbedder)
    windows = cut_windows(melody(0), embedder)
    together = embedder(windows)
    assert together.frames.shape == (len(windows), 1, embedder.dim)
    assert together.frames.dtype == np.float32
    apart = np.concatenate([embedder(w[None]).frames for w in windows])
    np.testing.assert_allclose(together.frames, apart, atol=1e-5)
    assert embedder.identity == load_embedder(name).identity


def test_logmel_hears_level_and_chroma_hears_transposition():
    logmel, chroma = load_embedder("logmel"), load_embedder("chroma")
    quiet = cut_windows(0.1 * melody(0), logmel)
    assert logmel(quiet).frames.mean() < logmel(cut_windows(melody(0), logmel)).frames.mean()
    first = chroma(cut_windows(melody(0), chroma)).frames.mean(axis=(0, 1))[:12]
    moved = chroma(cut_windows(melody(0, semitones=5), chroma)).frames.mean(axis=(0, 1))[:12]
    assert np.corrcoef(np.roll(first, 5), moved)[0, 1] > 0.95 > np.corrcoef(first, moved)[0, 1]


def test_clap_folder_embeds_sound_and_sentences_in_one_space(tiny_folder):
    clap = load_embedder(f"clap:{tiny_folder}")
    assert isinstance(clap, TextEmbedder)
    assert clap.name == f"clap-{tiny_folder.name}"
    text = clap.text(["slow piano", "fast drums"])
    assert text.shape == (2, clap.dim)
    np.testing.assert_allclose(np.linalg.norm(text, axis=1), 1, atol=1e-5)
    samples = np.tile(melody(0, seconds=4), 4)[: 12 * RATE]
    waveform = Waveform(samples, RATE).resampled(clap.sample_rate)
    features = clap(cut_windows(waveform.mono, clap))
    vector = clip_vector(features)
    reference = clap.clap.audio([waveform])[0].numpy()
    np.testing.assert_allclose(vector / np.linalg.norm(vector), reference, atol=1e-5)


def test_a_folder_that_looks_like_a_hub_id_is_read_from_here(tiny_folder, tmp_path, monkeypatch):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "small").symlink_to(tiny_folder)
    monkeypatch.chdir(tmp_path)
    assert load_embedder("clap:checkpoints/small", offline=True).name == "clap-small"


def test_weights_stored_in_half_precision_hear_as_the_pipeline_does(tiny_folder, tmp_path):
    half = checkpoints.save(checkpoints.load(tiny_folder), tmp_path / "half", half=True)
    clap = load_embedder(f"clap:{half}")
    waveform = Waveform(melody(0, seconds=1), RATE).resampled(clap.sample_rate)
    vector = clip_vector(clap(cut_windows(waveform.mono, clap)))
    in_pipeline = checkpoints.load(half).clap.audio([waveform])[0].numpy()
    np.testing.assert_allclose(vector / np.linalg.norm(vector), in_pipeline, atol=1e-5)


def test_identity_follows_the_weights(tiny_folder, other_weights):
    clap, again, other = (
        load_embedder(f"clap:{folder}") for folder in (tiny_folder, tiny_folder, other_weights)
    )
    assert again.identity == clap.identity
    assert other.name == clap.name
    assert len({e.identity for e in (clap, other, Excerpts(clap), Excerpts(other))}) == 4


def test_encodec_and_ast_folders(tmp_path):
    torch.manual_seed(0)
    encodec = EncodecModel(
        EncodecConfig(num_filters=4, hidden_size=16, codebook_dim=16, num_lstm_layers=1,
                      sampling_rate=24_000, upsampling_ratios=[8, 5, 4, 2])
    )  # fmt: skip
    encodec.save_pretrained(tmp_path / "encodec")
    found = load_embedder(f"encodec:{tmp_path / 'encodec'}")
    features = found(np.zeros((2, 10 * found.sample_rate), dtype=np.float32))
    assert features.frames.shape == (2, 10, 16)
    encodec.config.normalize = True  # as the 48 kHz model: level says nothing
    encodec.save_pretrained(tmp_path / "loud")
    found = load_embedder(f"encodec:{tmp_path / 'loud'}")
    sound = np.random.default_rng(0).standard_normal((1, found.sample_rate)).astype(np.float32)
    np.testing.assert_allclose(found(sound).frames, found(0.01 * sound).frames, atol=1e-5)
    ast = ASTForAudioClassification(
        ASTConfig(hidden_size=24, num_hidden_layers=1, num_attention_heads=2,
                  intermediate_size=16, num_labels=5)
    )  # fmt: skip
    ast.save_pretrained(tmp_path / "ast")
    with pytest.raises(CheckpointError, match="preprocessor_config"):
        load_embedder(f"ast:{tmp_path / 'ast'}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the extractor's own empty filter
        ASTFeatureExtractor().save_pretrained(tmp_path / "ast")
    tagger = load_embedder(f"ast:{tmp_path / 'ast'}")
    features = tagger(cut_windows(melody(0), tagger))
    assert features.frames.shape == (1, 1, 24)
    assert features.logits.shape == (1, 5)


def test_embedders_of_one_name_are_refused(tiny_folder):
    assert [e.name for e in load_embedders(["logmel", "chroma"])] == ["logmel", "chroma"]
    with pytest.raises(MetricError, match=f"several embedders are called clap-{tiny_folder.name}"):
        load_embedders([f"clap:{tiny_folder}", f"clap:{tiny_folder}/"])


def test_missing_packages_name_their_installation(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(packages, "import_module", missing)
    for name, package in (("vggish", "torchvggish"), ("panns", "panns-inference"),
                          ("passt", "hear21passt")):  # fmt: skip
        with pytest.raises(MissingExtraError, match=f"pip install {package}"):
            load_embedder(name)


def test_packaged_models_keep_features_and_logits_apart(monkeypatch):
    class Wrapper(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, x):
            logits = x.mean(dim=1, keepdim=True).repeat(1, 527)
            return torch.cat([logits, torch.full((len(x), 768), 7.0)], dim=1)

    class Tagger:
        model = Wrapper()

        def __init__(self, device):
            pass

        def inference(self, audio):
            return np.full((len(audio), 527), 1.0, np.float32), np.ones((len(audio), 2048), "f4")

    class Package:
        AudioTagging = Tagger

        @staticmethod
        def get_basic_model(mode):
            assert mode == "all"
            return Wrapper()

    monkeypatch.setattr(packages, "import_module", lambda name: Package)
    passt = load_embedder("passt")(np.full((2, 32_000), 0.25, dtype=np.float32))
    assert (passt.frames == 7).all()
    assert passt.frames.shape == (2, 1, 768)
    np.testing.assert_allclose(passt.logits, 0.25)
    panns = load_embedder("panns")(np.zeros((3, 32_000), dtype=np.float32))
    assert panns.frames.shape == (3, 1, 2048)
    assert np.isfinite(panns.logits).all()


def test_unknown_names_list_the_known():
    with pytest.raises(MetricError, match=r"no embedder 'nonsense'; known: .*logmel"):
        load_embedder("nonsense")
    with pytest.raises(CheckpointError, match="no checkpoint 'absent'"):
        load_embedder("clap-absent")
    with pytest.raises(CheckpointError, match="neither a folder nor answered by the hub"):
        load_embedder("clap:someone/nothing", offline=True)
