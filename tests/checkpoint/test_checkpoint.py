"""Round trips, other people's tools, and everything that can be wrong with a folder."""

import json
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    ClapFeatureExtractor,
    ClapModel,
    ClapTextModelWithProjection,
    SpeechT5HifiGan,
)

from musicgen_ldm import GenerateRequest, MusicLDM
from musicgen_ldm.checkpoint import Checkpoint, identity, initialise, load, resolve, save, verify
from musicgen_ldm.errors import CheckpointError, OutputError
from musicgen_ldm.models.bridge import Bridge


def same_weights(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "damaged"))


def test_what_was_saved_is_loaded(tiny_checkpoint: Checkpoint, tiny_folder: Path) -> None:
    loaded = load(tiny_folder)
    for name, network in tiny_checkpoint.networks.items():
        assert same_weights(network, loaded.networks[name]), name
    assert loaded.mel == tiny_checkpoint.mel
    assert loaded.sampling == tiny_checkpoint.sampling
    assert torch.equal(loaded.clap.text(["hello"]), tiny_checkpoint.clap.text(["hello"]))


def test_what_was_loaded_is_saved_byte_for_byte(tiny_folder: Path, tmp_path: Path) -> None:
    """Wherever it lay; what transformers adds to its files it adds the first time."""
    first = save(load(tiny_folder), tmp_path / "first")
    again = save(load(first), tmp_path / "elsewhere" / "again")
    assert verify(again) == []
    hashes = [json.loads((f / "musicgen_ldm.json").read_text())["files"] for f in (first, again)]
    assert hashes[0] == hashes[1]
    assert not [f for f in again.rglob("*.json") if str(tmp_path) in f.read_text()]


