"""The data doctor: what is wrong with a music folder, and what to do about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from musicgen_ldm.config.prepare import UNKNOWN_LICENCE, PrepareConfig
from musicgen_ldm.measure.health import MAX_CLIPPED
from musicgen_ldm.prepare.captions import Facts, Words
from musicgen_ldm.prepare.collection import Collection, survey
from musicgen_ldm.prepare.track import SAMPLE_RATE, Track

# Problem -> what the user can do. Those in LEFT_OUT cost the whole track.
REMEDIES = {
    "unreadable": "convert it to WAV or FLAC and try again, or remove it",
    "bad-sidecar": "mend the JSON file beside it",
    "too-short": "join it with others, or allow it with a smaller --min-seconds",
    "silent": "remove it, or export it again with sound",
    "duplicate": "remove one of the two files",
    "near-duplicate": "keep the better of the two files",
    "silent-parts": "nothing to do: these clips are left out",
    "clipped": "export it again at a lower level, if you have the session",
    "low-rate": f"use a recording at {SAMPLE_RATE} Hz or more; its treble is missing",
    "uncaptioned": "write what is heard into a text file of the same name, one caption a line",
    "names-title-or-artist": "rewrite the caption without the name; it is left out as it stands",
    "unlicensed": "state it with --licence, in a JSON sidecar or in the captions table",
}
LEFT_OUT = ("unreadable", "bad-sidecar", "too-short", "silent", "duplicate", "near-duplicate")


@dataclass(frozen=True)
class Finding:
    """One problem of one file.

    Attributes:
        path: The file.
        problem: One of `REMEDIES`.
        detail: What was found.
    """

    path: str
    problem: str
    detail: str

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDIES[self.problem]

    @property
    def is_left_out(self) -> bool:
        """Whether the whole file is left out of the manifest."""
        return self.problem in LEFT_OUT


def examine(
    folder: str | Path,
    config: PrepareConfig,
    *,
    table: Mapping[str, Facts] | None = None,
    workers: int = 1,
    show_progress: bool = False,
) -> tuple[Collection, list[Finding]]:
    """Look through `folder` without writing anything.

    Args:
        folder: With the music.
        config: Clip lengths and default licence.
        table: Rows of a captions table.
        workers: Processes.
        show_progress: Draw a progress bar on a terminal.

    Raises:
        AudioError: If the folder is missing or holds no audio.
    """
    collection = survey(
        Path(folder), config, table=table, workers=workers, show_progress=show_progress
    )
    return collection, diagnose(collection, config)


def diagnose(collection: Collection, config: PrepareConfig) -> list[Finding]:
    """All findings, in the order of the tracks; words matter only for tracks that are used."""
    findings = []
    for index, track in enumerate(collection.tracks):
        found = _signal_findings(track, config)
        if index in collection.repeats:
            first, kind = collection.repeats[index]
            found.append((kind, f"same recording as {collection.tracks[first].path}"))
        if track.path in collection.broken_sidecars:
            found.append(("bad-sidecar", collection.broken_sidecars[track.path]))
        elif not any(problem in LEFT_OUT for problem, _ in found):
            found += _word_findings(collection.words[index], config)
        findings += [Finding(track.path, problem, detail) for problem, detail in found]
    return findings


def _signal_findings(track: Track, config: PrepareConfig) -> list[tuple[str, str]]:
    if track.error is not None:
        return [("unreadable", track.error)]
    if not track.clips:
        return [("too-short", f"{track.seconds:.2f} s, needs {config.min_seconds} s")]
    found = []
    silent = sum(clip.silent for clip in track.clips)
    if silent == len(track.clips):
        found.append(("silent", "no clip is louder than -60 dBFS"))
    elif silent:
        found.append(("silent-parts", f"{silent} of {len(track.clips)} clips"))
    clipped = max(clip.clipped_fraction for clip in track.clips)
    if clipped > MAX_CLIPPED:
        found.append(("clipped", f"{clipped:.2%} of the samples of its worst clip"))
    if track.sample_rate < SAMPLE_RATE:
        found.append(("low-rate", f"{track.sample_rate} Hz"))
    return found


def _word_findings(words: Words, config: PrepareConfig) -> list[tuple[str, str]]:
    found = [("names-title-or-artist", repr(text)) for text in words.withheld]
    if not words.captions:
        found.append(("uncaptioned", "no caption in sidecar, table or tags"))
    if (words.licence or config.licence) == UNKNOWN_LICENCE:
        found.append(("unlicensed", "no licence stated"))
    return found


def table_of(findings: Sequence[Finding]) -> str:
    """Findings as text: a count a problem with its remedy, then the files."""
    if not findings:
        return "nothing to complain about"
    lines = []
    for problem, remedy in REMEDIES.items():
        concerned = [finding for finding in findings if finding.problem == problem]
        if concerned:
            lines.append(f"{problem} ({len(concerned)}): {remedy}")
            lines += [f"    {finding.path}: {finding.detail}" for finding in concerned]
    return "\n".join(lines)
