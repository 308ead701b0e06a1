"""Facts as targets of classifiers on CLAP vectors."""

import itertools
import math

import pytest
import torch

from musicgen_ldm.data.facts import BPM_CLASSES_PER_OCTAVE, bpm_class
from musicgen_ldm.errors import TrainingError
from musicgen_ldm.training.clap_facts import FactClasses, FactHeads, fact_loss, facts_named

KNOWN = [
    {"genre": ("jazz",), "instrument": ("piano", "flute"), "meter": ("4/4",)},
    {"genre": ("rock",), "instrument": ("piano",), "meter": ("4/4",)},
    {"instrument": ("flute",)},
]


def test_targets_are_even_over_right_answers_and_zero_where_nothing_is_known():
    classes = FactClasses(KNOWN)
    assert classes.names == {"genre": ["jazz", "rock"], "instrument": ["flute", "piano"]}
    targets = classes.targets(KNOWN)
    assert targets["genre"].tolist() == [[1, 0], [0, 1], [0, 0]]
    assert targets["instrument"].tolist() == [[0.5, 0.5], [0, 1], [1, 0]]
    assert classes.targets([{"genre": ("polka",)}])["genre"].tolist() == [[0, 0]]


def test_clips_without_facts_are_refused():
    with pytest.raises(TrainingError, match="facts_weight"):
        FactClasses([{"genre": ("jazz",)}, {"genre": ("jazz",)}, {}])


def test_the_loss_of_even_guesses_is_the_logarithm_of_the_number_of_answers():
    classes = FactClasses(KNOWN)
    heads = FactHeads(classes, embedding_dim=8)
    for parameter in heads.parameters():
        torch.nn.init.zeros_(parameter)
    logits = heads(torch.randn(3, 8))
    assert fact_loss(logits, classes.targets(KNOWN)).item() == pytest.approx(math.log(2))


def test_unknown_facts_teach_nothing():
    classes = FactClasses(KNOWN)
    heads = FactHeads(classes, embedding_dim=8)
    fact_loss(heads(torch.randn(2, 8)), classes.targets([{}, {}])).backward()
    assert all(not p.grad.any() for p in heads.parameters())


def test_naming_any_right_answer_counts():
    classes = FactClasses(KNOWN)
    targets = classes.targets(KNOWN)
    logits = {
        "genre": torch.tensor([[1.0, 0], [1, 0], [1, 0]]),
        "instrument": torch.tensor([[0.0, 1], [0, 1], [0, 1]]),
    }
    assert facts_named(logits, targets) == pytest.approx({"genre": 1 / 2, "instrument": 2 / 3})


def test_tempo_classes_are_equal_ratios_finer_than_what_counts_as_met():
    ratio = 2 ** (1 / BPM_CLASSES_PER_OCTAVE)
    assert ratio < 1.04
    classes = [int(bpm_class(60 * ratio**k)) for k in range(30)]
    assert [b - a for a, b in itertools.pairwise(classes)] == [1] * 29
