"""Building a corpus folder: many clips, many workers, one result.

    OUT/corpus.json      what was asked for; a second run must ask for the same
    OUT/audio/*.flac     clips
    OUT/stems/ID/*.flac  stems, with `with_stems`; clips of two pieces have none
    OUT/midi/*.mid       scores, with `with_midi`
    OUT/manifest.jsonl   one line a clip, written last
    OUT/clips.log        finished clips of an unfinished run; gone when the manifest is written

Clips are written whole or not at all and enter the log after all their files, so a run that was
killed goes on where it stopped.
"""

import json
import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from tqdm import tqdm

from musicgen_ldm import __version__
from musicgen_ldm.corpus.clip import MadeClip, check_sample_rate, encode_flac, make_clip
from musicgen_ldm.corpus.genre import genres_digest
from musicgen_ldm.corpus.midi import write_midi
from musicgen_ldm.corpus.recipe import PRESETS, ClipPlan, check_genres, plan_clips
from musicgen_ldm.corpus.render import SoundBank
from musicgen_ldm.corpus.warmup import compile_kernels
from musicgen_ldm.data.manifest import parse_clip, write_manifest
from musicgen_ldm.errors import CorpusError, OutputError
from musicgen_ldm.whole_file import PARTIAL, whole_file

MANIFEST, SETTINGS, LOG = "manifest.jsonl", "corpus.json", "clips.log"


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What a corpus is made of; all that decides its bytes.

    Attributes:
        preset: One of `PRESETS`.
        seed: Of the whole corpus.
        num_clips: Clips; None takes the preset's number.
        genres: Genres to use; none means all.
        soundfonts: Fonts to play on; none means all known ones.
        sample_rate: Of the clips, Hz.
        is_stereo: Keep two channels.
        with_stems: Write the stems too.
        with_midi: Write the scores as MIDI files too.
    """

    preset: str = "train"
    seed: int = 0
    num_clips: int | None = None
    genres: tuple[str, ...] = ()
    soundfonts: tuple[Path, ...] = ()
    sample_rate: int = 16_000
    is_stereo: bool = False
    with_stems: bool = False
    with_midi: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without composing."""
        if self.preset not in PRESETS:
            raise CorpusError(
                f"no corpus preset is called {self.preset!r}; known: {', '.join(PRESETS)}"
            )
        check_sample_rate(self.sample_rate)

    def plans(self) -> list[ClipPlan]:
        """The clips to make."""
        preset = PRESETS[self.preset]
        num_clips = preset.num_clips if self.num_clips is None else self.num_clips
        return plan_clips(preset, num_clips, self.seed, self.genres)

    def settings(self, bank: SoundBank) -> dict[str, Any]:
        """What two runs must share to go on with one another; the number of clips may grow."""
        settings = asdict(self)
        del settings["num_clips"], settings["soundfonts"]
        return settings | {
            "genres": sorted(self.genres),
            "version": __version__,
            "genre_files": genres_digest(sorted(check_genres(self.genres))),
            "soundfonts": [font.info.name for font in bank.fonts],
            "oneshots": bank.oneshots.folder is not None,
        }


def build_corpus(
    out: str | Path, request: BuildRequest, *, workers: int = 1, show_progress: bool = False
) -> Path:
    """Make the corpus that `request` describes, or finish one that was begun.

    Args:
        out: Folder; created if needed.
        request: What to make.
        workers: Processes; the bytes do not depend on it.
        show_progress: Draw a progress bar on the terminal.

    Returns:
        Path of the manifest.

    Raises:
        CorpusError: If the folder holds another corpus, or a sound or genre is missing.
        OutputError: If the folder cannot be written.
    """
    if workers < 1:
        raise CorpusError(f"--workers is {workers}, must be at least 1")
    out = Path(out)
    bank = SoundBank.open(request.soundfonts)
    plans = request.plans()
    try:
        _claim(out, request.settings(bank))
        done = _finished(out)
        todo = [plan for plan in plans if plan.id not in done]
        with (out / LOG).open("a", encoding="utf-8") as log:
            made = _run(todo, out, request, workers)
            for record in tqdm(
                made, total=len(plans), initial=len(plans) - len(todo), unit="clip",
                desc=out.name, disable=None if show_progress else True,
            ):  # fmt: skip
                log.write(json.dumps(record, ensure_ascii=False) + "\n")
                log.flush()
                done[record["id"]] = record
        write_manifest(out / MANIFEST, (parse_clip(done[plan.id]) for plan in plans))
        (out / LOG).unlink()
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{out}: cannot write the corpus ({error}); give another folder") from (
            error
        )
    return out / MANIFEST


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Make the folder this corpus' own, or check that it is; sweep what a killed run left."""
    (out / "audio").mkdir(parents=True, exist_ok=True)
    path = out / SETTINGS
    if path.is_file():
        found = _settings_in(path)
        if found != settings:
            keys = [key for key in settings if found.get(key) != settings[key]]
            raise CorpusError(
                f"{out} holds a corpus made otherwise (differs in {', '.join(keys) or 'format'}); "
                "give the same options to finish it, or another folder"
            )
    elif any((out / "audio").iterdir()) or (out / MANIFEST).exists():
        raise CorpusError(f"{out} holds files of something else; give an empty folder")
    for rest in out.rglob(f"*{PARTIAL}"):
        rest.unlink()
    _write_whole(path, json.dumps(settings, indent=2).encode() + b"\n")


