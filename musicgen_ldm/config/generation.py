"""What a musician can ask for, checked before any model is loaded."""

import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from musicgen_ldm.config.checks import check_number, check_text, check_whole, is_rising_pair
from musicgen_ldm.config.signal import CLIP_SECONDS
from musicgen_ldm.errors import RequestError

SamplerName = Literal["ddim", "dpm++", "unipc", "euler"]
SAMPLERS: tuple[str, ...] = get_args(SamplerName)
VocoderName = Literal["hifi-gan", "griffin-lim"]
VOCODERS: tuple[str, ...] = get_args(VocoderName)
PrecisionName = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[str, ...] = get_args(PrecisionName)
Side = Literal["after", "before"]

MIN_SECONDS, MAX_SECONDS = 0.5, 600.0
MAX_PROMPT_CHARACTERS = 2_000
MAX_TAKES = 64
MAX_STEPS = 1_000
MAX_CANDIDATES = 16
MAX_GUIDANCE = 30.0
MIN_BPM, MAX_BPM = 30.0, 300.0
MAX_BARS = 256
MAX_SEED = 2**63 - 1
DEFAULT_STRENGTH = 0.5  # of a variation when none is given
SAID_BPM = r"(\d+(?:\.\d+)?)[ -]?bpm"
# A lower-case "a minor" may be an article: "a minor key".
SAID_KEY = r"\b([A-Gb-g](?:[#b♯♭]|[ -](?i:sharp|flat))?[ -](?i:major|minor))\b"
BEATS_PER_BAR = 4  # `bars` counts bars of four quarter notes


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How the denoiser is run; every checkpoint stores the values that suited it best.

    Attributes:
        sampler: Solver of the reverse process.
        steps: Number of denoiser calls (pairs of calls under guidance).
        guidance: Classifier-free guidance scale; 1 switches it off.
        guidance_interval: Share of the steps, from 0 (first) to 1 (last), that is guided
            (Kynkäänniemi et al. 2024).
        guidance_rescale: 0 off to 1 full; keeps the guided prediction's standard deviation near
            the conditional one's (Lin et al. 2024).
        eta: Noise added back by DDIM, 0 deterministic to 1 ancestral.
        bridge: Step from text to audio embedding: "none" or the name of a stored bridge.
        vocoder: From mel spectrogram to sound: the checkpoint's own "hifi-gan", or "griffin-lim",
            which suits checkpoints whose vocoder was trained briefly.
        candidates: Draws that a take is the best ranked of. Take t chooses among the draws
            t * candidates to (t + 1) * candidates - 1, and noise belongs to a draw. When all of
            them are silent it draws again, twice at most.
    """

    sampler: SamplerName = "ddim"
    steps: int = 200
    guidance: float = 2.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_rescale: float = 0.0
    eta: float = 0.0
    bridge: str = "none"
    vocoder: VocoderName = "hifi-gan"
    candidates: int = 1

    def __post_init__(self) -> None:
        """Check every range."""
        if self.sampler not in SAMPLERS:
            raise RequestError(f"sampler is {self.sampler!r}; choose one of {', '.join(SAMPLERS)}")
        if self.vocoder not in VOCODERS:
            raise RequestError(f"vocoder is {self.vocoder!r}; choose one of {', '.join(VOCODERS)}")
        check_whole("steps", self.steps, 1, MAX_STEPS)
        check_whole("candidates", self.candidates, 1, MAX_CANDIDATES)
        check_number("guidance", self.guidance, 0, MAX_GUIDANCE)
        check_number("guidance_rescale", self.guidance_rescale, 0, 1)
        check_number("eta", self.eta, 0, 1)
        check_text("bridge", self.bridge, MAX_PROMPT_CHARACTERS)
        if not is_rising_pair(self.guidance_interval, 1.0):
            raise RequestError(
                f"guidance_interval is {self.guidance_interval}; "
                "give two rising numbers from 0 to 1"
            )
        if self.eta and self.sampler != "ddim":
            raise RequestError(f"eta={self.eta} needs the ddim sampler, got {self.sampler}")


@dataclass(frozen=True, kw_only=True)
class Blend:
    """A second idea mixed into the prompt: a sentence or a sound.

    Attributes:
        text: Sentence, or None.
        audio: Sound file, or None; exactly one of the two is given.
        weight: Share of the condition, above 0 and at most 1.
    """

    text: str | None = None
    audio: str | None = None
    weight: float

    def __post_init__(self) -> None:
        """Exactly one source, and a usable weight."""
        if (self.text is None) == (self.audio is None):
            raise RequestError("a blend takes either a text or an audio file")
        check_text("blend", self.audio if self.text is None else self.text, MAX_PROMPT_CHARACTERS)
        if self.text is not None and not self.text.strip():
            raise RequestError("the text of a blend is empty; write what to mix in")
        check_number("blend weight", self.weight, 0, 1)
        if self.weight == 0:
            raise RequestError("blend weight is 0; give a number above 0, at most 1")


@dataclass(frozen=True, kw_only=True)
class GenerateRequest:
    """One prompt and everything that shapes its takes.

    Attributes:
        prompt: Sentence; may be empty only when `audio_prompt` is given.
        negative_prompt: What to steer away from; "" is the neutral condition of training.
        seconds: Length; None means the bars' length, the source file's, or one training clip.
        seed: Whole number; with the take's index it determines the noise.
        takes: How many variants to render.
        first_take: Index of the first one; lets a single take of a batch be rendered alone.
        bpm: Joins the prompt and is measured on the result, as a tempo in the prompt itself is.
        key: For example "A minor"; likewise.
        bars: Number of 4/4 bars; with `bpm` it fixes the length.
        loop: Circular in time and exact to the sample.
        blends: Further texts or sounds mixed into the condition.
        audio_prompt: Sound file that takes the place of the prompt, or shares the condition half
            and half with it when both are given.
        init: Sound file to vary, with `strength`.
        strength: 0 keeps `init`, 1 ignores it; None is `DEFAULT_STRENGTH`.
        repaint: Regions (start, end) of `init` in seconds to render anew.
        continue_file: Sound file to continue; `seconds` counts the new part only.
        continue_side: Whether the new part comes after or before the file.
        sampling: Fields of `SamplingConfig` that differ from the checkpoint's defaults.
    """

    prompt: str = ""
    negative_prompt: str = ""
    seconds: float | None = None
    seed: int = 0
    takes: int = 1
    first_take: int = 0
    bpm: float | None = None
    key: str | None = None
    bars: int | None = None
    loop: bool = False
    blends: tuple[Blend, ...] = ()
    audio_prompt: str | None = None
    init: str | None = None
    strength: float | None = None
    repaint: tuple[tuple[float, float], ...] = ()
    continue_file: str | None = None
    continue_side: Side = "after"
    sampling: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every value and the combinations that exclude each other."""
        self._check_texts()
        check_whole("seed", self.seed, 0, MAX_SEED)
        check_whole("takes", self.takes, 1, MAX_TAKES)
        check_whole("first_take", self.first_take, 0, MAX_SEED)
        if self.seconds is not None:
            check_number("seconds", self.seconds, MIN_SECONDS, MAX_SECONDS)
        if self.bpm is not None:
            check_number("bpm", self.bpm, MIN_BPM, MAX_BPM)
            if (said := self._said_bpm) and self.bpm not in said:
                raise RequestError(
                    f"the prompt says {said[0]:g} bpm and bpm is {self.bpm:g}; leave out either"
                )
        if self.bars is not None:
            check_whole("bars", self.bars, 1, MAX_BARS)
            if self.bpm is None:
                raise RequestError("bars needs bpm to know how long a bar is; give one")
            if self.seconds is not None:
                raise RequestError("bars and seconds both set the length; give one of them")
            length = "bars at this bpm, in seconds,"
            check_number(length, self.length_s, MIN_SECONDS, MAX_SECONDS)
        self._check_sources()
        unknown = self.sampling.keys() - SamplingConfig.__dataclass_fields__.keys()
        if unknown:
            raise RequestError(
                f"unknown sampling option {', '.join(sorted(unknown))}; known: "
                f"{', '.join(SamplingConfig.__dataclass_fields__)}"
            )
        SamplingConfig(**self.sampling)

    def _check_texts(self) -> None:
        check_text("prompt", self.prompt, MAX_PROMPT_CHARACTERS)
        check_text("negative prompt", self.negative_prompt, MAX_PROMPT_CHARACTERS)
        if self.key is not None:
            check_text("key", self.key, MAX_PROMPT_CHARACTERS)
        if not self.prompt.strip() and self.audio_prompt is None:
            raise RequestError("the prompt is empty; describe the music in a sentence")
        # Added one by one, 0.05, 0.55, 0.3 and 0.1 are more than 1.
        if math.fsum(blend.weight for blend in self.blends) > 1:
            raise RequestError("the blend weights add up to more than 1; the prompt takes the rest")

    def _check_sources(self) -> None:
        for name, path in (
            ("init", self.init),
            ("continue", self.continue_file),
            ("audio prompt", self.audio_prompt),
        ):
            if path is not None and not (isinstance(path, str) and path):
                raise RequestError(f"{name} is {path!r}; give the path of a sound file as text")
        if self.continue_side not in get_args(Side):
            raise RequestError(f"continue_side is {self.continue_side!r}; choose after or before")
        if not isinstance(self.loop, bool):
            raise RequestError(f"loop is {self.loop!r}; give true or false")
        if self.init is not None and self.continue_file is not None:
            raise RequestError("init and continue exclude each other; give one file")
        if (self.strength is not None or self.repaint) and self.init is None:
            raise RequestError("strength and repaint need a file to work on; add --init FILE")
        if self.strength is not None:
            check_number("strength", self.strength, 0, 1)
        if self.repaint and self.strength is not None:
            raise RequestError("repaint renders its regions anew; leave strength out")
        for region in self.repaint:
            if not is_rising_pair(region):
                raise RequestError(f"repaint region {region} s; give START-END, 0 <= START < END")
        if self.loop and (self.repaint or self.continue_file):
            raise RequestError("a loop cannot be a repaint or a continuation; render it alone")
        if self.init is not None and (self.seconds is not None or self.bars is not None):
            raise RequestError("the length follows from init; leave seconds and bars out")

    @property
    def length_s(self) -> float:
        """Asked length of the newly drawn audio in seconds, source files left aside."""
        if self.bars is not None and self.bpm is not None:
            return self.bars * BEATS_PER_BAR * 60 / self.bpm
        return CLIP_SECONDS if self.seconds is None else self.seconds

    @property
    def conditioning_text(self) -> str:
        """The prompt with tempo and key spelled out, unless the words are there already.

        Bars are not, they set the length (docs/decisions/0019).
        """
        parts = [self.prompt.strip().rstrip(".,;")]
        if self.bpm is not None and not self._said_bpm:
            parts.append(f"{self.bpm:g} bpm")
        if self.key is not None and not self._names_key():
            parts.append(f"in {self.key}")
        return ", ".join(part for part in parts if part)

    @property
    def asked_bpm(self) -> float | None:
        """The tempo that results are measured against: `bpm`, or the only one in the prompt."""
        said = set(self._said_bpm)
        return self.bpm if self.bpm is not None or len(said) != 1 else said.pop()

    @property
    def asked_key(self) -> str | None:
        """The key that results are measured against: `key`, or the only one in the prompt."""
        said = set(re.findall(SAID_KEY, self.prompt))
        return self.key if self.key is not None or len(said) != 1 else said.pop()

    @property
    def _said_bpm(self) -> list[float]:
        """Tempi that the prompt spells out."""
        return [float(number) for number in re.findall(SAID_BPM, self.prompt.lower())]

    def _names_key(self) -> bool:
        # A bare "A" or "G" is an article or part of some word in nearly every sentence.
        key = (self.key or "").lower()
        return len(key.split()) > 1 and key in self.prompt.lower()

    def to_json(self) -> dict[str, Any]:
        """Plain values, as stored in a record."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "GenerateRequest":
        """The inverse of `to_json`; unknown names raise RequestError."""
        unknown = values.keys() - cls.__dataclass_fields__.keys()
        if unknown:
            raise RequestError(
                f"unknown request field {', '.join(sorted(unknown))}; known: "
                f"{', '.join(cls.__dataclass_fields__)}"
            )
        try:
            blends = tuple(Blend(**blend) for blend in values.get("blends", ()))
            repaint = tuple(tuple(region) for region in values.get("repaint", ()))
            sampling = dict(values.get("sampling", {}))
            if "guidance_interval" in sampling:
                sampling["guidance_interval"] = tuple(sampling["guidance_interval"])
        except RequestError:
            raise
        except (TypeError, ValueError) as error:
            raise RequestError(
                f"blends, repaint or sampling cannot be read ({error}); blends are mappings of "
                "text or audio and weight, repaint pairs of seconds, sampling a mapping"
            ) from error
        nested = {"blends": blends, "repaint": repaint, "sampling": sampling}
        return cls(**{**values, **nested})

    @property
    def kept_file(self) -> Path | None:
        """The sound file whose samples the result has, outside what is drawn anew."""
        kept = self.init if self.repaint else self.continue_file
        return None if kept is None else Path(kept)

    def with_sources(self, place: Callable[[str], str]) -> "GenerateRequest":
        """The same request with each sound file's path replaced by what `place` makes of it."""

        def placed(path: str | None) -> str | None:
            return None if path is None else place(path)

        return replace(
            self,
            init=placed(self.init),
            continue_file=placed(self.continue_file),
            audio_prompt=placed(self.audio_prompt),
            blends=tuple(replace(blend, audio=placed(blend.audio)) for blend in self.blends),
        )

    @property
    def source_files(self) -> dict[str, Path]:
        """Sound files that the result depends on, by role."""
        named = {
            "init": self.init,
            "continue_file": self.continue_file,
            "audio_prompt": self.audio_prompt,
        }
        named |= {f"blend_{i}": blend.audio for i, blend in enumerate(self.blends)}
        return {role: Path(path) for role, path in named.items() if path is not None}
