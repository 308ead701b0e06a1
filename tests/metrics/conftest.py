"""Small folders of synthetic music, shared by the tests of the evaluation."""

import json

import numpy as np
import pytest
import torch
from synthetic_music import RATE, SECONDS, melody, write_folder

from musicgen_ldm import checkpoint as checkpoints
from musicgen_ldm.metrics.cache import Cache
from musicgen_ldm.parallel import Workers


class OneWorker:
    """The state of a launch with a single process."""

    process_index, num_processes, is_main_process, device = 0, 1, True, "cpu"

    def wait_for_everyone(self):
        """Nobody to wait for."""


@pytest.fixture(scope="session")
def audio(tmp_path_factory):
    """Folders ref, gen (like ref), noisy (gen with noise) and prompts.jsonl of the same ids."""
    root = tmp_path_factory.mktemp("audio")
    ids = [f"clip{i:02d}" for i in range(12)]
    noise = np.random.default_rng(0).standard_normal(int(SECONDS * RATE)).astype(np.float32)
    gen = {name: melody(100 + i) for i, name in enumerate(ids)}
    write_folder(root / "ref", {name: melody(i) for i, name in enumerate(ids)})
    write_folder(root / "gen", gen)
    write_folder(root / "noisy", {name: x + 0.05 * noise for name, x in gen.items()})
    lines = [
        {"id": name, "prompt": f"melody number {i}", "bpm": 120, "genre": "ab"[i % 2]}
        for i, name in enumerate(ids)
    ]
    (root / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A cache that the tests share, as runs of one user do."""
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def other_weights(tiny_folder, tmp_path):
    """The tiny checkpoint under the same name, with one weight of its CLAP changed."""
    checkpoint = checkpoints.load(tiny_folder)
    with torch.no_grad():
        checkpoint.clap.model.audio_projection.linear2.bias[0] += 0.1
    return checkpoints.save(checkpoint, tmp_path / "other" / tiny_folder.name)


@pytest.fixture
def workers():
    """A launch with one process."""
    return Workers(OneWorker())
