"""Conventions of evaluation, pinned: ours, and those of the tools behind published tables.

`v1` is sound: bias-corrected distances with errors by clip, exact divergences, deterministic
windows. The others reproduce a tool's conventions *including its quirks*, so that an old table
can be matched; numbers of different presets must not be compared, so the preset's name is part
of every metric's name. What a preset cannot copy is the tool's resampler; soxr is used always.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from musicgen_ldm.audio import FloatArray, Waveform, peak
from musicgen_ldm.errors import ConfigError

TINY_EPSILON = 1e-6  # what three of the tools add inside the logarithm


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One set of conventions.

    Attributes:
        name: Last part of a metric's name.
        embedders: Used when none are named.
        channels: Mean of the channels, or the first alone.
        remove_dc: Subtract the mean sample.
        peak_dbfs: Scale each clip to this peak; None leaves levels alone.
        sixteen_bit: Round samples to 16 bits first.
        corrected: Report distances corrected for bias; else the plain textbook value.
        frame_replacement: FAD-infinity draws frames with replacement (removes no bias).
        bandwidth_of: Set whose median distance is KAD's bandwidth.
        kl_directions: Directions of KL that are reported.
        kl_epsilon: Added inside the logarithm; 0 is exact.
        kl_sigmoid: Also report the one-sided sum over sigmoid outputs.
        kl_segments: In KL each window is a sample; else a clip's mean logits are.
        is_splits: Shuffled parts of the inception score; 1 uses all clips and the jackknife.
    """

    name: str
    embedders: tuple[str, ...]
    channels: Literal["mean", "first"] = "mean"
    remove_dc: bool = False
    peak_dbfs: float | None = None
    sixteen_bit: bool = False
    corrected: bool = True
    frame_replacement: bool = False
    bandwidth_of: Literal["ref", "gen"] = "ref"
    kl_directions: tuple[Literal["ref_gen", "gen_ref"], ...] = ("ref_gen", "gen_ref")
    kl_epsilon: float = 0.0
    kl_sigmoid: bool = False
    kl_segments: bool = False
    is_splits: int = 1

    @property
    def kl_forms(self) -> tuple[str, ...]:
        """Forms of the divergence that are reported in each direction."""
        forms = ("kl",) if self.kl_epsilon else ("kl", "bernoulli")
        return (*forms, "kl_sigmoid") if self.kl_sigmoid else forms

    @property
    def kl_names(self) -> tuple[str, ...]:
        """Every form in every direction."""
        return tuple(f"{form}_{way}" for way in self.kl_directions for form in self.kl_forms)

    @property
    def audio_tag(self) -> str:
        """Names the preprocessing in the cache key."""
        return repr((self.channels, self.remove_dc, self.peak_dbfs, self.sixteen_bit))

    def prepare(self, waveform: Waveform) -> Waveform:
        """The mono clip that embedders get, at the file's own rate."""
        samples = waveform.mono if self.channels == "mean" else waveform.samples[0]
        if self.remove_dc:
            samples = samples - samples.mean()
        if self.sixteen_bit:
            samples = _sixteen_bit(samples)
        loudest = peak(samples)
        if self.peak_dbfs is not None and loudest > 0:
            samples = samples * np.float32(10 ** (self.peak_dbfs / 20) / loudest)
        return Waveform(samples, waveform.sample_rate)


def _sixteen_bit(samples: FloatArray) -> FloatArray:
    levels = 2**15
    rounded = np.clip(np.round(samples * levels), -levels, levels - 1) / levels
    return rounded.astype(np.float32)


V1 = Preset(name="v1", embedders=("clap-pocket", "logmel", "tagger"))
AUDIOLDM_EVAL = Preset(
    name="audioldm_eval",
    embedders=("vggish", "panns"),
    channels="first",
    remove_dc=True,
    corrected=False,
    kl_directions=("ref_gen",),
    kl_epsilon=TINY_EPSILON,
    kl_sigmoid=True,
    is_splits=10,
)
PRESETS = {
    preset.name: preset
    for preset in (
        V1,
        AUDIOLDM_EVAL,
        # The paper's tables were made with audioldm_eval, and with CLAP for text and novelty.
        replace(
            AUDIOLDM_EVAL,
            name="musicldm",
            embedders=("vggish", "panns", "clap-music"),
            kl_sigmoid=False,
        ),
        Preset(
            name="audiocraft",
            embedders=("vggish", "passt", "clap-music-speech"),
            corrected=False,
            kl_directions=("ref_gen",),
            kl_epsilon=TINY_EPSILON,
            kl_segments=True,
        ),
        Preset(
            name="stable-audio",
            embedders=("passt", "clap-general"),
            peak_dbfs=-1.0,
            corrected=False,
            kl_directions=("gen_ref",),
            kl_epsilon=TINY_EPSILON,
        ),
        Preset(
            name="fadtk",
            embedders=("clap-music", "vggish"),
            sixteen_bit=True,
            corrected=False,
            frame_replacement=True,
            bandwidth_of="gen",  # kadtk shares fadtk's code and takes it from the evaluated set
        ),
    )
}


def get_preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
        ConfigError: If there is none.
    """
    if name not in PRESETS:
        raise ConfigError(f"no preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
