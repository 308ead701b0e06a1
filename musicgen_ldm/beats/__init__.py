"""Beats and downbeats of a recording: `get_tracker("auto")(waveform) -> Beats`."""

from musicgen_ldm.beats.registry import TRACKERS, get_tracker
from musicgen_ldm.beats.tracker import Beats, BeatTracker

__all__ = ["TRACKERS", "BeatTracker", "Beats", "get_tracker"]
