"""General MIDI soundfonts: which ones, where they lie, and how a stem is played on them.

The renderer is TinySoundFont: it reads sf2 and sf3, needs no system library, and a clone of a
loaded font plays the same notes to the same samples whatever was played before
(docs/decisions/0011-soundfont-renderer.md, benchmarks/corpus_renderers.py).
"""

import filecmp
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_ldm.corpus.score import Note
from musicgen_ldm.errors import CorpusError, MissingExtraError

FloatArray = npt.NDArray[np.float32]

DRUM_BANK = 128  # percussion, of which every General MIDI font has at least the standard kit 0
USER_SUPPLIED = "user-supplied"  # licence of a font that we know nothing about
VELOCITY_FLOOR = 8  # softest velocity played; below it some samples vanish


@dataclass(frozen=True, kw_only=True)
class SoundFontInfo:
    """What is known about a soundfont.

    Attributes:
        name: Short name, recorded with every clip.
        path: Where it is.
        package: Debian package that installs it.
        licence: SPDX identifier, or `USER_SUPPLIED`.
        attribution: Whom to name.
        unsuited: Programs whose sound depends on modulators that TinySoundFont leaves out.
    """

    name: str
    path: Path
    package: str
    licence: str
    attribution: str
    unsuited: frozenset[int] = frozenset()


SOUNDFONTS: tuple[SoundFontInfo, ...] = (
    SoundFontInfo(
        name="FluidR3_GM",
        path=Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
        package="fluid-soundfont-gm",
        licence="MIT",
        attribution="Frank Wen and contributors",
        unsuited=frozenset({43, 86}),
    ),
    SoundFontInfo(
        name="MuseScore_General",
        path=Path("/usr/share/sounds/sf3/MuseScore_General.sf3"),
        package="musescore-general-soundfont-small",
        licence="MIT",
        attribution="S. Christian Collins, after Frank Wen",
        unsuited=frozenset({0, 1, 3, 62, 63}),
    ),
    SoundFontInfo(
        name="FluidR3Mono_GM",
        path=Path("/usr/share/sounds/sf3/FluidR3Mono_GM.sf3"),
        package="fluidr3mono-gm-soundfont",
        licence="MIT",
        attribution="Michael Cowgill, after Frank Wen",
        unsuited=frozenset({86, 98}),
    ),
)


class SoundFont:
    """One font, loaded when first played."""

    def __init__(self, info: SoundFontInfo) -> None:
        self.info = info

    @cached_property
    def _font(self) -> Any:
        """The decoded font; a few seconds for sf3, hence loaded once a process."""
        try:
            from tinysoundfont._tinysoundfont import SoundFont as TinySoundFont
        except ImportError as error:
            raise MissingExtraError(
                "sampled instruments need tinysoundfont; run "
                "`pip install --no-deps tinysoundfont` (its pyaudio is only for live playing)"
            ) from error
        if not self.info.path.is_file():
            raise CorpusError(missing_font_message((self.info,)))
        try:
            return TinySoundFont(str(self.info.path))
        except RuntimeError as error:
            raise CorpusError(f"{self.info.path}: not a readable sf2 or sf3 file") from error

    def plays(self, program: int, *, is_drums: bool = False) -> bool:
        """Whether the font has this program and plays it as meant."""
        if is_drums:  # a kit that is missing is played by the standard one
            return self._font.get_preset_index(DRUM_BANK, 0) >= 0
        has = self._font.get_preset_index(0, program) >= 0
        return has and program not in self.info.unsuited

    def play(
        self,
        notes: tuple[Note, ...],
        program: int,
        *,
        num_samples: int,
        sample_rate: int,
        is_drums: bool = False,
        tuning_cents: float = 0.0,
    ) -> FloatArray:
        """Play notes with one program.

        Args:
            notes: Onsets in seconds from the first sample, none negative.
            program: General MIDI program, or the kit number where `is_drums`.
            num_samples: T.
            sample_rate: Hz.
            is_drums: Use the percussion bank.
            tuning_cents: Deviation from 440 Hz.

        Returns:
            Stereo buffer (2, T); its level is arbitrary.
        """
        from tinysoundfont._tinysoundfont import OutputMode
        from tinysoundfont._tinysoundfont import SoundFont as TinySoundFont

        font = TinySoundFont(self._font)  # a clone shares samples and starts from a clean state
        font.set_output(OutputMode.StereoUnweaved, sample_rate, 0.0)
        font.channel_set_preset_number(0, program, is_drums)
        font.channel_set_tuning(0, tuning_cents / 100)
        out = np.zeros((2, num_samples), np.float32)
        done = 0
        for sample, pitch, velocity in _events(notes, sample_rate, num_samples):
            done = _render(font, out, done, sample)
            if velocity:
                font.channel_note_on(0, pitch, max(velocity, VELOCITY_FLOOR) / 127)
            else:
                font.channel_note_off(0, pitch)
        _render(font, out, done, num_samples)
        return out


def _render(font: Any, out: FloatArray, begin: int, end: int) -> int:
    """Fill `out[:, begin:end]`; returns `end`."""
    if end > begin:
        block = np.zeros(2 * (end - begin), np.float32)
        font.render(block.data.cast("B"))
        out[:, begin:end] = block.reshape(2, -1)
    return end


def _events(
    notes: tuple[Note, ...], sample_rate: int, num_samples: int
) -> list[tuple[int, int, int]]:
    """(sample, pitch, velocity) in order; velocity 0 ends a note, ends precede onsets."""
    events = []
    for note in notes:
        start = int(note.start_s * sample_rate)
        if start < num_samples:
            end = start + max(1, int(note.duration_s * sample_rate))
            events.append((start, 1, note.pitch, note.velocity))
            events.append((min(end, num_samples), 0, note.pitch, 0))
    return [(sample, pitch, velocity) for sample, _, pitch, velocity in sorted(events)]


def missing_font_message(missing: tuple[SoundFontInfo, ...]) -> str:
    """One line: what is missing and which packages bring it."""
    names = ", ".join(info.name for info in missing)
    packages = " ".join(info.package for info in missing)
    return (
        f"soundfont {names} is not installed; run `apt install {packages}`, give another with "
        "--soundfont, or ask for genres that need none, `--genres techno chiptune`"
    )


def open_soundfonts(paths: tuple[Path, ...] = ()) -> tuple[SoundFont, ...]:
    """The fonts at `paths`, or all known ones; nothing is read yet.

    A missing known font is reported when a sampled instrument is first asked for, so that
    genres of our own synthesis work without any.

    Raises:
        CorpusError: If a given path is no file.
    """
    if not paths:
        return tuple(SoundFont(info) for info in SOUNDFONTS)
    fonts = []
    for path in paths:
        if not path.is_file():
            raise CorpusError(f"{path}: no such soundfont; give an .sf2 or .sf3 file")
        info = next((info for info in SOUNDFONTS if _is_same_file(path, info.path)), None)
        fonts.append(
            SoundFont(
                SoundFontInfo(
                    name=info.name if info else path.stem,
                    path=path,
                    package=info.package if info else "",
                    licence=info.licence if info else USER_SUPPLIED,
                    attribution=info.attribution if info else USER_SUPPLIED,
                    unsuited=info.unsuited if info else frozenset(),
                )
            )
        )
    return tuple(fonts)


def _is_same_file(path: Path, known: Path) -> bool:
    """Whether a file has the bytes of a known font: a name alone grants no licence."""
    if not known.is_file():
        return False
    return path.samefile(known) or filecmp.cmp(path, known, shallow=False)
