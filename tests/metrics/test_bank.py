"""The novelty bank: exactness, exclusion, growth, removal and crash safety."""

import json
import tracemalloc

import numpy as np
import pytest

from musicgen_ldm import bank as banks
from musicgen_ldm.bank import reader, writer
from musicgen_ldm.config.novelty import Threshold
from musicgen_ldm.errors import MetricError, OutputError


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def entries(count, first=0, per_track=1):
    return [
        {"id": f"clip-{i}", "track": f"track-{i // per_track}", "licence": "CC0-1.0",
         "attribution": "A. Name", "captions": [f"caption {i}"]}
        for i in range(first, first + count)
    ]  # fmt: skip


@pytest.fixture
def vectors():
    return np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)


@pytest.fixture
def bank(tmp_path, vectors, monkeypatch):
    monkeypatch.setattr(writer, "SHARD_ROWS", 128)
    rows = zip(vectors, entries(300, per_track=3), strict=True)
    return banks.build(tmp_path / "novelty", rows, embedder="logmel", identity="x", dim=16)


@pytest.mark.parametrize("block_rows", [1, 37, 1000])
def test_search_equals_brute_force(bank, vectors, block_rows):
    queries = np.random.default_rng(1).standard_normal((20, 16))
    similarities, rows = bank.search(queries, 5, block_rows=block_rows)
    cosines = unit(queries) @ unit(vectors).T
    np.testing.assert_array_equal(rows, np.argsort(-cosines, axis=1)[:, :5])
    np.testing.assert_allclose(similarities, -np.sort(-cosines, axis=1)[:, :5], atol=2e-4)
    assert (np.diff(similarities, axis=1) <= 0).all()


