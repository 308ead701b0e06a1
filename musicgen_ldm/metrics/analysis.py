"""From files to features: each file is decoded once for all embedders, and never twice ever.

Decoding runs in threads ahead of the networks; windows of many clips fill one batch; every
result goes through the cache, so an interrupted run goes on where it stopped, and the workers of
`accelerate launch` meet there.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from musicgen_ldm.audio import FloatArray, Waveform, read_audio
from musicgen_ldm.beats import get_tracker
from musicgen_ldm.errors import AudioError, MetricError
from musicgen_ldm.measure import Health, Key, Tempo, measure_key, measure_tempo, signal_health
from musicgen_ldm.metrics.cache import Arrays, Cache
from musicgen_ldm.metrics.clips import AudioFile
from musicgen_ldm.metrics.embedders import Embedder, Features, cut_windows
from musicgen_ldm.metrics.embedders.base import identify
from musicgen_ldm.metrics.presets import Preset
from musicgen_ldm.parallel import Workers

Item = TypeVar("Item")
Out = TypeVar("Out")

SIGNAL = "signal-1"  # cache identity of the signal's health
BATCH_WINDOWS = 32
DECODERS = 4  # threads; libsndfile and soxr release the interpreter
AHEAD = 64  # files decoded but not yet embedded, at most


@dataclass(frozen=True)
class Analysis:
    """What is known of one file.

    Attributes:
        file: Id and path.
        sha256: Of the file's bytes, and of the stretch where it is not the whole file.
        file_sha256: Of the file's bytes.
        seconds: Length.
        sample_rate: Of the file, Hz.
        health: Of the untouched signal.
        tempo: Measured, if asked for.
        key: Measured, if asked for; None also for silence.
        features: By embedder name.
    """

    file: AudioFile
    sha256: str
    file_sha256: str
    seconds: float
    sample_rate: int
    health: Health
    tempo: Tempo | None = None
    key: Key | None = None
    features: dict[str, Features] = field(default_factory=dict)


@dataclass(frozen=True)
class Unread:
    """A file that could not be used, and why."""

    file: AudioFile
    reason: str


def analyse(
    files: Sequence[AudioFile],
    embedders: Sequence[Embedder],
    preset: Preset,
    cache: Cache,
    workers: Workers,
    *,
    music_ids: Collection[str] = (),
) -> tuple[list[Analysis], list[Unread]]:
    """Analyse files, using every worker of the launch.

    Args:
        files: In any order; results follow it.
        embedders: Models; each sees every file.
        preset: Preprocessing before the embedders.
        cache: Where results go and come from.
        workers: Each computes its share; all return everything.
        music_ids: Files whose tempo and key are measured too, which takes longest.
    """
    run = _Run(list(embedders), preset, cache, frozenset(music_ids))
    run.fill(workers.share(files), show=workers.is_main)
    workers.wait()
    # What the others computed is in the cache; unreadable files fail again, with their reasons.
    unread = run.fill(files, show=False)
    bad = {entry.file.id for entry in unread}
    return [run.read(file) for file in files if file.id not in bad], unread


@dataclass
class _Pending:
    """Windows waiting for a full batch of one embedder."""

    embedder: Embedder
    identity: str
    hashes: list[str] = field(default_factory=list)
    windows: list[FloatArray] = field(default_factory=list)

    def add(self, sha256: str, windows: FloatArray, cache: Cache) -> None:
        self.hashes.append(sha256)
        self.windows.append(windows)
        if sum(map(len, self.windows)) >= BATCH_WINDOWS:
            self.flush(cache)

    def flush(self, cache: Cache) -> None:
        if not self.hashes:
            return
        everything = np.concatenate(self.windows)
        batches = [
            self.embedder(everything[start : start + BATCH_WINDOWS])
            for start in range(0, len(everything), BATCH_WINDOWS)
        ]
        parts = [batch.arrays() for batch in batches]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        ends = np.cumsum([len(windows) for windows in self.windows])[:-1]
        split = {name: np.split(array, ends) for name, array in joined.items()}
        for index, sha256 in enumerate(self.hashes):
            arrays = {name: pieces[index] for name, pieces in split.items()}
            cache.write(self.identity, sha256, arrays)
        self.hashes, self.windows = [], []


@dataclass
class _Run:
    embedders: list[Embedder]
    preset: Preset
    cache: Cache
    music_ids: frozenset[str]

    def identity(self, embedder: Embedder) -> str:
        return feature_identity(embedder, self.preset)

    def fill(self, files: Sequence[AudioFile], *, show: bool) -> list[Unread]:
        """Compute what the cache lacks; returns the files that cannot be read."""
        pending = {e.name: _Pending(e, self.identity(e)) for e in self.embedders}
        unread = []
        progress = tqdm(files, desc="analyse", unit="file", disable=None if show else True)
        with ThreadPoolExecutor(DECODERS) as pool:
            for decoded in _ahead(pool, self._decode, progress):
                if isinstance(decoded, Unread):
                    unread.append(decoded)
                    continue
                sha256, windows = decoded
                for name, cut in windows.items():
                    pending[name].add(sha256, cut, self.cache)
        for waiting in pending.values():
            waiting.flush(self.cache)
        return unread

    def _decode(self, file: AudioFile) -> tuple[str, dict[str, FloatArray]] | Unread:
        """Hash and the windows of each embedder that has not seen the file."""
        try:
            sha256 = _content_key(file, file_hash(file.path))
            lacking = [e for e in self.embedders if not self._has(self.identity(e), sha256)]
            needs_music = file.id in self.music_ids and not self._has(music_identity(), sha256)
            if not (lacking or needs_music or not self._has(SIGNAL, sha256)):
                return sha256, {}
            waveform = read_audio(file.path, start_s=file.start_s, duration_s=file.duration_s)
        except (AudioError, OSError) as error:
            return Unread(file, str(error))
        self.cache.write(SIGNAL, sha256, _signal(waveform))
        if needs_music:
            self.cache.write(music_identity(), sha256, _music(waveform))
        prepared = self.preset.prepare(waveform)
        return sha256, {
            e.name: cut_windows(prepared.resampled(e.sample_rate).mono, e) for e in lacking
        }

    def _has(self, identity: str, sha256: str) -> bool:
        return self.cache.path(identity, sha256).is_file()

    def _read(self, identity: str, sha256: str) -> Arrays:
        arrays = self.cache.read(identity, sha256)
        if arrays is None:
            raise AudioError(f"{self.cache.root}: lost an entry while in use; run again")
        return arrays

    def read(self, file: AudioFile) -> Analysis:
        """The analysis of a file that `fill` has seen."""
        file_sha256 = file_hash(file.path)
        sha256 = _content_key(file, file_sha256)
        signal = {name: value.item() for name, value in self._read(SIGNAL, sha256).items()}
        seconds, rate = signal.pop("seconds"), signal.pop("sample_rate")
        features = {}
        for embedder in self.embedders:
            features[embedder.name] = Features(**self._read(self.identity(embedder), sha256))
        tempo, key = None, None
        if file.id in self.music_ids:
            tempo, key = _parse_music(self._read(music_identity(), sha256))
        health = Health(**signal)
        return Analysis(file, sha256, file_sha256, seconds, rate, health, tempo, key, features)


def refuse_unread(clips: Sequence[Analysis], unread: Sequence[Unread], *, allowed: bool) -> None:
    """Refuse to go on without a file that was meant to count.

    Raises:
        MetricError: If there is one and that is not allowed, or if no file is left.
    """
    if unread and not clips:
        raise MetricError(f"none of {len(unread)} files could be read ({unread[0].reason})")
    if unread and not allowed:
        raise MetricError(
            f"{len(unread)} file(s) could not be read: {unread[0].reason}; "
            "repair them or pass --allow-unread"
        )


def feature_identity(embedder: Embedder, preset: Preset) -> str:
    """What features depend on beside the sound: weights, windows and preprocessing."""
    return identify(embedder.identity, preset.audio_tag)


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[Item], Out], items: Iterable[Item]
) -> Iterator[Out]:
    """function(item) in order, with a bounded number of calls ahead."""
    stream = iter(items)
    waiting = deque(pool.submit(function, item) for item in islice(stream, AHEAD))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(pool.submit(function, item) for item in islice(stream, 1))


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _content_key(file: AudioFile, digest: str) -> str:
    """Hash of a file's bytes, and of the stretch where it is not the whole file."""
    if file.start_s == 0 and file.duration_s is None:
        return digest
    stretch = f"{digest}:{file.start_s}:{file.duration_s}"
    return hashlib.sha256(stretch.encode()).hexdigest()


def _signal(waveform: Waveform) -> dict[str, float]:
    health = asdict(signal_health(waveform))
    return {"seconds": waveform.seconds, "sample_rate": waveform.sample_rate, **health}


def music_identity() -> str:
    """Cache identity of tempo and key: other weights of the beat tracker hear other tempi."""
    return f"music-1-{get_tracker().identity}"


def _music(waveform: Waveform) -> dict[str, float | str]:
    tempo = measure_tempo(waveform)
    try:
        key = measure_key(waveform)
    except AudioError:  # silent or too short: no key is heard
        key = None
    return {
        "bpm": np.nan if tempo.bpm is None else tempo.bpm,
        "confidence": tempo.confidence,
        "tonic": key.tonic if key else "",
        "mode": key.mode if key else "",
        "key_confidence": key.confidence if key else 0.0,
    }


def _parse_music(arrays: Arrays) -> tuple[Tempo, Key | None]:
    values = {name: value.item() for name, value in arrays.items()}
    bpm = None if np.isnan(values["bpm"]) else values["bpm"]
    key = Key(values["tonic"], values["mode"], values["key_confidence"])
    return Tempo(bpm, values["confidence"]), key if values["tonic"] else None
