"""Does it copy? The training clips nearest to a take, a verdict, and their sound beside it."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
import numpy as np

from musicgen_ldm.audio import Waveform, read_audio
from musicgen_ldm.config.novelty import NUM_NEIGHBOURS, Threshold
from musicgen_ldm.errors import MusicGenError, RequestError
from musicgen_ldm.ui import texts
from musicgen_ldm.ui.engine import Engine
from musicgen_ldm.ui.served import plain

COMPOSE_S = 120  # longest wait for a clip of the corpus
CORPUS = "musicgen_ldm corpus "  # begins the source of its clips; those of a pair have no seed
INSTALL = re.compile(r"`(?:pip|apt) install [^`]+`")
GENRE = re.compile(r"[a-z0-9-]+")  # a name, never a file


class NoveltyPanel:
    """The verdict on the chosen take and a player for each of its nearest training clips."""

    def __init__(self, engine: Engine) -> None:
        """Build the components in the current layout."""
        self.engine = engine
        with gr.Accordion(texts.NOVELTY, open=False):
            self.verdict = gr.Markdown(container=False)
            self.listen = gr.Button(texts.LISTEN, visible=False)
            with gr.Row():
                self.players = [
                    gr.Audio(visible=False, interactive=False, buttons=[], min_width=240)
                    for _ in range(NUM_NEIGHBOURS)
                ]
            self.note = gr.Markdown(container=False)

    @property
    def outputs(self) -> list[Any]:
        """All components that a choice or a click changes."""
        return [self.verdict, self.listen, *self.players, self.note]

    def show(self, record: Mapping[str, Any]) -> dict[Any, Any]:
        """The verdict; players stay hidden until asked for."""
        hidden = {player: gr.update(value=None, visible=False) for player in self.players}
        asked = gr.update(visible=bool(record.get("nearest")))
        return {self.verdict: verdict(record), self.listen: asked, self.note: "", **hidden}

    def play(self, record: Mapping[str, Any]) -> Iterator[dict[Any, Any]]:
        """One player after the other; a clip that cannot be had here is a sentence."""
        known = self._entries(record)
        missing = []
        for player, neighbour in zip(self.players, record["nearest"], strict=False):
            yield {self.note: texts.FETCHING.format(id=neighbour["id"])}
            try:
                sound = training_clip(
                    known.get(neighbour["id"], neighbour), self.engine.config.train_audio
                )
            except MusicGenError as error:
                missing.append(f"- {plain(error)}")
                continue
            samples = (np.clip(sound.samples.T, -1, 1) * 32_767).astype(np.int16)
            label = f"{neighbour['similarity']:.2f}: {caption(neighbour)}"
            yield {player: gr.update(value=(sound.sample_rate, samples), label=label, visible=True)}
        yield {self.note: "\n".join(missing)}

    def _entries(self, record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """The neighbours as the bank knows them; another model may have been loaded since."""
        model = self.engine.model
        if model is None or record["checkpoint"]["sha256"] != model.identity:
            return {}
        wanted = {neighbour["id"] for neighbour in record["nearest"]}
        bank = model.checkpoint.bank
        return {e["id"]: e for e in bank.all_entries() if e["id"] in wanted} if bank else {}


def verdict(record: Mapping[str, Any]) -> str:
    """Markdown: whether a take is close to a training clip, and which clips are nearest."""
    neighbours = record.get("nearest", [])
    if not neighbours:
        return texts.NOVELTY_UNKNOWN
    nearest = neighbours[0]["similarity"]
    limit = Threshold.of_record(record)
    said = texts.NOVELTY_CLOSE if nearest > limit.similarity else texts.NOVELTY_CLEAR
    rows = [
        texts.NOVELTY_ROW.format(
            similarity=neighbour["similarity"],
            caption=caption(neighbour),
            licence=neighbour["licence"] or texts.UNKNOWN,
            attribution=neighbour["attribution"] or texts.UNKNOWN,
        )
        for neighbour in neighbours
    ]
    why = texts.NOVELTY_CALIBRATED if limit.is_calibrated else texts.NOVELTY_PUBLISHED
    sentences = f"{said.format(nearest=nearest)} {why.format(limit=limit.similarity)}"
    return "\n".join([sentences, "", texts.NOVELTY_HEAD, *rows])


def caption(neighbour: Mapping[str, Any]) -> str:
    """What a training clip is called: its first caption, else its id; safe inside a table."""
    return str((neighbour["captions"] or [neighbour["id"]])[0]).replace("|", "/")


def training_clip(entry: Mapping[str, Any], folder: Path) -> Waveform:
    """The sound of a bank's entry: its file, else the corpus' piece composed again.

    Args:
        entry: Of the bank.
        folder: That the paths of the bank start from.

    Raises:
        RequestError: If neither is to be had on this machine.
    """
    path = folder / entry.get("path", "")
    # Only the very file that was trained on: a bank may come from strangers, and its paths too.
    if path.is_file() and sha256(path.read_bytes()).hexdigest() == entry["sha256"]:
        return read_audio(path, start_s=entry["start_s"], duration_s=entry["duration_s"])
    if "seed" in entry and GENRE.fullmatch(entry["genre"]):
        return _composed(int(entry["seed"]), entry["genre"], entry["split"])
    if "seed" not in entry and str(entry["source"]).startswith(CORPUS):
        raise RequestError(texts.HALF_OF_A_PAIR.format(id=entry["id"], folder=folder))
    raise RequestError(texts.NO_TRAINING_AUDIO.format(id=entry["id"], folder=folder))


def _composed(seed: int, genre: str, split: str) -> Waveform:
    """A piece of the corpus, rendered in a process of its own: soundfonts are large."""
    with TemporaryDirectory(prefix="musicgen-") as scratch:
        path = Path(scratch) / "clip.flac"
        command = [sys.executable, "-m", "musicgen_ldm", "corpus", "play", str(seed)]
        command += [f"--genre={genre}", f"--split={split}", f"--output={path}"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMPOSE_S)
        except (subprocess.SubprocessError, OSError) as error:
            said = getattr(error, "stderr", None) or str(error)
            reason = str(said).strip().splitlines()[-1].removeprefix("error: ")
            raise RequestError(_why(genre, reason)) from error
        return read_audio(path)


def _why(genre: str, reason: str) -> str:
    """A sentence for who looks at the page, not for who ran the command that failed."""
    if commands := INSTALL.findall(reason):
        return texts.NOT_INSTALLED.format(genre=genre, commands=", ".join(commands))
    return texts.NOT_COMPOSED.format(genre=genre, reason=reason)