def test_query_blocks_bound_memory_and_change_no_bit(bank, monkeypatch):
    queries = np.random.default_rng(3).standard_normal((20_000, 16))
    own = np.resize(bank.tracks(), len(queries))
    tracemalloc.start()
    whole = bank.search(queries, 20, exclude_tracks=own)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6  # the candidates of all queries at once are 72 MB
    monkeypatch.setattr(reader, "BLOCK_QUERIES", 37)
    for first, second in zip(whole, bank.search(queries, 20, exclude_tracks=own), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("cosine", [0.89, 0.91, 0.949, 0.951, 1.0])
def test_a_planted_copy_is_found_at_its_cosine(bank, vectors, cosine):
    target = unit(vectors[40:41])[0].astype(np.float64)
    away = np.random.default_rng(2).standard_normal(16)
    away -= away @ target * target
    query = cosine * target + (1 - cosine**2) ** 0.5 * away / np.linalg.norm(away)
    [[found]] = bank.nearest(query[None], 1)
    assert found.row == 40
    assert found.similarity == pytest.approx(cosine, abs=2e-4)
    assert found.entry["id"] == "clip-40"
    assert found.entry["licence"] == "CC0-1.0"


def test_an_exact_copy_scores_one(bank, vectors):
    similarities, _ = bank.search(vectors[:10] * 7, 1)
    np.testing.assert_allclose(similarities, 1, atol=2e-6)


def test_own_track_is_left_out(bank, vectors):
    own = bank.tracks()[:30]
    _, rows = bank.search(vectors[:30], 4, exclude_tracks=own)
    assert (rows // 3 != np.arange(30)[:, None] // 3).all()


def test_exclusion_of_everything_leaves_empty_places(tmp_path, vectors):
    rows = [(v, {"id": str(i), "track": "one"}) for i, v in enumerate(vectors[:3])]
    small = banks.build(tmp_path / "b", rows, embedder="e", identity="i", dim=16)
    similarities, rows = small.search(vectors[:1], 2, exclude_tracks=[banks.track_hash("one")])
    assert np.isneginf(similarities).all()
    assert (rows == -1).all()


def circle(folder, rows, degrees):
    angles = np.deg2rad(degrees) * np.arange(rows)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    pairs = zip(points, entries(rows), strict=True)
    return banks.build(folder, pairs, embedder="x", identity="x", dim=2)


def test_the_training_clips_set_the_novelty_threshold(tmp_path):
    found = banks.novelty_threshold(circle(tmp_path / "bank", 170, degrees=2))
    assert found.is_calibrated
    assert found.similarity == pytest.approx(np.cos(np.deg2rad(2)), abs=1e-3)


def test_one_in_ten_training_clips_exceeds_the_threshold_however_many_windows_it_has(tmp_path):
    rng = np.random.default_rng(0)
    windows = [{**e, "window_s": 10.0 * w} for e in entries(150) for w in range(20)]
    pairs = zip(rng.standard_normal((len(windows), 8)), windows, strict=True)
    bank = banks.build(tmp_path / "long", pairs, embedder="x", identity="x", dim=8)
    limit = banks.novelty_threshold(bank)
    nearest, _ = bank.search(bank.rows(range(3000)), 1, exclude_tracks=bank.tracks())
    reached = nearest.reshape(150, 20).max(axis=1)
    assert limit.is_calibrated
    assert (reached > limit.similarity).mean() == pytest.approx(0.1)
    few = banks.prune(bank, [f"clip-{i}" for i in range(60)])[0]
    assert not banks.novelty_threshold(few).is_calibrated  # 1,800 windows are but 90 clips


def test_too_few_training_clips_leave_the_published_threshold(tmp_path):
    found = banks.novelty_threshold(circle(tmp_path / "bank", 20, degrees=2))
    assert found == Threshold(0.90, is_calibrated=False)


@pytest.mark.parametrize("text", ["{", "[]", '{"shards": [5]}'])
def test_a_damaged_index_is_named(bank, text):
    (bank.folder / "bank.json").write_text(text)
    with pytest.raises(MetricError, match=r"bank.json: is damaged .*copy the bank again"):
        banks.Bank.open(bank.folder)


def test_reopened_and_extended(bank, vectors):
    again = banks.Bank.open(bank.folder)
    assert again == bank
    assert len(again) == 300
    extra = np.eye(16)[:2]
    longer = banks.extend(again, zip(extra, entries(2, first=300), strict=True))
    assert len(longer) == 302
    [[found]] = longer.nearest(extra[1:], 1)
    assert found.entry["id"] == "clip-301"
    np.testing.assert_allclose(longer.rows([301, 0]), unit(np.stack([extra[1], vectors[0]])),
                               atol=1e-3)  # fmt: skip
    assert [e["id"] for e in longer.all_entries()][-1] == "clip-301"


def test_extending_twice_adds_once(bank):
    def windows(sha256, starts):
        return [
            (np.eye(16)[i], {"id": "new", "sha256": sha256, "window_s": start})
            for i, start in enumerate(starts)
        ]

    once = banks.extend(bank, windows("a", (0.0, 10.0)))
    assert len(once) == 302
    assert banks.extend(once, windows("a", (0.0, 10.0))) == once
    assert len(list(bank.folder.glob("shard-*.npy"))) == 2 * len(once.shards)
    moved = [(vector, {**entry, "id": "moved"}) for vector, entry in windows("a", (0.0,))]
    assert banks.extend(once, moved) == once  # the same file under another name
    with pytest.raises(MetricError, match=r"holds another clip called new; prune it first"):
        banks.extend(once, windows("b", (0.0,)))
    assert len(banks.Bank.open(bank.folder)) == 302


def test_pruned_tracks_are_gone_from_rows_entries_and_disk(bank, vectors):
    smaller, removed = banks.prune(bank, ["track-2", "clip-200"])
    assert removed == 4
    assert len(smaller) == 296
    names = [entry["id"] for entry in smaller.all_entries()]
    assert not {"clip-6", "clip-7", "clip-8", "clip-200"} & set(names)
    for row in (0, 50, 250):
        [[found]] = smaller.nearest(smaller.rows([row]), 1)
        assert found.row == row
        assert found.entry["id"] == names[row]
    text = b"".join(path.read_bytes() for path in bank.folder.glob("*.jsonl"))
    assert b'"clip-7"' not in text
    assert len(list(bank.folder.glob("shard-*.npy"))) == 2 * len(smaller.shards)


def test_a_typo_is_no_removal(bank):
    before = sorted(bank.folder.iterdir())
    with pytest.raises(MetricError, match="holds no track-9999; nothing was removed"):
        banks.prune(bank, ["track-1", "track-9999"])
    assert sorted(bank.folder.iterdir()) == before  # no half-made replacement lingers
    assert len(banks.Bank.open(bank.folder)) == 300


def test_an_interrupted_extension_leaves_the_old_bank_and_the_next_one_cleans_up(bank):
    def broken():
        yield from zip(np.eye(16), entries(16, first=300), strict=True)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        banks.extend(bank, broken())
    assert len(banks.Bank.open(bank.folder)) == 300
    (bank.folder / "shard-000099.npy").write_bytes(b"left behind")
    banks.extend(bank, [(np.eye(16)[0], {"id": "new"})])
    assert len(banks.Bank.open(bank.folder)) == 301
    assert not (bank.folder / "shard-000099.npy").exists()


def test_misuse_is_named(bank, tmp_path):
    with pytest.raises(MetricError, match="novelty bank build"):
        banks.Bank.open(tmp_path)
    with pytest.raises(OutputError, match="is a bank; extend it"):
        banks.build(bank.folder, [], embedder="e", identity="i", dim=16)
    with pytest.raises(MetricError, match=r"needs \(Q, 16\); embed them with logmel"):
        bank.search(np.ones((1, 8)), 1)
    with pytest.raises(MetricError, match="k is 301, must be 1 to 300"):
        bank.search(np.ones((1, 16)), 301)
    with pytest.raises(MetricError, match="zero or not finite"):
        bank.search(np.zeros((1, 16)), 1)
    with pytest.raises(MetricError, match="x: embedding of shape"):
        banks.extend(bank, [(np.ones(3), {"id": "x"})])
    with pytest.raises(MetricError, match="lacks an id"):
        banks.extend(bank, [(np.ones(16), {"track": "x"})])
    (bank.folder / f"{bank.shards[0][0]}.npy").unlink()
    with pytest.raises(MetricError, match="is missing; copy the bank again"):
        banks.Bank.open(bank.folder)
    index = bank.folder / "bank.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "schema": 9}))
    with pytest.raises(MetricError, match="schema 9"):
        banks.Bank.open(bank.folder)
