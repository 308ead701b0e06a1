"""Obedience: shares, floors and ceilings in closed form, and the table that shows them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from synthetic_music import melody, write_folder

from musicgen_ldm.config.tempo_words import fits_tempo_word, tempo_word
from musicgen_ldm.errors import MetricError
from musicgen_ldm.measure import Key, Tempo, parse_key
from musicgen_ldm.metrics import evaluation, judging, obedience, obedience_report
from musicgen_ldm.metrics.clips import Prompt, parse_prompt, reference_id
from musicgen_ldm.metrics.embedders import load_embedder
from musicgen_ldm.metrics.obedience import ATTRIBUTES, Heard, obeyed, shuffled_floor
from musicgen_ldm.metrics.presets import get_preset
from musicgen_ldm.metrics.request import EvaluationRequest


def prompts(**asked):
    """Prompts that ask for one attribute with the given values."""
    ((name, values),) = asked.items()
    return [replace(Prompt(text="x"), **{name: value}) for value in values]


def hears(**heard):
    ((name, values),) = heard.items()
    return [Heard(**{name: value}) for value in values]


def value(name, asked, heard):
    return obeyed(ATTRIBUTES[name], asked, heard).value


def test_shares_count_what_was_asked():
    tempi = prompts(bpm=[120, 120, None, 90])
    pulses = hears(tempo=[Tempo(121, 1), Tempo(60, 1), Tempo(80, 1), Tempo(None, 0)])
    assert value("tempo_exact", tempi, pulses) == pytest.approx(1 / 3)
    assert value("tempo_octave", tempi, pulses) == pytest.approx(2 / 3)
    keys = prompts(key=[parse_key(k) for k in ("F# major", "A minor", "C major")])
    found = hears(key=[Key("Gb", "major"), Key("C", "major"), None])
    assert value("key_exact", keys, found) == pytest.approx(1 / 3)
    assert value("key_weighted", keys, found) == pytest.approx((1 + 0.3) / 3)
    bands = prompts(instruments=[("piano", "bass"), ()])
    played = hears(instruments=[frozenset({"piano"}), frozenset({"harp"})])
    assert value("instruments_f1", bands, played) == pytest.approx(2 / 3)
    assert value("instruments", bands, played) == pytest.approx(1 / 2)
    more = hears(instruments=[frozenset({"piano", "bass", "harp"})])
    assert value("instruments", bands[:1], more) == 1  # what was not asked for may sound
    leads = prompts(lead=["piano", "flute", None])
    present = hears(instruments=[frozenset({"piano", "harp"}), frozenset({"harp"}), frozenset()])
    share = obeyed(ATTRIBUTES["lead"], leads, present)
    assert share.value == 0.5
    assert share.ci95 == pytest.approx((0.0945, 0.9055), abs=1e-4)  # Wilson, 1 of 2
    with pytest.raises(MetricError, match="no prompt asks"):
        obeyed(ATTRIBUTES["genre_top1"], leads, present)


def test_traits_are_right_only_when_they_agree():
    asked = prompts(drums=[True, False, False, None])
    heard = hears(traits=[{"drums": True}, {"drums": True}, {"drums": False}, {"drums": True}])
    assert value("drums", asked, heard) == pytest.approx(2 / 3)
    assert value("solo", prompts(solo=[True]), [Heard()]) == 0  # not heard is wrong


def test_genres_are_judged_merged():
    asked = prompts(genre=["acid-techno", "polka", "my-own"])
    heard = hears(genres=[("techno", "polka"), ("techno", "polka"), ("my-own",)])
    assert value("genre_top1", asked, heard) == pytest.approx(2 / 3)
    assert value("genre_top5", asked, heard) == 1
    ranked = judging.ranked_genres(
        ("techno", "polka", "acid-techno"), np.array([0.3, 0.4, 0.3])
    )  # two halves of techno beat the polka
    assert ranked == ("techno", "polka")


@pytest.mark.parametrize("bpm", [40, 84, 90, 94, 108, 122, 126, 133, 200])
def test_tempo_words_fit_where_a_listener_uses_them(bpm):
    fitting = {word for word in ("slow", "medium", "fast") if fits_tempo_word(word, bpm)}
    word = tempo_word(bpm)
    assert fitting >= {word} if word else len(fitting) == 2


def test_tempo_words_mean_the_felt_pulse():
    bossa = Prompt(text="x", tempo_word="slow", felt=0.5)
    rock = Prompt(text="x", tempo_word="slow")
    pulse = Heard(tempo=Tempo(140, 1))
    assert value("tempo_word", [bossa], [pulse]) == 1
    assert value("tempo_word", [rock], [pulse]) == 0
    assert value("tempo_word", [rock], [Heard()]) == 0


def test_the_floor_is_the_mean_over_all_wrong_pairs():
    rng = np.random.default_rng(0)
    names = [f"p{i // 2}" for i in range(12)]  # two takes a prompt
    asked = prompts(lead=[("a", "b", None)[int(n[1:]) % 3] for n in names])
    heard = hears(instruments=[frozenset(rng.choice(["a", "b", "c"], 2)) for _ in names])
    pairs = [
        p.lead in h.instruments
        for p, own in zip(asked, names, strict=True) if p.lead
        for h, other in zip(heard, names, strict=True) if other != own
    ]  # fmt: skip
    assert shuffled_floor(ATTRIBUTES["lead"], asked, heard, names) == pytest.approx(np.mean(pairs))
    with pytest.raises(MetricError, match="at least 2 prompts"):
        shuffled_floor(ATTRIBUTES["lead"], asked[:2], heard[:2], names[:2])


def test_a_deaf_judge_scores_its_floor():
    asked = prompts(drums=[True, False] * 10)
    heard = hears(traits=[{"drums": True}] * 20)
    floor = shuffled_floor(ATTRIBUTES["drums"], asked, heard, [str(i) for i in range(20)])
    assert value("drums", asked, heard) == pytest.approx(floor) == 0.5


def test_key_score_equals_mir_eval():
    mir_eval_key = pytest.importorskip("mir_eval.key")
    names = [f"{t} {m}" for t in ("C", "F#", "Bb", "A") for m in ("major", "minor")]
    for asked in names:
        for heard in names:
            expected = mir_eval_key.weighted_score(asked, heard)
            assert obedience.key_score(parse_key(asked), parse_key(heard)) == expected


def test_evaluate_gives_what_is_asked_for():
    both = [Prompt(text="x", bpm=100, lead="piano"), Prompt(text="y")]
    scores = obedience.evaluate(both, [Heard(), Heard()])
    assert list(scores) == ["lead", "tempo_exact", "tempo_octave"]


def test_prompts_say_what_they_ask():
    asked = {"lead": "flute", "drums": False, "solo": None, "tempo_word": "slow", "felt": 0.5}
    record = {"id": "a", "prompt": "x", "clip": "c1", "asked": asked}
    prompt = parse_prompt(record)
    assert (prompt.lead, prompt.drums, prompt.solo, prompt.clip) == ("flute", False, None, "c1")
    assert (prompt.tempo_word, prompt.felt) == ("slow", 0.5)
    assert reference_id("a", {"a": prompt}, {"c1"}) == "c1"
    assert reference_id("a", {"a": prompt}, {"a", "c1"}) == "a"
    assert reference_id("a", {"a": prompt}, {"b"}) is None
    for wrong, message in (({"drums": "no"}, "drums is 'no'"), ({"tempo_word": "brisk"}, "brisk")):
        with pytest.raises(MetricError, match=message):
            parse_prompt({"prompt": "x", **wrong})


def test_real_clips_of_the_prompts_are_the_ceiling(tmp_path, cache, workers):
    write_folder(tmp_path / "gen", {f"p{i}": melody(i) for i in range(3)})
    write_folder(tmp_path / "real", {f"clip{i}": melody(10 + i) for i in range(2)})
    lines = [
        {"id": f"p{i}", "prompt": "x", "clip": f"clip{i}",
         "asked": {"bpm": (120, 200, 120)[i], "tempo_word": "medium", "lead": "harp"}}
        for i in range(3)
    ]  # fmt: skip
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    request = EvaluationRequest(
        gen=tmp_path / "gen", ref=tmp_path / "real", prompts=tmp_path / "prompts.jsonl",
        metrics=("obedience",), preset=get_preset("v1"),
    )  # fmt: skip
    found = evaluation.evaluate(request, [load_embedder("logmel")], cache, workers)
    share, ceiling = (found.metrics[f"obeys.tempo_exact{part}.v1"] for part in ("", "_ceiling"))
    assert (share.n_gen, share.value) == (3, pytest.approx(2 / 3))
    assert (ceiling.n_ref, ceiling.value) == (2, 0.5)
    assert share.details["shuffled_floor"] == pytest.approx(4 / 6)
    assert "FLOOR_NOT_BEATEN" in share.warnings
    assert [row["obeys.tempo_exact"] for row in found.rows] == [1, 0, 1]
    assert "needs the tagger" in found.metrics["obeys.lead.v1"].reason
    record = evaluation.write(found, tmp_path / "run")
    table = obedience_report.table(record["metrics"]).splitlines()
    assert table[0].split() == " ".join(obedience_report.HEADER).split()
    exact = next(line for line in table if line.startswith("tempo_exact"))
    assert exact.split()[1] == "66.7%"
    assert exact.split()[-2:] == ["66.7%", "3"]
    assert not any(line.startswith("lead") for line in table)
    assert obedience_report.table({}) == ""
