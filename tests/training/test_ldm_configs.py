"""The shipped clap and ldm configurations say what their comments promise."""

from pathlib import Path

import pytest

from musicgen_ldm.config.training import OptimConfig
from musicgen_ldm.errors import ConfigError
from musicgen_ldm.training.stages import load_stage_config

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted([*CONFIGS.glob("*/clap*.yaml"), *CONFIGS.glob("*/ldm*.yaml")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_shipped_configuration_loads(path):
    config = load_stage_config(path)
    assert config.stage == path.stem.split("_")[0]
    assert config.preset == path.parent.name
    crop = getattr(config, "crop_seconds", None)
    if crop:
        assert config.model.latent_shape(crop)[1] % config.model.unet.factor == 0


def test_the_faithful_recipe_is_the_published_one():
    config = load_stage_config(CONFIGS / "musicldm/ldm.yaml")
    assert config.optim == OptimConfig(lr=3e-5, warmup_steps=1000)
    assert config.ema.decay == 0.9999
    assert config.model.diffusion.prediction_type == "epsilon"
    assert (config.condition.source, config.condition.dropout) == ("audio", 0.1)
    mixup = config.mixup
    assert (mixup.beta, mixup.tempo_bin_bpm) == (5.0, 3)
    assert (mixup.start, mixup.sync, mixup.match_energy) == ("random", "start", False)


def test_the_text_fine_tune_changes_the_condition_and_starts_from_the_denoiser():
    base = load_stage_config(CONFIGS / "musicldm/ldm.yaml")
    tuned = load_stage_config(CONFIGS / "musicldm/ldm_text.yaml")
    assert tuned.condition.source == "text"
    assert tuned.mixup.kind == "none"
    assert tuned.components.unet == base.run.out
    assert tuned.optim == base.optim


@pytest.mark.parametrize("stage", ["pocket/ldm.yaml", "tagger.yaml", "spectrum.yaml"])
def test_a_starting_point_that_would_be_ignored_is_refused(stage):
    with pytest.raises(ConfigError, match="init"):
        load_stage_config(CONFIGS / stage, ["init=checkpoints/pocket"])
