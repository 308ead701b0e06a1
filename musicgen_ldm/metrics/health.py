"""Signal health of a set of clips: silence, clipping, offset, loudness.

Goal: catch what embeddings do not hear. Distances look fine on silent output, so they are
refused above `MAX_SILENT_SHARE` of silent clips.

Conventions: one `musicgen_ldm.measure.Health` a clip, measured on the untouched file; `prompts`
(n,) labels each clip's prompt, where several takes share one.

Metrics:
    silent_share     share of clips with RMS below -60 dBFS
    clipped_share    share of clips with more than 0.01 % clipped samples
    dc_share         share of clips with an offset above 1 % of full scale
    loudness_lufs    mean integrated loudness of the clips that are not silent
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from musicgen_ldm.errors import MetricError
from musicgen_ldm.measure import Health
from musicgen_ldm.metrics.checks import clip_index
from musicgen_ldm.metrics.statistics import Estimate, mean_estimate, share_estimate

SHARES = {"silent_share": "silent", "clipped_share": "clipped", "dc_share": "dc"}  # of which fault
MAX_SILENT_SHARE = 0.05  # above it, Fréchet distances and KL mean nothing


def validate(clips: Sequence[Health]) -> None:
    """Refuse an empty set.

    Raises:
        MetricError: If there are no clips.
    """
    if not clips:
        raise MetricError("signal health of no clips; give a folder with audio files")


def fault_share(
    clips: Sequence[Health], fault: str, prompts: npt.ArrayLike | None = None
) -> Estimate:
    """Share of clips with a fault: "silent", "gaps", "clipped" or "dc"."""
    validate(clips)
    return share_estimate([fault in clip.faults for clip in clips], prompts)


def mean_loudness(clips: Sequence[Health], prompts: npt.ArrayLike | None = None) -> Estimate | None:
    """Mean integrated loudness in LUFS of clips above the gate; None when all are silent."""
    validate(clips)
    levels = np.array([clip.loudness_lufs for clip in clips])
    heard, groups = np.isfinite(levels), clip_index(len(clips), prompts)
    return mean_estimate(levels[heard], groups[heard]) if heard.any() else None


def evaluate(
    clips: Sequence[Health], prompts: npt.ArrayLike | None = None
) -> dict[str, Estimate | None]:
    """All metrics of this module, in the order of its list."""
    return {
        **{name: fault_share(clips, fault, prompts) for name, fault in SHARES.items()},
        "loudness_lufs": mean_loudness(clips, prompts),
    }
