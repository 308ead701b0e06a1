"""Evaluation prompts: sentences in held-out words, with what each of them asks for.

What is asked is read off the words again, so that nothing is judged that a prompt did not say.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_ldm.corpus.facts import Facts, facts_from_json
from musicgen_ldm.corpus.genre import load_genre
from musicgen_ldm.corpus.mentions import mentions
from musicgen_ldm.corpus.recipe import check_seed
from musicgen_ldm.corpus.words import ATTEMPTS, write_captions
from musicgen_ldm.data.manifest import Clip, Tags, read_manifest
from musicgen_ldm.data.merged_genres import merged_genre
from musicgen_ldm.errors import CorpusError, OutputError
from musicgen_ldm.whole_file import whole_file

MEASURED_MODES = ("major", "minor")  # of those that captions speak of


def prompt_set(clips: Iterable[Clip], count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Evaluation prompts in held-out words, with what each asks for.

    Genres take turns, so a rare genre is asked for as often as a common one; a clip serves again
    only when every clip of its genre has served. Clips of two pieces are left out.

    Args:
        clips: Clips of the built-in corpus, whose extra field "facts" says what is audible.
        count: Number of prompts, all different.
        rng: Source of all choices.

    Returns:
        Records {id, prompt, clip, asked}; `asked` holds genre, lead, instruments, drums, solo,
        electronic, tempo_word, bpm and key as the words of the prompt ask for them, None where
        they do not, and felt, the pulse that a listener taps relative to the beat.

    Raises:
        CorpusError: If there is no clip, one has no facts, or the prompts run out.
    """
    queue = _by_turns(clips, rng)
    prompts: dict[str, dict[str, Any]] = {}
    for _ in range(count * ATTEMPTS):
        if len(prompts) == count:
            break
        clip, facts = next(queue)
        (prompt,) = write_captions(clip.tags, facts, rng, split="test", count=1)
        if prompt not in prompts:
            prompts[prompt] = {
                "id": f"prompt-{len(prompts):04d}",
                "prompt": prompt,
                "clip": clip.id,
                "asked": asked_of(prompt, clip.tags, facts),
            }
    if len(prompts) < count:
        raise CorpusError(f"only {len(prompts)} of {count} prompts differ; give more clips")
    return list(prompts.values())


def _by_turns(clips: Iterable[Clip], rng: np.random.Generator) -> Iterator[tuple[Clip, Facts]]:
    """Clips with their facts, one of each genre in turn, for ever."""
    groups: dict[str | None, list[tuple[Clip, Facts]]] = defaultdict(list)
    for clip in clips:
        if "sequence" in clip.extra:  # two pieces in one clip: no single wish describes it
            continue
        if "facts" not in clip.extra:
            raise CorpusError(f"clip {clip.id} has no facts; build it with `musicgen-ldm corpus`")
        groups[clip.tags.genre].append((clip, facts_from_json(clip.extra["facts"])))
    if not groups:
        raise CorpusError("no clips to write prompts about; give at least one")
    queues = [[group[i] for i in rng.permutation(len(group))] for group in groups.values()]
    turn = 0
    while True:
        for index in rng.permutation(len(queues)):
            yield queues[index][turn % len(queues[index])]
        turn += 1


def asked_of(prompt: str, tags: Tags, facts: Facts) -> dict[str, Any]:
    """What the words of `prompt` ask for, of the things that evaluation can measure.

    Who asks for an electronic genre asks for electronic sound, whether or not the word falls; who
    names several instruments asks for a band. A word for many genres ("jazz") or instruments
    ("saxophone") asks for none of them, and a church mode is no key that is measured.
    """
    said = mentions(prompt)
    genre = tags.genre if _names_genre(said, tags.genre) else None
    names_lead = any(names == (facts.lead,) for names in said["instruments"].values())
    instruments = {names[0] for names in said["instruments"].values() if len(names) == 1}
    has_key = said["key"] and tags.mode in MEASURED_MODES
    electronic = None if said["sound"] is None else said["sound"] == "electronic"
    if genre and facts.kind == "electronic":
        electronic = True
    return {
        "genre": genre,
        "lead": facts.lead if names_lead else None,
        "instruments": sorted(instruments) or None,
        "drums": said["drums"],
        "solo": True if said["solo"] else False if len(said["instruments"]) > 1 else None,
        "electronic": electronic,
        "tempo_word": said["tempo"],
        "felt": round(facts.felt_bpm / tags.bpm, 2) if facts.felt_bpm and tags.bpm else None,
        "bpm": said["bpm"],
        "key": f"{tags.key} {tags.mode}" if has_key else None,
    }


def _names_genre(said: Mapping[str, Any], genre: str | None) -> bool:
    """Whether some phrase means `genre` or what is judged as one with it, and nothing else.

    In words for one instrument alone ("solo violin blues") only solo genres are meant.
    """
    for names in said["genres"].values():
        meant = [name for name in names if _is_solo(name)] if said["solo"] else []
        if {merged_genre(name) for name in meant or names} == {merged_genre(genre or "")}:
            return True
    return False


@cache  # of the genres of the lexicon
def _is_solo(genre: str) -> bool:
    return load_genre(genre).kind == "solo"


def write_prompts(manifest: Path, target: Path, *, count: int, seed: int) -> int:
    """Write the prompt set of a corpus as JSONL that `generate` and `evaluate` read.

    Args:
        manifest: Of a built corpus, or its folder. Clips of the split "test" are used where
            there are some, all clips otherwise.
        target: File to write, whole or not at all.
        count: Number of prompts.
        seed: Of all choices.

    Returns:
        How many clips the prompts were drawn from.

    Raises:
        CorpusError: If `count` or `seed` is out of range, the prompts run out, or the clips are
            not of the built-in corpus.
        ManifestError: If the manifest is missing or bad.
        OutputError: If the file cannot be written.
    """
    check_seed(seed)
    if count < 1:
        raise CorpusError(f"a prompt set has at least one prompt, got --count {count}")
    path = manifest / "manifest.jsonl" if manifest.is_dir() else manifest
    clips = list(read_manifest(path))
    held_out = [clip for clip in clips if clip.split == "test"]
    prompts = prompt_set(held_out or clips, count, np.random.default_rng(seed))
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in prompts)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error}); give another OUT") from error
    return len({record["clip"] for record in prompts})
