"""Every error a user can cause, in one tree.

    MusicGenError
    ├── ConfigError        a configuration file, key or value
    ├── RequestError       what a generation was asked for
    ├── AudioError         an audio file or waveform
    ├── ManifestError      a line of a clip manifest
    ├── CheckpointError    a checkpoint folder or hub id
    ├── CorpusError        a genre file, soundfont or corpus folder
    ├── MetricError        the input of a metric
    ├── OutputError        a file that cannot be written, or must not be replaced
    ├── NumericsError      a non-finite value where sound or a loss was expected
    ├── TrainingError      a run that cannot start or go on
    └── MissingExtraError  an optional package that is not installed

A message says what was given, what is allowed and what to do, on one line. The command line
prints it after ``error:`` and exits with code 2; a traceback always means a bug of ours.
"""

import errno


class MusicGenError(Exception):
    """Base of all errors a user can cause and mend."""


class ConfigError(MusicGenError, ValueError):
    """A configuration file names an unknown key or a value outside its range."""


class RequestError(MusicGenError, ValueError):
    """A generation request is empty, contradictory or outside its limits."""


class AudioError(MusicGenError, ValueError):
    """An audio file is unreadable, or a waveform is empty, silent or non-finite."""


class ManifestError(MusicGenError, ValueError):
    """A manifest line does not follow the format; the message holds file and line number."""


class CheckpointError(MusicGenError, ValueError):
    """A checkpoint is missing, corrupt, unsafe to load or of another architecture."""


class CorpusError(MusicGenError, ValueError):
    """A genre file, a soundfont or a corpus folder cannot be used."""


class MetricError(MusicGenError, ValueError):
    """The input of a metric is too small, of the wrong shape or non-finite."""


class OutputError(MusicGenError, OSError):
    """A result cannot be written: it exists, the folder is read-only or the disk is full."""


class NumericsError(MusicGenError, ArithmeticError):
    """A latent, a waveform or a loss holds NaN or infinity."""


class TrainingError(MusicGenError, RuntimeError):
    """A training run cannot start or go on."""


class MissingExtraError(MusicGenError, ImportError):
    """An optional package is needed; the message names the command that installs it."""


def is_full_disk(error: BaseException) -> bool:
    """Whether there was no room to write: on the disk, in a quota or below a limit."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_full_memory(error: BaseException) -> bool:
    """Whether there was no memory for data, or for a library that was being loaded."""
    return (
        isinstance(error, MemoryError)
        or getattr(error, "errno", None) == errno.ENOMEM
        or "failed to map segment" in str(error)
    )
