"""From score to sound: every part on its own stem, then the desk, then the clip.

Each part draws its sound from a generator of its own, seeded by the piece's seed and the part's
role, so that swapping one instrument leaves all others as they were.
"""

import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np
import numpy.typing as npt

from musicgen_ldm.audio import Waveform, fit_length
from musicgen_ldm.corpus import effects, mix
from musicgen_ldm.corpus.drum_synth import KICKS, KITS, Kit
from musicgen_ldm.corpus.instruments import Instrument, get_instrument
from musicgen_ldm.corpus.oneshots import LICENCE, PACKAGE, OneShots, find_oneshots
from musicgen_ldm.corpus.score import Note, Part, Score
from musicgen_ldm.corpus.soundfont import SoundFont, missing_font_message, open_soundfonts
from musicgen_ldm.corpus.synth import ALTERNATIVES, play_patch
from musicgen_ldm.errors import CorpusError

FloatArray = npt.NDArray[np.float32]

RENDER_RATE = 32_000  # Hz; twice the clips' rate, so that nothing above 8 kHz is lost or aliased
PREROLL_S = 1.5  # rendered before the clip and cut, so that tails and held notes are in place
STAND_IN_CHANCE = 0.35  # how often own synthesis replaces a sampled electric piano or organ
CENTROID_FRAME_S, CENTROID_UP_TO_HZ = 0.064, 8_000.0  # the same at any rate of 16 kHz or more
SEED_DOMAIN = 0x50  # separates the renderer's draws from the composer's

# Sampled programs that are one instrument to the ear; a part draws one of them.
PROGRAM_VARIANTS = {0: (0, 0, 1), 4: (4, 5), 16: (16, 17), 48: (48, 48, 49), 52: (52, 52, 53)}
KIT_VARIANTS = {0: (0, 0, 8)}
CRUSH_BITS = 6  # resolution of the "8bit" treatment; eight bits are hardly heard


