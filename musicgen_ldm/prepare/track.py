"""One track under the microscope: everything that is measured on its samples.

A track is read in pieces, so that memory does not grow with its length beyond one mono copy at
16 kHz. What is found is a `Track`, kept as JSON so that a killed run goes on where it stopped.
"""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from musicgen_ldm.audio import SILENCE_DBFS, FloatArray, Waveform, read_audio
from musicgen_ldm.beats import Beats, BeatTracker, get_tracker
from musicgen_ldm.config.prepare import PrepareConfig
from musicgen_ldm.config.signal import MelConfig
from musicgen_ldm.errors import AudioError
from musicgen_ldm.measure import measure_key, signal_health
from musicgen_ldm.measure.tempo import tempo_of_beats
from musicgen_ldm.prepare.fingerprint import Fingerprint, fingerprint

SAMPLE_RATE = MelConfig().sample_rate  # Hz; what every model of this project hears
BEAT_WINDOW_S, BEAT_OVERLAP_S = 60.0, 10.0  # decoding cost and memory stay linear in length


@dataclass(frozen=True, kw_only=True)
class ClipFacts:
    """What was measured on one clip; times in seconds from the start of the clip."""

    start_s: float
    duration_s: float
    rms_dbfs: float
    clipped_fraction: float
    bpm: float | None = None
    bpm_confidence: float = 0.0
    key: str | None = None
    mode: str | None = None
    key_confidence: float = 0.0
    beats_s: tuple[float, ...] = ()
    downbeats_s: tuple[float, ...] = ()
    beats_confidence: float = 0.0  # the tracker's, of the whole track

    @property
    def silent(self) -> bool:
        """Whether nothing is heard."""
        return self.rms_dbfs < SILENCE_DBFS


@dataclass(frozen=True, kw_only=True)
class Track:
    """What was measured on one audio file.

    Attributes:
        path: The file, absolute.
        sha256: Of its bytes.
        seconds: Length; 0 if unreadable.
        sample_rate: Hz; 0 if unreadable.
        error: Why it cannot be read, or None.
        clips: Consecutive pieces; empty for a track that is too short or unreadable.
        fingerprint: For finding the same recording again; None if there is too little sound.
    """

    path: str
    sha256: str
    seconds: float = 0.0
    sample_rate: int = 0
    error: str | None = None
    clips: tuple[ClipFacts, ...] = ()
    fingerprint: Fingerprint | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `from_json`."""
        record = asdict(self)
        if self.fingerprint is not None:
            record["fingerprint"] = {
                "bits": base64.b64encode(self.fingerprint.bits.tobytes()).decode(),
                "timbre": self.fingerprint.timbre.tolist(),
            }
        return record

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Track":
        """Inverse of `to_json`."""
        clips = tuple(
            ClipFacts(**clip | {n: tuple(clip[n]) for n in ("beats_s", "downbeats_s")})
            for clip in record.pop("clips")
        )
        stored = record.pop("fingerprint")
        found = None
        if stored is not None:
            bits = np.frombuffer(base64.b64decode(stored["bits"]), dtype=np.uint32)
            found = Fingerprint(bits, np.asarray(stored["timbre"], dtype=np.float32))
        return cls(**record, clips=clips, fingerprint=found)


def hash_file(path: Path) -> str:
    """SHA-256 of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def clip_spans(seconds: float, config: PrepareConfig) -> list[tuple[float, float]]:
    """Start and length of the clips of a track, in seconds."""
    starts = np.arange(0, seconds, config.clip_seconds)
    spans = [(float(s), min(config.clip_seconds, seconds - float(s))) for s in starts]
    return [span for span in spans if span[1] >= config.min_seconds]


def examine_track(path: Path, sha256: str, config: PrepareConfig, *, music: bool) -> Track:
    """Measure one file; an unreadable one is described, not raised.

    Args:
        path: Audio file.
        sha256: Of its bytes.
        config: Clip lengths and beat tracker.
        music: Measure beats, tempo and key too, not only the signal.
    """
    try:
        info = soundfile.info(path)
        clips, pieces = _signal_facts(path, info.duration, config)
    except (AudioError, soundfile.LibsndfileError, RuntimeError) as error:
        return Track(path=str(path), sha256=sha256, error=str(error))
    mono = np.concatenate([np.zeros(0, np.float32), *pieces])
    if music:
        clips = _musical_facts(clips, mono, get_tracker(config.tracker))
    return Track(
        path=str(path),
        sha256=sha256,
        seconds=info.duration,
        sample_rate=info.samplerate,
        clips=tuple(clips),
        fingerprint=fingerprint(mono),
    )


