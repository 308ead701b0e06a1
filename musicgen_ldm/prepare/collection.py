"""A folder of music as a whole: its tracks, what is said about them, and which are repeated."""

import json
import multiprocessing
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import torch
from tqdm import tqdm

from musicgen_ldm.beats import get_tracker
from musicgen_ldm.config.prepare import PrepareConfig
from musicgen_ldm.data.manifest import Tags
from musicgen_ldm.errors import ManifestError, RequestError
from musicgen_ldm.parallel import Workers
from musicgen_ldm.prepare.captions import Facts, Words, words_of
from musicgen_ldm.prepare.duplicates import find_duplicates
from musicgen_ldm.prepare.track import Track, examine_track, hash_file
from musicgen_ldm.prepare.walk import find_audio
from musicgen_ldm.whole_file import whole_file

MEASUREMENT_VERSION = 2  # raise it when a measurement changes, so that kept ones are not reused
NO_WORDS = Words((), Tags(), None, None, None, ())


@dataclass(frozen=True)
class Collection:
    """All that is known about a folder of music.

    Attributes:
        tracks: One an audio file, sorted by path.
        words: What is said about each track, in the same order.
        repeats: Track index -> (index of the same recording seen earlier, kind of repetition).
        broken_sidecars: Path of a track -> why its JSON sidecar cannot be read.
    """

    tracks: tuple[Track, ...]
    words: tuple[Words, ...]
    repeats: dict[int, tuple[int, str]]
    broken_sidecars: dict[str, str]


def survey(
    folder: Path,
    config: PrepareConfig,
    *,
    table: Mapping[str, Facts] | None = None,
    workers: int = 1,
    show_progress: bool = False,
    kept: Path | None = None,
) -> Collection:
    """Measure and read everything below `folder`.

    Args:
        folder: With the music.
        config: Clip lengths and beat tracker.
        table: Rows of a captions table.
        workers: Processes; each takes whole tracks.
        show_progress: Draw a progress bar on a terminal.
        kept: Folder for finished measurements, which a later run takes up; also measures beats,
            tempo and key. None measures the signal alone and keeps nothing.

    Raises:
        AudioError: If the folder is missing or holds no audio.
    """
    paths = [path.absolute() for path in find_audio(folder)]
    measure = partial(measure_track, config=config, kept=kept)
    bar = tqdm(total=len(paths), unit="track", disable=None if show_progress else True)
    with bar:
        tracks = []
        for track in _spread(measure, paths, workers):
            tracks.append(track)
            bar.update()
    words, broken = [], {}
    for path in paths:
        try:
            words.append(words_of(path, folder.absolute(), table))
        except ManifestError as error:
            broken[str(path)] = str(error)
            words.append(NO_WORDS)
    return Collection(tuple(tracks), tuple(words), find_duplicates(tracks), broken)


def measure_share(folder: Path, config: PrepareConfig, kept: Path, launched: Workers) -> None:
    """Measure this process's share of the tracks below `folder`, and wait for the others.

    Args:
        folder: With the music.
        config: Clip lengths and beat tracker.
        kept: Folder of finished measurements, which `survey` takes up then.
        launched: The processes that share the work.

    Raises:
        AudioError: If the folder is missing or holds no audio.
    """
    for path in launched.share(find_audio(folder)):
        measure_track(path.absolute(), config=config, kept=kept)
    launched.wait()


def measure_track(path: Path, *, config: PrepareConfig, kept: Path | None) -> Track:
    """Measurements of one file, taken from `kept` if its bytes were measured before."""
    try:
        digest = hash_file(path)
    except OSError as error:
        return Track(path=str(path), sha256="", error=f"cannot be opened ({error.strerror})")
    if kept is None:
        return examine_track(path, digest, config, music=False)
    record = kept / f"{digest}-{_settings_hash(config)}.json"
    if record.is_file():
        return replace(Track.from_json(json.loads(record.read_text())), path=str(path))
    track = examine_track(path, digest, config, music=True)
    with whole_file(record) as written:
        written.write_text(json.dumps(track.to_json()))
    return track


def _settings_hash(config: PrepareConfig) -> str:
    """Short hash of what measurements depend on."""
    settings = asdict(config)
    relevant = [settings[name] for name in ("clip_seconds", "min_seconds")]
    relevant.append(get_tracker(config.tracker).identity)
    return sha256(json.dumps([MEASUREMENT_VERSION, *relevant]).encode()).hexdigest()[:8]


def _spread(measure: "partial[Track]", paths: list[Path], workers: int) -> Iterator[Track]:
    """Tracks in the order of `paths`, measured by `workers` processes."""
    if workers == 1:
        yield from map(measure, paths)
        return
    # Forking a process that has used torch's threads can hang; spawned ones start clean.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        try:
            yield from pool.map(measure, paths)
        except BrokenProcessPool as error:
            raise RequestError(
                f"--workers {workers}: a worker was killed, most likely for lack of memory; "
                "run the command again with fewer, finished tracks are kept"
            ) from error
