"""Takes of one prompt are no independent clips: what is heard thrice is no surer."""

import json

import numpy as np
import pytest
from synthetic_music import melody, write_folder

from musicgen_ldm.audio import Waveform
from musicgen_ldm.errors import MetricError
from musicgen_ldm.measure import signal_health
from musicgen_ldm.metrics import (
    divergence,
    diversity,
    evaluation,
    health,
    manifold,
    music_qa,
    novelty,
    text_audio,
)
from musicgen_ldm.metrics.embedders import load_embedder
from musicgen_ldm.metrics.presets import V1
from musicgen_ldm.metrics.request import EvaluationRequest

PROMPTS, TAKES = 60, 3
LABELS = [f"p{i}" for i in range(PROMPTS)]


def vectors(seed=0, width=6):
    return np.random.default_rng(seed).standard_normal((PROMPTS, width))


def manifold_of(x, prompts):
    found = manifold.evaluate(x, vectors(1) + 1.5, prompts=prompts)
    return [found["precision"], found["density"]]


def health_of(x, prompts):
    clips = [signal_health(Waveform((a[0] > 0) * np.tile(a, 2_000), 8_000)) for a in 0.1 * x]
    found = health.evaluate(clips, prompts)
    return [found["silent_share"], found["loudness_lufs"]]


def novelty_of(x, prompts):
    found = novelty.evaluate(np.tanh(x[:, 0]), train_train=np.tanh(vectors(2)[:, 0]),
                             thresholds={"90": 0.5}, prompts=prompts)  # fmt: skip
    return [found["sim_aa@90"], found["excess_train_train@90"]]


def music_qa_of(x, prompts):
    asked = [
        music_qa.Question(row, attribute, ("a", "b", "c", "d"), answer=0)
        for row in range(len(x)) for attribute in ("genre", "tempo")
    ]  # fmt: skip
    text = dict(zip("abcd", np.eye(6), strict=False))
    return list(music_qa.evaluate(asked, x, text, prompts).values())


@pytest.mark.parametrize(
    "measured",
    [
        manifold_of,
        health_of,
        novelty_of,
        music_qa_of,
        lambda x, prompts: diversity.evaluate(x, prompts=prompts).values(),
        lambda x, prompts: [divergence.inception_score(3 * x, prompts)],
        lambda x, prompts: [text_audio.clap_score(np.ones_like(x), x, prompts)],
    ],
)
def test_equal_takes_leave_the_interval_as_it_was(measured):
    once = measured(vectors(), LABELS)
    takes = measured(np.repeat(vectors(), TAKES, axis=0), np.repeat(LABELS, TAKES))
    for first, second in zip(once, takes, strict=True):
        assert second.value == pytest.approx(first.value)
        assert second.ci95 == pytest.approx(first.ci95, abs=0.01)


def test_two_questions_about_a_clip_are_not_independent():
    both, genre, tempo = music_qa_of(vectors(), None)
    assert genre.ci95 == tempo.ci95
    assert both.ci95 == pytest.approx(genre.ci95, abs=0.01)


def test_a_single_prompt_has_a_diversity_without_an_interval_and_no_inception_score():
    found = diversity.vendi(vectors(), prompts=["a"] * PROMPTS)
    assert found.value == diversity.vendi(vectors()).value
    assert np.isnan(found.se)
    with pytest.raises(MetricError, match="1 prompt has no error bar"):
        divergence.inception_score(vectors(), ["a"] * PROMPTS)


@pytest.fixture
def evaluated(audio, cache, workers, tiny_folder, tmp_path):
    def run(takes, prompts):
        names = [f"clip{i:02d}-take{take}" for i in range(12) for take in range(takes)]
        folder = tmp_path / f"takes{takes}"
        write_folder(folder, {name: melody(int(name[4:6])) for name in names})
        (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in prompts))
        request = EvaluationRequest(gen=folder, ref=audio / "ref", preset=V1,
                                    prompts=tmp_path / "p.jsonl")  # fmt: skip
        embedders = [load_embedder(f"clap:{tiny_folder}"), load_embedder("tagger")]
        found = evaluation.evaluate(request, embedders, cache, workers).metrics
        return {name.removesuffix(f".clap-{tiny_folder.name}.v1"): m for name, m in found.items()}

    return run


def test_an_evaluation_counts_prompts(evaluated):
    lines = [
        {"id": f"clip{i:02d}", "prompt": f"melody {i}", "genre": "abcd"[i % 4]} for i in range(12)
    ]
    for i, line in enumerate(lines[:5]):
        line["instruments"] = [f"instrument {i}"]
    once, thrice = evaluated(1, lines), evaluated(3, lines)
    for name in ("vendi", "density", "clap_ceiling", "loudness_lufs.v1", "is.tagger.v1"):
        assert thrice[name].ci95 == pytest.approx(once[name].ci95)
    for name in ("precision", "silent_share.v1"):
        assert thrice[name].ci95 == pytest.approx(once[name].ci95, abs=0.05)
    assert once["clap_ceiling"].n_ref == thrice["clap_ceiling"].n_ref == 12
    asked = {name: (m.n_gen, m.n_ref) for name, m in once.items() if name.startswith("music_qa")}
    assert asked == {
        "music_qa": (12, 17), "music_qa_genre": (12, 12), "music_qa_instrument": (5, 5),
    }  # fmt: skip
