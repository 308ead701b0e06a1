"""Ranking: novelty, agreement and health against text fit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicgen_ldm import GenerateRequest, MusicLDM, Waveform
from musicgen_ldm.bank import build, novelty_threshold
from musicgen_ldm.checkpoint import load
from musicgen_ldm.pipeline.takes import excerpt, measure, score

REQUEST = GenerateRequest(
    prompt="slow piano", seconds=1.5, sampling={"sampler": "dpm++", "steps": 2, "guidance": 1.0}
)


def entry(name: str) -> dict[str, object]:
    return {"id": name, "captions": ["a"], "licence": "CC0-1.0", "source": "x", "attribution": "y"}


def test_a_copy_of_a_training_clip_is_named_and_loses_rank(
    tiny_model: MusicLDM, tiny_folder: Path, tmp_path: Path
) -> None:
    take = tiny_model.generate(REQUEST)[0]
    own = tiny_model.checkpoint.clap.audio([take.waveform])[0].numpy()
    rng = np.random.default_rng(0)
    rows = [(own, entry("copied"))] + [(rng.standard_normal(32), entry(f"c{i}")) for i in range(5)]
    bank = build(tmp_path / "bank", rows, embedder="clap-tiny", identity="x", dim=32)
    with_bank = replace(tiny_model.checkpoint, bank=bank)
    scores, novelty = score(with_bank, take.waveform, REQUEST, take.measured)
    nearest = novelty["nearest"]
    assert nearest[0]["id"] == "copied"
    assert len(nearest) == 3
    assert nearest[0]["licence"] == "CC0-1.0"
    assert scores["nearest_training"] == pytest.approx(1, abs=1e-3)
    assert novelty["novelty_threshold"] == {"similarity": 0.90, "is_calibrated": False}
    assert scores["rank"] == pytest.approx(take.scores["rank"] - 0.1, abs=1e-3)
    assert take.record["nearest"] == []


def test_one_copied_window_of_a_long_piece_is_found(
    tiny_model: MusicLDM, rng: np.random.Generator, tmp_path: Path
) -> None:
    clap = tiny_model.checkpoint.clap
    size = clap.feature_extractor.nb_max_samples
    parts = (0.1 * rng.standard_normal((4, size)) * np.sin(np.arange(size) / 50)).astype("f4")
    parts[2] = 0.5 * np.sign(np.sin(np.arange(size) / 9))
    piece = Waveform(parts.reshape(1, -1), clap.feature_extractor.sampling_rate)
    copied = clap.windows(piece)[2].numpy()
    others = [(rng.standard_normal(32), entry(f"c{i}")) for i in range(5)]
    rows = [(copied, entry("copied"))] * 3 + others  # three windows that sound alike
    bank = build(tmp_path / "bank", rows, embedder="clap-tiny", identity="x", dim=32)
    with_bank = replace(tiny_model.checkpoint, bank=bank)
    assert bank.nearest(clap.audio([piece]).numpy())[0][0].similarity < 0.99
    scores, novelty = score(with_bank, piece, REQUEST, {"health": 1.0})
    assert scores["nearest_training"] == pytest.approx(1, abs=1e-5)
    assert novelty["nearest"][0]["id"] == "copied"
    assert len({clip["id"] for clip in novelty["nearest"]}) == 3


def test_the_rank_uses_the_threshold_of_the_bank(tiny_model: MusicLDM, tmp_path: Path) -> None:
    take = tiny_model.generate(REQUEST)[0]
    own = tiny_model.checkpoint.clap.audio([take.waveform])[0].numpy()
    aside = np.linalg.qr(np.column_stack([own, np.ones(32)]))[0][:, 1]
    angles = np.deg2rad(6) * np.arange(15)  # of the clips to the take, 8 recordings at each
    rows = [
        (np.cos(angle) * own + np.sin(angle) * aside, entry(f"c{index}-{copy}"))
        for index, angle in enumerate(angles)
        for copy in range(8)
    ]
    bank = build(tmp_path / "bank", rows, embedder="clap-tiny", identity="x", dim=32)
    limit = novelty_threshold(bank)
    with_bank = replace(tiny_model.checkpoint, bank=bank)
    scores, novelty = score(with_bank, take.waveform, REQUEST, take.measured)
    assert limit.is_calibrated
    assert limit.similarity == pytest.approx(1, abs=1e-3)  # this music is full of twins
    assert novelty["novelty_threshold"]["similarity"] == limit.similarity
    # A clip as near as the training clips are to each other is no fault of the take.
    assert scores["nearest_training"] == pytest.approx(1, abs=1e-3)
    assert scores["rank"] == pytest.approx(take.scores["rank"], abs=2e-3)


def test_a_checkpoint_opens_its_own_bank(tiny_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(tiny_folder, tmp_path / "with-bank"))
    rows = [(np.ones(32), entry("one"))]
    build(folder / "novelty", rows, embedder="clap-tiny", identity="x", dim=32)
    checkpoint = load(folder)
    assert checkpoint.bank is not None
    assert len(checkpoint.bank) == 1


def test_silence_is_a_fault_and_ranks_last(tiny_model: MusicLDM) -> None:
    take = tiny_model.generate(REQUEST)[0]
    silent = replace(take.waveform, samples=0 * take.waveform.samples)
    measured = measure(silent, REQUEST, ())
    assert measured["faults"] == ["silent"]
    scores, _ = score(tiny_model.checkpoint, silent, REQUEST, measured)
    assert scores["rank"] < take.scores["rank"] or take.scores["health"] == 0


def test_a_take_is_the_best_of_its_candidates(tiny_model: MusicLDM) -> None:
    draws = {take.take: take for take in tiny_model.generate(replace(REQUEST, takes=4))}
    of_two = replace(REQUEST, takes=2, sampling=REQUEST.sampling | {"candidates": 2})
    told: list[tuple[int, int, int]] = []
    takes = tiny_model.iterate(of_two, on_progress=lambda t, p: told.append((t, p.step, p.total)))
    for number, take in enumerate(takes):
        best = max(draws[2 * number], draws[2 * number + 1], key=lambda draw: draw.scores["rank"])
        assert np.array_equal(take.waveform.samples, best.waveform.samples)
        assert take.scores == best.scores
        assert (take.take, take.record["draw"]) == (number, best.take)
    assert told == [(take, step, 4) for take in (0, 1) for step in (1, 2, 3, 4)]


def test_a_silent_draw_is_drawn_again(
    tiny_model: MusicLDM, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = {take.take: take for take in tiny_model.generate(replace(REQUEST, takes=2))}
    drawn: list[int] = []
    draw = tiny_model.draw

    def silent_first(*args: Any, **options: Any) -> Waveform:
        sound, number = draw(*args, **options), args[3]
        drawn.append(number)
        return replace(sound, samples=0 * sound.samples) if number == 0 else sound

    monkeypatch.setattr(tiny_model, "draw", silent_first)
    first, second = tiny_model.iterate(replace(REQUEST, takes=2))
    assert len(drawn) == 3
    assert "silent" not in first.measured["faults"]
    assert first.record["draw"] == drawn[1] > 1  # noise of its own, not that of the next take
    assert not np.array_equal(first.waveform.samples, heard[1].waveform.samples)
    assert np.array_equal(second.waveform.samples, heard[1].waveform.samples)

    monkeypatch.setattr(tiny_model, "draw", lambda *_, **__: replace(
        first.waveform, samples=0 * first.waveform.samples
    ))  # fmt: skip
    (take,) = tiny_model.iterate(REQUEST)
    assert take.measured["faults"] == ["silent"]  # said, not hidden, when nothing else comes
    again = next(tiny_model.iterate(replace(REQUEST, first_take=take.record["draw"])))
    assert again.record["draw"] == take.record["draw"]  # which `reproduce` relies on


def test_excerpts_are_clipped_to_the_sound(tiny_model: MusicLDM) -> None:
    waveform = tiny_model.generate(REQUEST)[0].waveform
    assert excerpt(waveform, -1.0, 0.5).seconds == 0.5
    assert excerpt(waveform, 1.0, 99.0).seconds == pytest.approx(0.5)


def test_sound_that_begins_in_silence_is_measured_as_far_as_it_goes() -> None:
    samples = np.zeros((1, 70 * 16_000), dtype=np.float32)
    samples[0, 65 * 16_000 :] = 0.3 * np.sin(np.arange(5 * 16_000) / 10)
    found = measure(Waveform(samples, 16_000), REQUEST, (5.0,))
    assert "bpm" not in found
    assert found["seam"] == 0.0
    assert "gaps" in found["faults"]


def test_loud_sound_is_measured_as_it_will_be_written() -> None:
    tone = 1.7 * np.sin(2 * np.pi * 220 * np.arange(32_000) / 16_000)
    loud = Waveform(tone[None].astype(np.float32), 16_000)
    assert measure(loud, GenerateRequest(prompt="a"), ())["faults"] == []
    flat = Waveform(loud.samples.clip(-1, 1), 16_000)
    assert measure(flat, GenerateRequest(prompt="a"), ())["faults"] == ["clipped"]