def _settings_in(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorpusError(f"{path}: not the settings of a corpus; give another folder") from error
    return settings if isinstance(settings, dict) else {}


def _finished(out: Path) -> dict[str, dict[str, Any]]:
    """Records of clips that an earlier run finished, by id."""
    done: dict[str, dict[str, Any]] = {}
    for name in (MANIFEST, LOG):
        path = out / name
        if path.is_file():
            done |= {record["id"]: record for record in _records_in(path)}
    if (out / LOG).is_file():
        text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in done.values())
        _write_whole(out / LOG, text.encode())
    return {name: record for name, record in done.items() if (out / record["path"]).is_file()}


def _records_in(path: Path) -> Iterator[dict[str, Any]]:
    """Records of the whole lines of a file; a killed run may leave half a line at its end."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith("\n"):
                return
            try:
                record = json.loads(line)
                parse_clip(record)
            except (ValueError, TypeError, AttributeError) as error:
                raise CorpusError(
                    f"{path}:{number}: no record of a clip; take the line out to make it anew"
                ) from error
            yield record


def _run(
    plans: list[ClipPlan], out: Path, request: BuildRequest, workers: int
) -> Iterator[dict[str, Any]]:
    """Make clips here or in worker processes, yielding records as they are finished."""
    if workers == 1 or len(plans) < 2:
        for plan in plans:
            yield _make_and_write(plan, out, request)
        return
    # Workers that compile the same kernel at once may spoil each other's entry in numba's cache.
    compile_kernels()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(plans)), context, _die_with_parent) as pool:
        futures = [pool.submit(_make_and_write, plan, out, request) for plan in plans]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise CorpusError(
                f"a worker process was ended from outside, perhaps for want of memory; run the "
                f"same command with fewer than {workers} workers to go on"
            ) from error
        except BaseException:
            # Leaving the block waits for what is pending, and forgets a shutdown that cancels it.
            for future in futures:
                future.cancel()
            raise


def _die_with_parent() -> None:
    """End this worker when the main process is gone; a killed one cannot say so itself."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel
        threading.Thread(target=lambda: (wait([sentinel]), os._exit(1)), daemon=True).start()


@lru_cache(maxsize=1)
def _bank(soundfonts: tuple[Path, ...]) -> SoundBank:
    """The sounds of this process; loading them takes seconds, so they stay."""
    return SoundBank.open(soundfonts)


def _make_and_write(plan: ClipPlan, out: Path, request: BuildRequest) -> dict[str, Any]:
    """Make a clip, write its files, return its record."""
    made = make_clip(
        plan,
        _bank(request.soundfonts),
        sample_rate=request.sample_rate,
        is_stereo=request.is_stereo,
        with_stems=request.with_stems,
    )
    if request.with_midi:
        _write_midi(made, plan, out)
    if made.stems:
        _write_stems(made, plan, out)
    _write_whole(out / made.clip.path, made.flac)
    return made.clip.to_json()


def _write_midi(made: MadeClip, plan: ClipPlan, out: Path) -> None:
    (out / "midi").mkdir(exist_ok=True)
    for number, score in enumerate(made.scores):
        suffix = f"-{number + 1}" if len(made.scores) > 1 else ""
        write_midi(score, out / "midi" / f"{plan.id}{suffix}.mid")


def _write_stems(made: MadeClip, plan: ClipPlan, out: Path) -> None:
    folder = out / "stems" / plan.id
    folder.mkdir(parents=True, exist_ok=True)
    for name, stem in made.stems.items():
        content = encode_flac(stem, is_stereo=True, subtype="PCM_24")
        _write_whole(folder / f"{name.replace(' ', '-')}.flac", content)


def _write_whole(path: Path, content: bytes) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(content)
