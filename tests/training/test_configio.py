from dataclasses import dataclass, field
from typing import Literal

import pytest

from musicgen_ldm.config.training import EmaConfig, RunConfig, StageConfig
from musicgen_ldm.configio import build, dump_yaml, load_config, parse_overrides, read_settings
from musicgen_ldm.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Optim:
    lr: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    kind: Literal["adam", "adamw"] = "adam"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    name: str
    steps: int = 10
    amp: bool = False
    optim: Optim = field(default_factory=lambda: Optim(lr=0.5))
    ema: Optim | None = None
    sizes: tuple[int, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self):
        if self.steps < 1:
            raise ConfigError(f"steps={self.steps}: must be at least 1")


@pytest.fixture
def write(tmp_path):
    def write(text, name="run.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_values_are_read_by_their_declared_type(write):
    path = write("name: 7\noptim:\n  lr: 1e-4\n  betas: [0, 9e-1]\nsizes: [1, 2]\nweights: {a: 1}")
    config = load_config(Experiment, path)
    assert config.name == "7"
    assert config.optim == Optim(lr=1e-4, betas=(0.0, 0.9))
    assert config.sizes == (1, 2)
    assert config.weights == {"a": 1.0}


def test_a_nested_mapping_keeps_the_defaults_of_its_parent(write):
    config = load_config(Experiment, write("name: a\noptim: {kind: adamw}"))
    assert config.optim == Optim(lr=0.5, kind="adamw")


def test_overrides_win_over_the_file_and_the_file_over_its_include(write):
    write("name: base\nsteps: 1\noptim: {lr: 1, kind: adamw}", "base.yaml")
    path = write("include: base.yaml\nsteps: 2\noptim: {lr: 2}")
    config = load_config(Experiment, path, ["optim.lr=3e-5", "ema={lr: 4}"])
    assert (config.name, config.steps) == ("base", 2)
    assert config.optim == Optim(lr=3e-5, kind="adamw")
    assert config.ema == Optim(lr=4.0)
    assert load_config(Experiment, path, ["ema.lr=4", "ema=null"]).ema is None


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        (
            "name: a\noptim:\n  lrr: 1",
            [],
            r"run.yaml:3: optim.lrr is not a field of Optim; known: lr, ",
        ),
        ("name: a", ["optim.lrr=1"], r"command line \(optim.lrr=1\): optim.lrr is not a field"),
        ("name: a\nsteps: many", [], r"run.yaml:2: steps='many' must be a whole number"),
        ("name: a\nsteps: true", [], "steps=True must be a whole number"),
        ("name: a\nsteps: 1.5", [], "steps=1.5 must be a whole number"),
        ("name: a\namp: 1", [], "amp=1 must be true or false"),
        ("name: a\noptim: {lr: fast}", [], "optim.lr='fast' must be a number"),
        ("name: a\noptim: {kind: sgd}", [], "optim.kind='sgd' must be one of adam, adamw"),
        ("name: a\noptim: {betas: [1]}", [], "optim.betas=.* must be a list of 2 values"),
        ("name: a\noptim: 3", [], "optim=3 must be a mapping"),
        ("name: a\nsizes: 3", [], "sizes=3 must be a list"),
        ("name: null", [], "name=None must be text"),
        ("steps: 3", [], "run.yaml: name must be given"),
        ("name: a\nsteps: 0", [], "run.yaml: steps=0: must be at least 1"),
        ("name: [", [], "run.yaml: not valid YAML"),
        ("- a", [], "run.yaml: must be a mapping"),
        ("name: a", ["steps"], "an override is written key=value"),
        ("include: missing.yaml", [], "missing.yaml: no such configuration file"),
    ],
)
def test_every_mistake_is_named_with_its_place(write, text, overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_config(Experiment, write(text), overrides)


def test_an_include_may_not_include(write):
    write("include: other.yaml", "base.yaml")
    with pytest.raises(ConfigError, match=r"base.yaml:1: an included file may not include"):
        read_settings(write("include: base.yaml"))


def test_dump_reads_back_to_an_equal_object(write):
    config = StageConfig(stage="vae", preset="pocket", ema=EmaConfig(decay=0.99), seed=3)
    assert load_config(StageConfig, write(dump_yaml(config))) == config
    assert build(StageConfig, parse_overrides(["stage=vae", "ema=null"])).ema is None


def test_no_choice_of_the_schema_is_a_word_that_yaml_reads_as_a_truth_value():
    for precision in ("fp32", "bf16", "fp16"):
        assert build(RunConfig, parse_overrides([f"precision={precision}"])).precision == precision


def test_ranges_of_the_schema_are_checked(write):
    with pytest.raises(ConfigError, match=r"ema.decay=1.0: must lie in \[0, 1\)"):
        load_config(StageConfig, write("stage: vae\nema: {decay: 1}"))
    with pytest.raises(ConfigError, match=r"run.save_every=0: must be at least 1"):
        RunConfig(save_every=0)
    with pytest.raises(ConfigError, match="preset='huge': must be one of musicldm"):
        StageConfig(stage="vae", preset="huge")