@dataclass(frozen=True, kw_only=True)
class Ingredient:
    """A source of sound in a clip and the terms it comes under."""

    name: str
    kind: Literal["soundfont", "synthesis", "one-shot"]
    licence: str
    attribution: str


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """A rendered clip.

    Attributes:
        audio: Stereo at the asked rate, the clip's length exactly.
        stems: Stereo stem of each instrument, dry, at the mix's gain.
        levels_db: Loudness of each stem in the clip, dB; silent stems are left out.
        ingredients: What it is made of, each named once.
    """

    audio: Waveform
    stems: dict[str, Waveform]
    levels_db: dict[str, float]
    ingredients: tuple[Ingredient, ...]

    @property
    def centroid_hz(self) -> float:
        """Mean frequency of the magnitude spectrum up to 8 kHz, over the whole clip."""
        frame = round(CENTROID_FRAME_S * self.audio.sample_rate)
        mono = self.audio.mono
        frames = mono[: len(mono) // frame * frame].reshape(-1, frame) * np.hanning(frame)
        magnitudes = np.abs(np.fft.rfft(frames)).sum(axis=0)
        frequencies = np.fft.rfftfreq(frame, 1 / self.audio.sample_rate)
        magnitudes[frequencies > CENTROID_UP_TO_HZ] = 0
        return float(magnitudes @ frequencies / max(magnitudes.sum(), np.finfo(float).tiny))

    @property
    def instruments(self) -> tuple[str, ...]:
        """Those loud enough to be named in words, loudest first."""
        return mix.named_stems(self.levels_db)


SYNTHESIS = Ingredient(
    name="musicgen_ldm synthesiser",
    kind="synthesis",
    licence="CC0-1.0",
    attribution="musicgen_ldm",
)


@dataclass(frozen=True)
class SoundBank:
    """All sounds a renderer may use: fonts, in the order they are drawn from, and one-shots."""

    fonts: tuple[SoundFont, ...]
    oneshots: OneShots

    @classmethod
    def open(cls, soundfonts: tuple[Path, ...] = ()) -> "SoundBank":
        """The fonts at `soundfonts` (or all known ones) and the installed one-shots.

        Raises:
            CorpusError: If a given path is no file.
        """
        return cls(open_soundfonts(soundfonts), find_oneshots())

    def font_for(self, program: int, *, is_drums: bool, rng: np.random.Generator) -> SoundFont:
        """Draw a font that plays `program`.

        Raises:
            CorpusError: If a font is not installed, or none has the program.
        """
        missing = tuple(font.info for font in self.fonts if not font.info.path.is_file())
        if missing:
            raise CorpusError(missing_font_message(missing))
        able = [font for font in self.fonts if font.plays(program, is_drums=is_drums)]
        if not able:
            names = ", ".join(font.info.name for font in self.fonts)
            wanted = "a drum kit" if is_drums else f"program {program}"
            raise CorpusError(
                f"no soundfont plays {wanted} as it should; tried {names}; add another --soundfont"
            )
        return able[int(rng.integers(len(able)))]


@dataclass(frozen=True)
class _Stage:
    """What all stems of a clip share."""

    score: Score
    bank: SoundBank
    sample_rate: int
    num_samples: int
    begin_s: float  # time in the piece of the first rendered sample


def render(
    score: Score,
    bank: SoundBank,
    *,
    sample_rate: int = 16_000,
    with_stems: bool = False,
) -> Rendering:
    """Play a score.

    Args:
        score: The piece; its clip window is rendered.
        bank: Sounds to play it on.
        sample_rate: Of the result, Hz.
        with_stems: Keep the stems too.

    Returns:
        The clip; a pure function of the arguments.

    Raises:
        CorpusError: If an instrument is unknown, or a soundfont it needs is not installed.
    """
    rate = max(RENDER_RATE, sample_rate)
    begin_s = max(0.0, score.clip_start_s - PREROLL_S)
    length_s = score.clip_start_s - begin_s + score.clip_seconds
    stage = _Stage(score, bank, rate, math.ceil(length_s * rate), begin_s)
    stems: dict[str, FloatArray] = {}
    sends = np.zeros((2, 2, stage.num_samples), np.float32)  # reverberation, echo
    ingredients: dict[str, Ingredient] = {}
    seen: Counter[str] = Counter()
    for part in score.parts:
        rng = _part_rng(score, part, seen[part.role])
        seen[part.role] += 1
        stem, used = _play_part(part, stage, rng)
        stem = _treat(stem, part, stage, rng)
        wet, repeats = _send_levels(part, score, rng)
        sends[0] += wet * stem
        sends[1] += repeats * stem
        stems[part.instrument] = stems.get(part.instrument, 0) + stem
        ingredients |= {item.name: item for item in used}
    dry = sum(stems.values(), np.zeros((2, stage.num_samples), np.float32))
    mixed = _master(dry, sends, stage)
    cut = _Cutter(stage, sample_rate)
    gain = np.float32(np.sqrt(np.square(mixed).mean() / max(1e-12, np.square(dry).mean())))
    levels = {name: mix.loudness_db(cut.inside(stem), rate) for name, stem in stems.items()}
    return Rendering(
        audio=cut(mixed),
        stems={name: cut(gain * stem) for name, stem in stems.items()} if with_stems else {},
        levels_db={k: round(v, 2) for k, v in levels.items() if v > mix.STEM_TARGET_DB - 40},
        ingredients=tuple(ingredients.values()),
    )


class _Cutter:
    """Cuts the clip out of what was rendered and brings it to the asked rate."""

    def __init__(self, stage: _Stage, sample_rate: int) -> None:
        self.first = round((stage.score.clip_start_s - stage.begin_s) * stage.sample_rate)
        self.num_samples = round(stage.score.clip_seconds * sample_rate)
        self.rates = stage.sample_rate, sample_rate

    def inside(self, samples: FloatArray) -> FloatArray:
        return np.ascontiguousarray(samples[:, self.first :])

    def __call__(self, samples: FloatArray) -> Waveform:
        clip = Waveform(self.inside(samples), self.rates[0]).resampled(self.rates[1])
        # Limit after resampling, which overshoots.
        limited = effects.soft_clip(fit_length(clip.samples, self.num_samples), mix.CEILING)
        return Waveform(limited, self.rates[1])


def _part_rng(score: Score, part: Part, index: int) -> np.random.Generator:
    """A generator of the piece and the role; `index` counts the parts of that role."""
    return np.random.default_rng((score.seed, SEED_DOMAIN, crc32(part.role.encode()), index))


def _window(notes: tuple[Note, ...], begin_s: float) -> tuple[Note, ...]:
    """Notes in seconds from `begin_s`; what sounds already is struck again at 0."""
    inside = []
    for note in notes:
        start, end = note.start_s - begin_s, note.start_s - begin_s + note.duration_s
        if end > 0:
            inside.append(replace(note, start_s=max(0.0, start), duration_s=end - max(0.0, start)))
    return tuple(inside)


def _play_part(
    part: Part, stage: _Stage, rng: np.random.Generator
) -> tuple[FloatArray, list[Ingredient]]:
    """The bare sound of a part, level arbitrary, and what it is made of."""
    instrument = get_instrument(part.instrument)
    notes = _window(part.notes, stage.begin_s)
    stand_in = ALTERNATIVES.get(part.instrument)
    chance = 1 if stage.score.kind == "electronic" else 0.5
    is_replaced = rng.random() < STAND_IN_CHANCE * chance
    patch = instrument.synth or (stand_in if is_replaced else None)
    if patch in KITS:
        return _play_kit(patch, notes, stage, rng)
    if patch is None:
        return _play_sampled(instrument, notes, stage, rng)
    stem = play_patch(
        patch,
        notes,
        num_samples=stage.num_samples,
        sample_rate=stage.sample_rate,
        bpm=stage.score.bpm,
        brightness=part.brightness,
        articulation=part.articulation,
        rng=rng,
    )
    return stem, [SYNTHESIS]


def _play_kit(
    style: str, notes: tuple[Note, ...], stage: _Stage, rng: np.random.Generator
) -> tuple[FloatArray, list[Ingredient]]:
    hits, names = stage.bank.oneshots.draw(KITS[style].oneshots, stage.sample_rate, rng)
    stem = Kit(style, stage.sample_rate, rng, hits).play(notes, stage.num_samples)
    heard = {note.pitch for note in notes}
    recorded = [
        Ingredient(name=f"{PACKAGE}/{name}", kind="one-shot", licence=LICENCE,
                   attribution="Sonic Pi samples, Freesound")
        for name in sorted({names[key] for key in heard & names.keys()})
    ]  # fmt: skip
    return stem, [SYNTHESIS, *recorded]


def _play_sampled(
    instrument: Instrument, notes: tuple[Note, ...], stage: _Stage, rng: np.random.Generator
) -> tuple[FloatArray, list[Ingredient]]:
    if instrument.program is None:
        raise CorpusError(f"{instrument.name!r} has neither a program nor a synth patch")
    variants = KIT_VARIANTS if instrument.is_drums else PROGRAM_VARIANTS
    program = int(rng.choice(variants.get(instrument.program, (instrument.program,))))
    font = stage.bank.font_for(program, is_drums=instrument.is_drums, rng=rng)
    cents = 0.0 if instrument.is_drums else float(np.clip(rng.normal(0, 3), -6, 6))
    stem = font.play(
        notes,
        program,
        num_samples=stage.num_samples,
        sample_rate=stage.sample_rate,
        is_drums=instrument.is_drums,
        tuning_cents=cents,
    )
    info = font.info
    used = Ingredient(
        name=info.name, kind="soundfont", licence=info.licence, attribution=info.attribution
    )
    return stem, [used]


def _treat(stem: FloatArray, part: Part, stage: _Stage, rng: np.random.Generator) -> FloatArray:
    """A channel strip: tone, colour, level, place, pumping."""
    rate, score = stage.sample_rate, stage.score
    if part.role not in ("bass", "drums", "percussion", "fx"):
        stem = effects.high_pass(stem, rate, float(rng.uniform(60, 130)))
    tone_db = 5 * part.brightness + float(rng.normal(0, 1.5))
    stem = effects.shelf(stem, rate, float(rng.uniform(1200, 3000)), tone_db, is_high=True)
    stem = effects.peaking(
        stem, rate, float(rng.uniform(250, 4000)), float(rng.normal(0, 2)), q=0.9
    )
    if part.brightness < -0.5 and part.role != "drums":
        stem = effects.low_pass(stem, rate, 6000 * 2 ** (2 * (part.brightness + 0.5)))
    is_chorused = rng.random() < (0.9 if "chorus" in score.treatments else 0.2)
    if is_chorused and part.role in ("comp", "pad", "arpeggio"):
        stem = effects.chorus(
            stem, rate, rate_hz=float(rng.uniform(0.2, 0.9)), depth_s=0.0025, mix=0.6
        )
    stem = stem * np.float32(mix.role_gain(stem, rate, part.role, part.gain_db, rng))
    is_driven = rng.random() < (0.9 if "saturated" in score.treatments else 0.25)
    stem = effects.saturate(stem, float(rng.uniform(1, 4)) if is_driven else 0.0)
    if "gated" in score.treatments and part.role == "drums":
        stem = stem + _gated_room(stem, rate, rng)
    stem = mix.place(part.role, stem, rng)
    if "sidechain" in score.treatments and part.role not in ("drums", "percussion"):
        stem = _pump(stem, stage)
    return stem


def _gated_room(stem: FloatArray, rate: int, rng: np.random.Generator) -> FloatArray:
    """The big room of the eighties, shut before it fades: it lives while the drum is loud."""
    room = effects.reverb(stem, rate, time_s=1.6, size=0.9, damping_hz=6000, predelay_s=0.0)
    key = effects.low_pass(np.abs(stem).max(axis=0, keepdims=True).repeat(2, axis=0), rate, 4.0)
    return room * (key > 0.25 * key.max()) * np.float32(rng.uniform(0.4, 0.8))


def _pump(stem: FloatArray, stage: _Stage) -> FloatArray:
    """Side-chain to the kick; depth and shape are the piece's, the same for all stems."""
    rng = np.random.default_rng((stage.score.seed, SEED_DOMAIN, crc32(b"sidechain")))
    kicks = [
        note.start_s - stage.begin_s
        for part in stage.score.parts
        if part.role == "drums"
        for note in part.notes
        if note.pitch in KICKS and note.start_s >= stage.begin_s
    ]
    release_s = float(rng.uniform(0.3, 0.55)) * 60 / stage.score.bpm
    depth = float(rng.uniform(0.45, 0.85))
    return effects.duck(stem, stage.sample_rate, kicks, depth=depth, release_s=release_s)


def _send_levels(
    part: Part, score: Score, rng: np.random.Generator
) -> tuple[np.float32, np.float32]:
    """How much of a stem goes into the room and into the echo."""
    share = {"bass": 0.08, "drums": 0.35, "percussion": 0.6, "fx": 1.0, "pad": 1.1, "lead": 1.0}
    wet = share.get(part.role, 0.8) * (0.05 + 0.5 * score.space) * float(rng.uniform(0.7, 1.3))
    is_echoed = part.role in ("lead", "arpeggio", "comp", "counter", "fx")
    chance = 0.9 if "echo" in score.treatments else 0.1 + 0.4 * score.space
    amount = float(rng.uniform(0.15, 0.4)) if is_echoed and rng.random() < chance else 0.0
    return np.float32(wet), np.float32(amount)


def _master(dry: FloatArray, sends: FloatArray, stage: _Stage) -> FloatArray:
    """Add room and echo, age the tape, finish the mix."""
    rate, score = stage.sample_rate, stage.score
    rng = np.random.default_rng((score.seed, SEED_DOMAIN, crc32(b"master")))
    room = mix.Room.draw(score.space, rng)
    beats = float(rng.choice([0.5, 0.75, 0.75, 1.0]))
    feedback, cutoff = float(rng.uniform(0.25, 0.55)), float(rng.uniform(1500, 5000))
    mixed = dry
    if np.any(sends[1]):
        repeats = effects.echo(
            sends[1], rate, min(1.0, beats * 60 / score.bpm), feedback=feedback, cutoff=cutoff
        )
        mixed = mixed + repeats
        sends[0] += 0.5 * repeats
    mixed = mixed + effects.reverb(
        sends[0], rate, time_s=room.time_s, size=room.size, damping_hz=room.damping_hz
    )
    return mix.master(_age(mixed, stage, rng), rate, rng)


def _age(mixed: FloatArray, stage: _Stage, rng: np.random.Generator) -> FloatArray:
    """Genre-wide treatments of the whole mix."""
    rate, wanted = stage.sample_rate, set(stage.score.treatments)
    level = float(np.sqrt(np.square(mixed).mean()))
    if "lofi" in wanted or "tape" in wanted:
        worn = 1.0 if "lofi" in wanted else 0.4
        mixed = effects.saturate(mixed, 3 * worn)
        mixed = effects.wow(
            mixed, rate, cents=worn * float(rng.uniform(6, 16)),
            rate_hz=float(rng.uniform(0.4, 1.1)), flutter_cents=2 * worn,
        )  # fmt: skip
        mixed = effects.low_pass(mixed, rate, float(rng.uniform(3200, 5500)) / worn**0.8)
    if "lofi" in wanted:
        noise = effects.record_noise(
            mixed.shape[1], rate, rng, crackle_hz=float(rng.uniform(2, 12))
        )
        mixed = mixed + np.float32(level * 10 ** (rng.uniform(-38, -30) / 20)) * noise
    if "8bit" in wanted:
        mixed = effects.crush(mixed, CRUSH_BITS)
    return effects.widen(mixed, 1.35) if "wide" in wanted else mixed