def _signal_facts(
    path: Path, seconds: float, config: PrepareConfig
) -> tuple[list[ClipFacts], list[FloatArray]]:
    """Health of each clip at the file's own rate, and the clips as mono at 16 kHz."""
    clips, pieces = [], []
    for start_s, duration_s in clip_spans(seconds, config):
        waveform = read_audio(path, start_s=start_s, duration_s=duration_s)
        health = signal_health(waveform)
        clips.append(
            ClipFacts(
                start_s=start_s,
                duration_s=waveform.seconds,
                rms_dbfs=max(health.rms_dbfs, -999.0),  # JSON has no infinity
                clipped_fraction=health.clipped_fraction,
            )
        )
        pieces.append(waveform.resampled(SAMPLE_RATE).mono)
    if not clips:
        read_audio(path, duration_s=config.min_seconds)  # too short, but is it readable?
    return clips, pieces


def _musical_facts(
    clips: list[ClipFacts], mono: FloatArray, tracker: BeatTracker
) -> list[ClipFacts]:
    beats = track_in_windows(tracker, Waveform(mono, SAMPLE_RATE)) if clips else None
    return [_with_music(clip, mono, beats) for clip in clips if beats is not None]


def _with_music(clip: ClipFacts, mono: FloatArray, beats: Beats) -> ClipFacts:
    first = round(clip.start_s * SAMPLE_RATE)
    waveform = Waveform(mono[first : first + round(clip.duration_s * SAMPLE_RATE)], SAMPLE_RATE)
    if clip.silent:
        return clip
    inside = [_between(times, clip) for times in (beats.beats_s, beats.downbeats_s)]
    tempo = tempo_of_beats(Beats(inside[0], inside[1], beats.confidence))
    key = measure_key(waveform)
    return ClipFacts(
        **asdict(clip)
        | {
            "bpm": tempo.bpm,
            "bpm_confidence": tempo.confidence,
            "key": key.tonic,
            "mode": key.mode,
            "key_confidence": key.confidence,
            "beats_s": inside[0],
            "downbeats_s": inside[1],
            "beats_confidence": round(beats.confidence, 4),
        }
    )


def _between(times: tuple[float, ...], clip: ClipFacts) -> tuple[float, ...]:
    shifted = (time - clip.start_s for time in times)
    return tuple(round(time, 4) for time in shifted if 0 <= time < clip.duration_s)


def track_in_windows(tracker: BeatTracker, waveform: Waveform) -> Beats:
    """Beats of a track of any length, found in overlapping windows of a minute.

    Each window keeps the beats of its middle, where it has seen both sides.
    """
    beats: list[float] = []
    downbeats: list[float] = []
    confidences: list[float] = []
    for start, keep_from, keep_to, piece in _windows(waveform):
        found = tracker(piece)
        confidences.append(found.confidence)
        for times, kept in ((found.beats_s, beats), (found.downbeats_s, downbeats)):
            kept += [t + start for t in times if keep_from <= t + start < keep_to]
    return Beats(tuple(beats), tuple(downbeats), float(np.mean(confidences)))


def _windows(waveform: Waveform) -> Iterator[tuple[float, float, float, Waveform]]:
    """Start of each window, the span it answers for, and its sound."""
    step = BEAT_WINDOW_S - BEAT_OVERLAP_S
    count = max(1, int(np.ceil((waveform.seconds - BEAT_OVERLAP_S) / step)))
    rate = waveform.sample_rate
    for number in range(count):
        start = number * step
        samples = waveform.samples[:, round(start * rate) : round((start + BEAT_WINDOW_S) * rate)]
        keep_from = start + BEAT_OVERLAP_S / 2 if number else 0.0
        keep_to = start + BEAT_WINDOW_S - BEAT_OVERLAP_S / 2
        last = number == count - 1
        yield start, keep_from, np.inf if last else keep_to, Waveform(samples, rate)
