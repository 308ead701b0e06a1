"""From a folder of music to a training manifest.

OUT/manifest.jsonl   one line a clip, pointing into the music folder, which stays untouched
OUT/report.json      findings of the data doctor, and totals
OUT/.tracks/         finished measurements; a killed run goes on from them
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from musicgen_ldm.config.prepare import PrepareConfig
from musicgen_ldm.data.manifest import Clip, Tags, write_manifest
from musicgen_ldm.errors import AudioError, OutputError
from musicgen_ldm.parallel import Workers
from musicgen_ldm.prepare.captions import Facts, Words
from musicgen_ldm.prepare.collection import Collection, measure_share, survey
from musicgen_ldm.prepare.doctor import Finding, diagnose
from musicgen_ldm.prepare.track import ClipFacts, Track
from musicgen_ldm.prepare.walk import find_audio
from musicgen_ldm.whole_file import whole_file

MANIFEST, REPORT, KEPT = "manifest.jsonl", "report.json", ".tracks"

# A measured tempo or key becomes a tag only when it is more likely right than wrong.
MIN_TEMPO_CONFIDENCE = 0.3
MIN_KEY_CONFIDENCE = 0.8


@dataclass(frozen=True)
class Prepared:
    """The result of `prepare`.

    Attributes:
        manifest: Path of the manifest.
        clips: Its lines.
        findings: What the data doctor found.
    """

    manifest: Path
    clips: tuple[Clip, ...]
    findings: tuple[Finding, ...]

    def totals(self) -> dict[str, Any]:
        """Clips and hours, by split and by licence."""
        return {
            "clips": len(self.clips),
            "hours": round(sum(clip.duration_s for clip in self.clips) / 3600, 4),
            "tracks": len({clip.recording for clip in self.clips}),
            "splits": dict(Counter(clip.split for clip in self.clips)),
            "licences": dict(Counter(clip.licence for clip in self.clips)),
        }


def prepare(
    folder: str | Path,
    out: str | Path,
    config: PrepareConfig,
    *,
    table: Mapping[str, Facts] | None = None,
    workers: int = 1,
    show_progress: bool = False,
    launched: Workers | None = None,
) -> Prepared:
    """Write a manifest of the music in `folder` into the folder `out`.

    The same command again takes up finished measurements, and reads captions afresh.

    Args:
        folder: With the music; nothing in it is changed.
        out: Made if missing.
        config: Clip lengths, splits, defaults.
        table: Rows of a captions table.
        workers: Processes.
        show_progress: Draw a progress bar on a terminal.
        launched: Processes, on one machine or many, that share the measuring; each must call
            this, the main one writes.

    Raises:
        AudioError: If the folder holds no audio, or none that can be used.
        OutputError: If `out` cannot be written, or holds a manifest of other origin.
    """
    find_audio(Path(folder))  # before anything is made
    out = Path(out)
    kept = out / KEPT
    if (out / MANIFEST).exists() and not kept.is_dir():
        raise OutputError(
            f"{out / MANIFEST}: was not written by prepare; give another --out, or remove it"
        )
    try:
        kept.mkdir(parents=True, exist_ok=True)
        if launched:
            measure_share(Path(folder), config, kept, launched)
        collection = survey(
            Path(folder), config, table=table, workers=workers, show_progress=show_progress,
            kept=kept,
        )  # fmt: skip
        findings = diagnose(collection, config)
        clips = clips_of(collection, findings, config)
        if not clips:
            raise AudioError(
                f"{folder}: none of its {len(collection.tracks)} audio files can be used; "
                "`musicgen-ldm prepare --check` says why"
            )
        prepared = Prepared(out / MANIFEST, tuple(clips), tuple(findings))
        if launched is None or launched.is_main:
            write_manifest(prepared.manifest, clips)
            _write_report(out / REPORT, prepared)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{out}: cannot be written ({error.strerror}); free or change it"
        ) from error
    return prepared


def clips_of(
    collection: Collection, findings: Sequence[Finding], config: PrepareConfig
) -> list[Clip]:
    """Manifest lines of all usable tracks, in the order of their paths."""
    left_out = {finding.path for finding in findings if finding.is_left_out}
    usable = [
        (track, words)
        for track, words in zip(collection.tracks, collection.words, strict=True)
        if track.path not in left_out
    ]
    splits = assign_splits([track.sha256 for track, _ in usable], config)
    return [
        _clip(track, number, facts, words, splits[track.sha256], config)
        for track, words in usable
        for number, facts in enumerate(track.clips)
        if not facts.silent
    ]


def assign_splits(hashes: Sequence[str], config: PrepareConfig) -> dict[str, str]:
    """Split of each track, by its hash.

    The hash alone decides, so a track never changes sides when others are added; all its clips
    go together, and repeated recordings were left out before, so nothing leaks. Only when a
    split would be empty does the track nearest to it move there, "train" first.

    Args:
        hashes: SHA-256 of each track, hexadecimal, distinct.
        config: Expected shares.
    """
    places = {digest: int(digest[:13], 16) / 16**13 for digest in hashes}
    edges = {"test": config.test_fraction, "valid": config.test_fraction + config.valid_fraction}
    splits = {
        digest: next((name for name, edge in edges.items() if place < edge), "train")
        for digest, place in places.items()
    }
    ascending = sorted(places, key=lambda digest: places[digest])
    if ascending and "train" not in splits.values():
        splits[ascending[-1]] = "train"
    if len(ascending) > 1 and config.valid_fraction > 0 and "valid" not in splits.values():
        movable = [digest for digest in ascending if splits[digest] == "train"]
        splits[movable[0] if len(movable) > 1 else ascending[0]] = "valid"
    return splits


def _clip(
    track: Track, number: int, facts: ClipFacts, words: Words, split: str, config: PrepareConfig
) -> Clip:
    name = re.sub(r"[^a-z0-9]+", "-", Path(track.path).stem.lower()).strip("-")[:40]
    return Clip(
        id=f"{name or 'track'}-{track.sha256[:8]}-{number:04d}",
        path=track.path,
        sha256=track.sha256,
        start_s=facts.start_s,
        duration_s=facts.duration_s,
        sample_rate=track.sample_rate,
        captions=words.captions,
        tags=_tags(words.tags, facts),
        beats_s=facts.beats_s,
        downbeats_s=facts.downbeats_s,
        split=split,
        licence=words.licence or config.licence,
        source=words.source or config.source,
        attribution=words.attribution or config.attribution,
        extra={
            "beats_confidence": facts.beats_confidence,
            "measured": {
                name: getattr(facts, name)
                for name in ("bpm", "bpm_confidence", "key", "mode", "key_confidence", "rms_dbfs")
            },
        },
    )


def _tags(stated: Tags, facts: ClipFacts) -> Tags:
    """Stated facts, completed by what was measured with confidence."""
    record = asdict(stated)
    if stated.bpm is None and facts.bpm_confidence >= MIN_TEMPO_CONFIDENCE and facts.bpm:
        record["bpm"] = round(facts.bpm, 2)
    if stated.key is None and facts.key_confidence >= MIN_KEY_CONFIDENCE:
        record |= {"key": facts.key, "mode": facts.mode}
    return Tags(**record)


def _write_report(path: Path, prepared: Prepared) -> None:
    record = {"schema": 1, **prepared.totals(), "findings": findings_json(prepared.findings)}
    with whole_file(path) as partial:
        partial.write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")


def findings_json(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """Findings with their remedies as plain values."""
    return [asdict(finding) | {"remedy": finding.remedy} for finding in findings]
