"""What a run leaves behind: resolved config, identity, metrics, samples, checkpoints, export.

RUN/config.yaml      every value, resolved
    run.json         version and manifest hash
    metrics.jsonl    one line per log or validation
    samples/         step-00001000/NAME.wav
    checkpoints/     step-00001000/
    export/          component folders for stock classes
    report.html      loss curves, spectrograms, players
"""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import soundfile

from musicgen_ldm import __version__
from musicgen_ldm.audio import Waveform
from musicgen_ldm.config.models import PRESETS
from musicgen_ldm.config.training import StageConfig
from musicgen_ldm.configio import build, dump_yaml, read_settings, to_plain
from musicgen_ldm.errors import ManifestError, TrainingError
from musicgen_ldm.training.checkpoints import CheckpointStore
from musicgen_ldm.whole_file import whole_file

FREE_TO_CHANGE = ("run", "preview", "max_steps")  # between a run and its continuation


class RunFolder:
    """Files of one run. Only the main process writes.

    Args:
        path: The folder.
        keep: Checkpoints that stay.
    """

    def __init__(self, path: Path, keep: int) -> None:
        self.path = path
        self.checkpoints = CheckpointStore(path / "checkpoints", keep)
        self.metrics = path / "metrics.jsonl"
        self.samples = path / "samples"
        self.export = path / "export"

    def start(self, config: StageConfig) -> None:
        """Create the folder for a new run.

        Raises:
            TrainingError: If it already holds checkpoints.
        """
        latest = self.checkpoints.latest()
        if latest is not None:
            raise TrainingError(
                f"{self.path} already holds a run up to {latest.name}; "
                "go on with --resume or choose another folder with --out"
            )
        try:
            self.checkpoints.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(
                f"{self.path}: cannot be the run folder ({error.strerror}); give a folder that can "
                "be written to with --out"
            ) from error
        self.metrics.write_text("")
        identity = {"version": __version__, "manifest_sha256": manifest_hash(config)}
        (self.path / "run.json").write_text(json.dumps(identity, indent=2) + "\n")
        self.write_config(config)

    def write_config(self, config: StageConfig) -> None:
        """Write the resolved configuration, whole or not at all."""
        _write_whole(self.path / "config.yaml", dump_yaml(config))

    def check_same_experiment(self, config: StageConfig) -> None:
        """Refuse to continue a run as another experiment or on other data.

        A key that the schema has gained since the run began had its default then.

        Raises:
            ConfigError: If the run was configured by a key that is no longer known.
            TrainingError: Naming the keys that differ.
        """
        written = read_settings(self.path / "config.yaml")
        began = build(type(config), written, {"model": PRESETS[config.preset]})
        before, now = (_flatten(to_plain(each)) for each in (began, config))
        changed = sorted(
            key
            for key in before.keys() | now.keys()
            if key.split(".")[0] not in FREE_TO_CHANGE and before.get(key) != now.get(key)
        )
        if changed:
            raise TrainingError(
                f"--resume: {', '.join(changed)} differ(s) from {self.path / 'config.yaml'}; "
                f"only {', '.join(FREE_TO_CHANGE)} may change, start a new run with --out instead"
            )
        identity = json.loads((self.path / "run.json").read_text())
        if identity["manifest_sha256"] != manifest_hash(config):
            raise TrainingError(
                f"--resume: {config.data.manifest} has changed since the run began; "
                "restore it or start a new run with --out"
            )

    def log(self, step: int, values: dict[str, float]) -> None:
        """Append one line of metrics."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step} | values) + "\n")

    def rewind(self, step: int) -> None:
        """Forget metrics of steps after `step`, which a killed run took but did not save."""
        kept = [line for line in read_metrics(self.metrics) if line["step"] <= step]
        _write_whole(self.metrics, "".join(json.dumps(line) + "\n" for line in kept))

    def write_samples(self, step: int, samples: dict[str, Waveform]) -> None:
        """Write `samples/step-…/NAME.wav`, 16 bit."""
        folder = self.samples / f"step-{step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        for name, waveform in samples.items():
            sound = io.BytesIO()  # soundfile itself would hide that a disk is full
            soundfile.write(
                sound, waveform.samples.T, waveform.sample_rate, subtype="PCM_16", format="WAV"
            )
            (folder / f"{name}.wav").write_bytes(sound.getbuffer())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Lines of a metrics file; an unfinished last line, left by a kill, is dropped."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def manifest_hash(config: StageConfig) -> str | None:
    """SHA-256 of the manifest's bytes; None for a stage that reads none.

    Raises:
        ManifestError: If the file does not exist.
    """
    if not config.data.manifest:
        return None
    path = Path(config.data.manifest)
    if not path.is_file():
        raise ManifestError(
            f"data.manifest: {path} does not exist; `musicgen-ldm corpus build` or `prepare` "
            "writes one, then set data.manifest=PATH"
        )
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_whole(path: Path, text: str) -> None:
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        flat |= _flatten(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat
