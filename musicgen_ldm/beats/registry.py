"""Beat trackers by name."""

from collections.abc import Callable
from functools import lru_cache

from musicgen_ldm.beats.tracker import BeatTracker
from musicgen_ldm.errors import ConfigError


def _librosa() -> BeatTracker:
    from musicgen_ldm.beats.librosa_tracker import LibrosaTracker

    return LibrosaTracker()


def _tcn() -> BeatTracker:
    from musicgen_ldm.beats.tcn_tracker import TcnTracker

    return TcnTracker()


def _beatnet() -> BeatTracker:
    from musicgen_ldm.beats.beatnet_tracker import BeatNetTracker

    return BeatNetTracker()


_MAKERS: dict[str, Callable[[], BeatTracker]] = {
    "tcn": _tcn,
    "librosa": _librosa,
    "beatnet": _beatnet,
}
DEFAULT = "tcn"  # wins benchmarks/beat_trackers.py; docs/lab-log.md has the table
TRACKERS = tuple(_MAKERS)


@lru_cache(maxsize=len(_MAKERS) + 1)
def get_tracker(name: str = "auto") -> BeatTracker:
    """The beat tracker called `name`, loaded once a process.

    Args:
        name: One of `TRACKERS`, or "auto" for `DEFAULT`.

    Raises:
        ConfigError: If the name is unknown.
        MissingExtraError: If the tracker needs a package that is not installed.
    """
    if name == "auto":
        return get_tracker(DEFAULT)
    if name not in _MAKERS:
        raise ConfigError(f"beat tracker {name!r}: known are auto, {', '.join(TRACKERS)}")
    return _MAKERS[name]()
