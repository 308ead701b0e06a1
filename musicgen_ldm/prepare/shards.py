"""WebDataset shards of a prepared folder: for training from object storage or many machines.

A shard holds, for each clip, `ID.flac` (mono, 16 kHz) and `ID.json` (its manifest line). Clips
are cut out and resampled once here, and no longer in each epoch. The manifest beside the shards
names the clips as `SHARD.tar/ID.flac`, which every stage of training reads as it reads files.
"""

import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import soundfile
from tqdm import tqdm

from musicgen_ldm.audio import read_audio
from musicgen_ldm.data.manifest import SPLITS, Clip, write_manifest
from musicgen_ldm.errors import MissingExtraError
from musicgen_ldm.prepare.track import SAMPLE_RATE

SHARDS = "shards"
CLIPS_PER_SHARD = 1_000  # about 235 MB of ten-second clips


def write_shards(out: Path, clips: Sequence[Clip], *, show_progress: bool = False) -> list[Path]:
    """Write `out/shards/SPLIT-NUMBER.tar` and their `manifest.jsonl`, all of them or none.

    Args:
        out: Prepared folder; relative clip paths start there.
        clips: Lines of its manifest.
        show_progress: Draw a progress bar on a terminal.

    Raises:
        MissingExtraError: If webdataset is not installed.
        AudioError: If a clip can no longer be read.
    """
    try:
        from webdataset import ShardWriter
    except ImportError as error:
        raise MissingExtraError(
            "--shards needs webdataset; install it with `pip install 'musicgen-ldm[train]'`"
        ) from error
    partial = out / f"{SHARDS}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    members = []
    bar = tqdm(total=len(clips), unit="clip", disable=None if show_progress else True)
    with bar:
        for split in SPLITS:
            chosen = [clip for clip in clips if clip.split == split]
            if not chosen:
                continue
            pattern = str(partial / f"{split}-%06d.tar")
            with ShardWriter(pattern, maxcount=CLIPS_PER_SHARD, verbose=0) as shard:
                for clip in chosen:
                    flac, member = _cut_out(clip, out)
                    line = json.dumps(member.to_json(), ensure_ascii=False)
                    shard.write({"__key__": clip.id, "flac": flac, "json": line.encode()})
                    members.append(replace(member, path=f"{Path(shard.fname).name}/{member.path}"))
                    bar.update()
    write_manifest(partial / "manifest.jsonl", members)
    shutil.rmtree(out / SHARDS, ignore_errors=True)
    partial.rename(out / SHARDS)
    return sorted((out / SHARDS).glob("*.tar"))


def _cut_out(clip: Clip, root: Path) -> tuple[bytes, Clip]:
    """A clip as a FLAC of its own, and its manifest line."""
    waveform = read_audio(
        root / clip.path, sample_rate=SAMPLE_RATE, start_s=clip.start_s, duration_s=clip.duration_s
    )
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform.mono, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    flac = buffer.getvalue()
    member = replace(
        clip,
        path=f"{clip.id}.flac",
        sha256=sha256(flac).hexdigest(),
        start_s=0.0,
        duration_s=waveform.seconds,
        sample_rate=SAMPLE_RATE,
        # Without it the clips of one recording would be mixed with each other.
        extra=clip.extra | {"recording": clip.recording},
    )
    return flac, member
