"""setup.cfg and the constraints agree, and no extra can break the base."""

import configparser
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]


def declared() -> dict[str, Requirement]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].splitlines()
    lines += [
        line for extra in config["options.extras_require"].values() for line in extra.splitlines()
    ]
    requirements = [Requirement(line) for line in lines if line.strip()]
    return {
        canonicalize_name(requirement.name): requirement
        for requirement in requirements
        if requirement.name != "musicgen-ldm"
    }


def pinned(name: str) -> dict[str, Version]:
    text = (ROOT / "constraints" / name).read_text()
    pins = re.findall(r"^([\w.-]+)==(\S+)$", text, re.M)
    return {canonicalize_name(package): Version(version) for package, version in pins}


@pytest.mark.parametrize("constraints", ["known-good.txt", "oldest.txt"])
def test_every_dependency_is_pinned_within_its_range(constraints):
    pins = pinned(constraints)
    for name, requirement in declared().items():
        assert name in pins, f"{name} is missing in constraints/{constraints}"
        assert requirement.specifier.contains(pins[name]), f"{name}=={pins[name]}"


def test_oldest_is_the_lower_bound():
    pins = pinned("oldest.txt")
    bounds = {
        name: Version(specifier.version)
        for name, requirement in declared().items()
        for specifier in requirement.specifier
        if specifier.operator == ">="
    }
    assert {name: pins[name] for name in bounds} == bounds


def test_no_extra_breaks_the_base():
    """See docs/decisions/0003-no-encodec-extra.md."""
    assert not {"torchaudio", "encodec"} & declared().keys()


def test_no_module_needs_torchaudio():
    sources = (ROOT / "musicgen_ldm").rglob("*.py")
    assert not [
        path
        for path in sources
        if re.search(r"^\s*(import|from) torchaudio", path.read_text(), re.M)
    ]


@pytest.mark.parametrize("name", ["Makefile", "Dockerfile"])
def test_the_demo_comes_with_what_plays_its_training_clips(name):
    text = (ROOT / name).read_text()
    assert '".[demo,corpus]"' in text
    assert "--no-deps tinysoundfont" in text


def test_a_container_is_built_from_what_it_copies_and_nothing_else():
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert {line[1:] for line in lines if line[:1] == "!"} == set(" ".join(copied).split())


def test_every_data_file_is_packaged():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    patterns = config["options.package_data"]["musicgen_ldm"].replace(" ", "").split(",")
    package = ROOT / "musicgen_ldm"
    packaged = {path for pattern in patterns for path in package.glob(pattern)}
    data = {
        path
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert data <= packaged
