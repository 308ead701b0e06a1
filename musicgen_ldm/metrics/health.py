"""Signal health of a set of clips: silence, clipping, offset, loudness.

Goal: catch what embeddings do not hear. Distances look fine on silent output, so they are
refused above `MAX_SILENT_SHARE` of silent clips.

Conventions: one `musicgen_ldm.measure.Health` a clip, measured on the untouched file.

Metrics:
    silent_share     share of clips with RMS below -60 dBFS
    clipped_share    share of clips with more than 0.01 % clipped samples
    dc_share         share of clips with an offset above 1 % of full scale
    loudness_lufs    mean integrated loudness of the clips that are not silent
"""

from collections.abc import Sequence

import numpy as np

from musicgen_ldm.errors import MetricError
from musicgen_ldm.measure import Health
from musicgen_ldm.metrics.statistics import Estimate, mean_estimate, wilson_interval

SHARES = {"silent_share": "silent", "clipped_share": "clipped", "dc_share": "dc"}  # of which fault
MAX_SILENT_SHARE = 0.05  # above it, Fréchet distances and KL mean nothing


def validate(clips: Sequence[Health]) -> None:
    """Refuse an empty set.

    Raises:
        MetricError: If there are no clips.
    """
    if not clips:
        raise MetricError("signal health of no clips; give a folder with audio files")


def fault_share(clips: Sequence[Health], fault: str) -> Estimate:
    """Share of clips with a fault: "silent", "gaps", "clipped" or "dc"."""
    validate(clips)
    return wilson_interval(sum(fault in clip.faults for clip in clips), len(clips))


def mean_loudness(clips: Sequence[Health]) -> Estimate | None:
    """Mean integrated loudness in LUFS of clips above the gate; None when all are silent."""
    validate(clips)
    levels = [clip.loudness_lufs for clip in clips if np.isfinite(clip.loudness_lufs)]
    return mean_estimate(levels) if levels else None


def evaluate(clips: Sequence[Health]) -> dict[str, Estimate | None]:
    """All metrics of this module, in the order of its list."""
    return {
        **{name: fault_share(clips, fault) for name, fault in SHARES.items()},
        "loudness_lufs": mean_loudness(clips),
    }
