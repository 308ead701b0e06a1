"""Recorded one-shots (CC0) that lend synthesised kits a hit of real air.

Sound files of Debian's `sonic-pi-samples`, each released to the public domain (CC0) on Freesound
as its README states file by file. Loops are left out: a label cannot free a sampled record.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from musicgen_ldm.audio import read_audio

FloatArray = npt.NDArray[np.float32]

FOLDER = Path("/usr/share/sonic-pi/samples")
PACKAGE = "sonic-pi-samples"
LICENCE = "CC0-1.0"
MAX_SECONDS = 1.5
FADE_S = 0.05
ONSET = 0.02  # share of the peak at which a hit has begun; what precedes it is cut

# fmt: off
HITS: dict[int, tuple[str, ...]] = {
    36: ("bd_808", "bd_ada", "bd_fat", "bd_gas", "bd_haus", "bd_klub", "bd_pure", "bd_sone",
         "bd_tek", "bd_zome", "bd_zum", "drum_heavy_kick", "elec_soft_kick", "drum_bass_hard"),
    38: ("sn_dolf", "sn_dub", "sn_generic", "sn_zome", "drum_snare_hard", "drum_snare_soft",
         "elec_snare", "elec_lo_snare", "elec_mid_snare", "elec_hi_snare"),
    39: ("perc_snap", "perc_snap2"),
    42: ("drum_cymbal_closed", "drum_cymbal_pedal"),
    46: ("drum_cymbal_open",),
    49: ("drum_splash_hard", "drum_splash_soft", "drum_cymbal_hard"),
    51: ("drum_cymbal_soft",),
    45: ("drum_tom_lo_hard", "drum_tom_lo_soft"),
    47: ("drum_tom_mid_hard", "drum_tom_mid_soft"),
    50: ("drum_tom_hi_hard", "drum_tom_hi_soft"),
    56: ("drum_cowbell",),
}
TWINS = {36: (35,), 38: (40,), 42: (44,), 49: (55, 57), 51: (59,), 45: (41, 43), 47: (48,)}
# fmt: on


@dataclass(frozen=True)
class OneShots:
    """The folder the one-shots lie in, or None where the package is not installed."""

    folder: Path | None

    def draw(
        self, share: float, sample_rate: int, rng: np.random.Generator
    ) -> tuple[dict[int, FloatArray], dict[int, str]]:
        """Pick a recording for about `share` of the keys.

        Returns:
            Hits by percussion key, mono (T,) with peak 1, and the names of their files. Both
            are empty without the package, but the draws are made: the rest of the clip does
            not depend on it.
        """
        hits: dict[int, FloatArray] = {}
        names: dict[int, str] = {}
        for key, choices in HITS.items():
            is_wanted = rng.random() < share
            name = choices[rng.integers(len(choices))]
            if is_wanted and self.folder is not None:
                hit = _load(self.folder / f"{name}.flac", sample_rate)
                keys = (key, *TWINS.get(key, ()))
                hits |= dict.fromkeys(keys, hit)
                names |= dict.fromkeys(keys, name)
        return hits, names


@lru_cache(maxsize=64)
def _load(path: Path, sample_rate: int) -> FloatArray:
    """A hit from its onset on, mono, peak 1, faded out."""
    samples = read_audio(path, sample_rate=sample_rate).mono
    samples = samples / np.abs(samples).max()
    onset = int(np.argmax(np.abs(samples) > ONSET))
    samples = samples[onset : onset + int(MAX_SECONDS * sample_rate)].copy()
    fade = min(len(samples), int(FADE_S * sample_rate))
    samples[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return samples


def find_oneshots() -> OneShots:
    """The installed one-shots, if any."""
    return OneShots(FOLDER if FOLDER.is_dir() else None)