def test_two_threads_may_load_at_once(tiny_folder: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        for loaded in threads.map(load, [tiny_folder] * 4):
            weights = [w for part in (loaded.unet, loaded.vae) for w in part.parameters()]
            assert not any(weight.is_meta for weight in weights)


def test_networks_are_frozen_and_in_evaluation_mode(tiny_folder: Path) -> None:
    for network in load(tiny_folder).networks.values():
        assert not network.training
        assert not any(p.requires_grad for p in network.parameters())


def test_every_component_opens_with_its_stock_class(
    tiny_checkpoint: Checkpoint, tiny_folder: Path
) -> None:
    stock = {
        "unet": UNet2DConditionModel,
        "vae": AutoencoderKL,
        "text_encoder": ClapModel,
        "vocoder": SpeechT5HifiGan,
    }
    for part, stock_class in stock.items():
        opened = stock_class.from_pretrained(tiny_folder / part)
        assert same_weights(opened, tiny_checkpoint.networks[part])
    assert ClapFeatureExtractor.from_pretrained(tiny_folder / "feature_extractor")
    tokens = AutoTokenizer.from_pretrained(tiny_folder / "tokenizer")("a tune")["input_ids"]
    assert tokens == tiny_checkpoint.clap.tokenizer("a tune")["input_ids"]


def test_stock_pipeline_opens_without_this_package(tiny_folder: Path) -> None:
    script = (
        "import sys; from diffusers import DiffusionPipeline;"
        f"pipe = DiffusionPipeline.from_pretrained({str(tiny_folder)!r});"
        "print(type(pipe).__name__, 'musicgen_ldm' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["MusicLDMPipeline", "False"]


def test_a_half_precision_checkpoint_renders_with_the_stock_pipeline(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """By its defaults: transformers would keep float16 where diffusers does not."""
    save(tiny_checkpoint, tmp_path / "half", half=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe = DiffusionPipeline.from_pretrained(tmp_path / "half")
    pipe.set_progress_bar_config(disable=True)
    embeds = torch.nn.functional.normalize(torch.randn(1, tiny_checkpoint.clap.dim), dim=-1)
    audio = pipe(
        prompt_embeds=embeds,
        negative_prompt_embeds=embeds.flip(1),
        num_inference_steps=2,
        audio_length_in_s=1.0,
    ).audios
    assert audio.shape == (1, 16_000)
    assert {network.dtype for network in (pipe.unet, pipe.vae, pipe.vocoder)} == {torch.float32}


def test_a_folder_saved_by_the_stock_pipeline_opens_here(
    tiny_checkpoint: Checkpoint, tiny_folder: Path, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        DiffusionPipeline.from_pretrained(tiny_folder).save_pretrained(tmp_path / "stock")
    loaded = load(tmp_path / "stock")
    assert loaded.metadata == {}
    assert loaded.mel == tiny_checkpoint.mel
    assert same_weights(loaded.unet, tiny_checkpoint.unet)


def test_half_precision_files_leave_the_model_in_memory_alone(
    tmp_path: Path,
) -> None:
    checkpoint = initialise("tiny", seed=3)
    before = checkpoint.unet.conv_in.weight.clone()
    save(checkpoint, tmp_path / "half", half=True)
    assert torch.equal(checkpoint.unet.conv_in.weight, before)
    stored = load_file(tmp_path / "half" / "unet" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    loaded = load(tmp_path / "half")
    assert loaded.unet.dtype == torch.float32
    torch.testing.assert_close(loaded.unet.conv_in.weight, before, atol=1e-3, rtol=0)


def test_bridges_travel_with_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = initialise("tiny")
    checkpoint.bridges["shift"] = Bridge("shift", 30.0, {"offset": torch.ones(32)})
    loaded = load(save(checkpoint, tmp_path / "with-bridge"))
    text = loaded.clap.text(["a"])
    torch.testing.assert_close(
        loaded.bridges["shift"].apply(text), checkpoint.bridges["shift"].apply(text)
    )


def published(folder: Path, heads: int) -> None:
    """Make a folder look like one of somebody else's."""
    (folder / "musicgen_ldm.json").unlink()
    config = folder / "unet" / "config.json"
    settings = json.loads(config.read_text())
    settings["attention_head_dim"] = heads
    config.write_text(json.dumps(settings))


def test_published_head_counts_are_corrected_unless_asked_not_to(folder: Path) -> None:
    published(folder, heads=8)
    assert load(folder).unet.config.attention_head_dim == [0, 1]
    assert load(folder, reference_heads=False).unet.config.attention_head_dim == 8


def test_other_head_counts_are_left_alone(folder: Path) -> None:
    published(folder, heads=2)
    assert load(folder).unet.config.attention_head_dim == 2


def test_audioldm_folders_hold_the_text_tower_alone(
    folder: Path, tiny_checkpoint: Checkpoint
) -> None:
    """`cvssp/audioldm` and its like: other text encoder, no feature extractor."""
    whole = tiny_checkpoint.clap.model
    tower = ClapTextModelWithProjection(whole.config.text_config)
    names = tower.state_dict().keys()
    tower.load_state_dict({k: v for k, v in whole.state_dict().items() if k in names})
    for part in ("text_encoder", "feature_extractor"):
        shutil.rmtree(folder / part)
    tower.save_pretrained(folder / "text_encoder")
    published(folder, heads=8)
    edit_index(folder, "text_encoder", ["transformers", "ClapTextModelWithProjection"])
    edit_index(folder, "feature_extractor", [None, None])

    loaded = load(folder)
    assert loaded.clap.dim == 32
    assert torch.equal(loaded.clap.text(["a tune"]), tiny_checkpoint.clap.text(["a tune"]))
    take = MusicLDM(loaded, device="cpu").generate(
        GenerateRequest(prompt="a tune", seconds=1, sampling={"steps": 1})
    )[0]
    assert "text_fit" not in take.scores


def edit_index(folder: Path, part: str, value: object) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {part: value}))


def test_position_ids_of_old_files_are_tolerated(folder: Path) -> None:
    file = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    key = "text_model.embeddings.position_ids"
    changed = {name: tensor for name, tensor in tensors.items() if name != key}
    save_file(changed | {key: torch.arange(514)[None]}, file, metadata={"format": "pt"})
    assert load(folder).clap.text(["a"]).shape == (1, 32)
    save_file(changed, file, metadata={"format": "pt"})
    assert load(folder).clap.text(["a"]).shape == (1, 32)


def test_a_missing_weight_is_an_error(folder: Path) -> None:
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors.pop("decoder.conv_in.weight")
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 weights are missing.*decoder\.conv_in\.weight"):
        load(folder)


def test_truncated_weights_are_an_error(folder: Path) -> None:
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"unet: cannot be loaded"):
        load(folder)


def test_pickles_are_refused(folder: Path) -> None:
    (folder / "vocoder" / "model.safetensors").unlink()
    torch.save({}, folder / "vocoder" / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin.*refused"):
        load(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model_index.json").write_text("{"), "not valid JSON"),
        (lambda f: shutil.rmtree(f / "vae"), "vae/ is missing"),
        (
            lambda f: (f / "unet" / "config.json").unlink(),
            "unet",
        ),
        (lambda f: (f / "model_index.json").unlink(), "no model_index.json"),
        (lambda f: (f / "model_index.json").write_text("{}"), "names no class for text_encoder"),
        (lambda f: edit_index(f, "scheduler", ["diffusers", "Magic"]), "Magic is no scheduler"),
        (lambda f: edit_index(f, "scheduler", ["diffusers", "logging"]), "logging is no scheduler"),
        (lambda f: (f / "tokenizer" / "tokenizer_config.json").write_text("[]"), "tokenizer: can"),
        (lambda f: (f / "tokenizer" / "tokenizer.json").write_text("{}"), "tokenizer: can"),
        (lambda f: (f / "musicgen_ldm.json").write_text('{"model": {"mel": 5}}'), "model.mel"),
        (lambda f: (f / "musicgen_ldm.json").write_text('{"sampling": 5}'), "sampling: "),
        (lambda f: (f / "musicgen_ldm.json").write_text('{"mel_ceiling": [1]}'), "64 finite"),
        (lambda f: (f / "musicgen_ldm.json").write_text('{"mel_ceiling": "x"}'), "mel_ceiling: "),
        (lambda f: (f / "musicgen_ldm.json").write_text('{"examples": "a"}'), "list of prompts"),
        (lambda f: (f / "musicgen_ldm.json").write_text('{"examples": [" "]}'), "list of prompts"),
        (lambda f: shutil.rmtree(f / "feature_extractor"), "feature_extractor/ is missing"),
        (lambda f: edit(f / "unet/config.json", sample_size=None), "sample_size is None"),
        (lambda f: edit(f / "unet/config.json", class_embed_type=None), "class_embed_type is None"),
        (lambda f: edit(f / "vae/config.json", scaling_factor=None), "scaling_factor is None"),
        (
            lambda f: edit(f / "scheduler/scheduler_config.json", prediction_type="magic"),
            "prediction_type is 'magic'",
        ),
        (
            lambda f: edit(f / "feature_extractor/preprocessor_config.json", hop_length=0),
            "hop_length is 0|feature_extractor: can",
        ),
        (lambda f: make_bridge(f, "{}"), "cannot be read as a bridge"),
        (lambda f: make_bridge(f, '{"mode": "magic"}'), "cannot be read as a bridge"),
    ],
)
def test_damaged_folders(folder: Path, damage: object, message: str) -> None:
    damage(folder)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=message):
        load(folder)


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def make_bridge(folder: Path, settings: str) -> None:
    Bridge("shift", 30.0, {"offset": torch.ones(32)}).save(folder / "bridge" / "shift")
    (folder / "bridge" / "shift" / "bridge.json").write_text(settings)


def test_unknown_names_list_the_known_ones(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSICGEN_LDM_CHECKPOINTS", str(tiny_folder.parent))
    assert resolve("tiny") == tiny_folder
    with pytest.raises(CheckpointError, match="known here: tiny"):
        resolve("no-such-name")


@pytest.mark.parametrize("offline", [True, False])
def test_offline_means_offline(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    """The one call that could reach a network is told to stay on the disk, or not."""
    asked = []

    def download(name: str, *, local_files_only: bool, **_: Any) -> str:
        asked.append((name, local_files_only))
        return str(tiny_folder)

    monkeypatch.setattr("musicgen_ldm.checkpoint_folders.snapshot_download", download)
    MusicLDM.from_pretrained("ucsd-reach/musicldm", device="cpu", offline=offline)
    assert asked == [("ucsd-reach/musicldm", offline)]


def test_a_hub_that_does_not_answer_is_a_sentence() -> None:
    with pytest.raises(CheckpointError, match="not on disk and the hub did not answer"):
        resolve("ucsd-reach/musicldm", offline=True)


@pytest.mark.parametrize("name", ["PNDMScheduler", "LMSDiscreteScheduler"])
def test_folders_with_other_schedulers_sound_the_same(
    folder: Path, tiny_model: MusicLDM, name: str
) -> None:
    """Only the noise schedule is taken from the file; who samples is the request's choice."""
    stock = getattr(diffusers, name).from_config(tiny_model.checkpoint.scheduler.config)
    stock.save_pretrained(folder / "scheduler")
    edit(folder / "model_index.json", scheduler=["diffusers", name])
    request = GenerateRequest(prompt="slow piano", seconds=1.0, sampling={"steps": 3})
    other = MusicLDM.from_pretrained(folder, device="cpu")
    a, b = (model.generate(request)[0].waveform.samples for model in (tiny_model, other))
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_hashes_find_a_changed_and_a_missing_file(folder: Path) -> None:
    assert verify(folder) == []
    (folder / "scheduler" / "scheduler_config.json").write_text("{}")
    (folder / "tokenizer" / "tokenizer.json").unlink()
    assert verify(folder) == [
        "tokenizer/tokenizer.json is missing",
        "scheduler/scheduler_config.json was changed",
    ]


def test_hashes_that_are_none_are_an_error(folder: Path) -> None:
    edit(folder / "musicgen_ldm.json", files=5)
    with pytest.raises(CheckpointError, match="carries no hashes"):
        verify(folder)


def test_identity_notices_files_that_were_changed(folder: Path) -> None:
    before = identity(load(folder))
    (folder / "notes.txt").write_text("mine")
    assert identity(load(folder)) == before
    edit(folder / "scheduler/scheduler_config.json", beta_end=0.02)
    assert identity(load(folder)) != before


def test_identity_follows_the_weights(tiny_checkpoint: Checkpoint, tiny_folder: Path) -> None:
    assert identity(load(tiny_folder)) == identity(load(tiny_folder))
    assert identity(tiny_checkpoint) == identity(initialise("tiny"))
    assert identity(tiny_checkpoint) != identity(initialise("tiny", seed=1))


def test_the_ceiling_of_the_mels_travels_with_the_checkpoint(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    ceiling = tuple(number / 10 for number in range(64))
    capped = replace(tiny_checkpoint, mel_ceiling=ceiling)
    assert identity(capped) != identity(tiny_checkpoint)
    assert load(save(capped, tmp_path / "capped")).mel_ceiling == ceiling


def test_examples_are_its_makers_word_and_do_not_change_what_it_is(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    assert tiny_checkpoint.examples == ()
    loaded = load(save(tiny_checkpoint, tmp_path / "new", metadata={"examples": ["slow piano"]}))
    assert loaded.examples == ("slow piano",)
    bare = load(save(tiny_checkpoint, tmp_path / "bare"))
    assert identity(loaded) == identity(bare)


def test_saving_never_replaces_and_never_leaves_halves(
    tiny_checkpoint: Checkpoint, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CheckpointError, match="exists already"):
        save(tiny_checkpoint, tiny_folder)

    def fail(folder: Path) -> dict[str, str]:
        raise OSError(28, "full")

    monkeypatch.setattr("musicgen_ldm.checkpoint.writing.file_hashes", fail)
    with pytest.raises(OutputError, match=r"new: cannot be written \(.*full.*has space"):
        save(tiny_checkpoint, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
