"""WebDataset shards of a prepared folder: for training from object storage or many machines.

A shard holds, for each clip, `ID.flac` (mono, 16 kHz) and `ID.json` (its manifest line). Clips
are cut out and resampled once here, and no longer in each epoch.
"""

import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import soundfile
from tqdm import tqdm

from musicgen_ldm.audio import Waveform, read_audio
from musicgen_ldm.data.manifest import SPLITS, Clip
from musicgen_ldm.errors import MissingExtraError
from musicgen_ldm.prepare.track import SAMPLE_RATE

SHARDS = "shards"
CLIPS_PER_SHARD = 1_000  # about 235 MB of ten-second clips


def write_shards(out: Path, clips: Sequence[Clip], *, show_progress: bool = False) -> list[Path]:
    """Write `out/shards/SPLIT-NUMBER.tar`, all of them or none.

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
    bar = tqdm(total=len(clips), unit="clip", disable=None if show_progress else True)
    with bar:
        for split in SPLITS:
            chosen = [clip for clip in clips if clip.split == split]
            if not chosen:
                continue
            pattern = str(partial / f"{split}-%06d.tar")
            with ShardWriter(pattern, maxcount=CLIPS_PER_SHARD, verbose=0) as shard:
                for clip in chosen:
                    shard.write(_sample(clip, out))
                    bar.update()
    shutil.rmtree(out / SHARDS, ignore_errors=True)
    partial.rename(out / SHARDS)
    return sorted((out / SHARDS).glob("*.tar"))


def _sample(clip: Clip, root: Path) -> dict[str, str | bytes]:
    waveform = read_audio(
        root / clip.path, sample_rate=SAMPLE_RATE, start_s=clip.start_s, duration_s=clip.duration_s
    )
    record = clip.to_json() | {
        "path": f"{clip.id}.flac",
        "start_s": 0.0,
        "duration_s": waveform.seconds,
        "sample_rate": SAMPLE_RATE,
    }
    return {
        "__key__": clip.id,
        "flac": _flac(waveform),
        "json": json.dumps(record, ensure_ascii=False).encode(),
    }


def _flac(waveform: Waveform) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform.mono, waveform.sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
