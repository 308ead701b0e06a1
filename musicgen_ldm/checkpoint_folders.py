"""Where checkpoints are: names, folders and hub ids."""

import json
import os
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.utils import HFValidationError

from musicgen_ldm.errors import CheckpointError

INDEX_FILE = "model_index.json"
SEARCH_PATH_VARIABLE = "MUSICGEN_LDM_CHECKPOINTS"
HUB_PATTERNS = ("*.json", "*.txt", "*.safetensors", "README.md")


def search_path() -> list[Path]:
    """Folders in which a checkpoint's name is looked up, in order."""
    named = os.environ.get(SEARCH_PATH_VARIABLE)
    repository = Path(__file__).resolve().parents[1] / "checkpoints"
    return [Path(named)] if named else [Path("checkpoints"), repository]


def known_names() -> list[str]:
    """Names of the checkpoints inside `search_path()`."""
    found = {
        file.parent.name for folder in search_path() for file in folder.glob(f"*/{INDEX_FILE}")
    }
    return sorted(found)


def resolve(name: str | Path, *, offline: bool = False) -> Path:
    """The folder of a checkpoint given by name, path or hub id.

    Args:
        name: A folder, a name inside `search_path()`, or a hub id such as "owner/model".
        offline: Use only what is on disk; `HF_HUB_OFFLINE=1` has the same effect.

    Raises:
        CheckpointError: If nothing is found.
    """
    candidates = [Path(name), *(folder / name for folder in search_path())]
    for candidate in candidates:
        if (candidate / INDEX_FILE).is_file():
            return candidate
    if candidates[0].is_dir():
        raise CheckpointError(
            f"{name}: the folder holds no model_index.json; give the folder of a whole pipeline"
        )
    text = str(name)
    if text.count("/") != 1 or text.startswith((".", "/")):
        raise CheckpointError(
            f"no checkpoint {text!r}; known here: {', '.join(known_names()) or 'none'}. "
            "Give one of them, a folder, or a hub id such as ucsd-reach/musicldm"
        )
    try:
        return Path(
            snapshot_download(text, allow_patterns=list(HUB_PATTERNS), local_files_only=offline)
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise CheckpointError(
            f"{text}: not on disk and the hub did not answer ({first_line(error)}); "
            "check the name and the connection, or give a folder"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a checkpoint's file.

    Raises:
        CheckpointError: If the file is missing or not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: missing; copy the checkpoint again") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: not valid JSON ({error}); copy it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: must hold a JSON object; copy it again")
    return content


def first_line(error: BaseException) -> str:
    """The first line of another library's message, for ours to stay on one."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
