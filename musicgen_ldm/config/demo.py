"""Limits of the web demo; each has a flag of the same name."""

from dataclasses import dataclass
from pathlib import Path

from musicgen_ldm.config.generation import MAX_SECONDS, MAX_TAKES, MIN_SECONDS
from musicgen_ldm.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """How the page is served and what a visitor may use.

    Attributes:
        checkpoint: Name, folder or hub id that is loaded first.
        outputs: Folder of the rendered files and their records.
        host: Address to listen on; loopback unless asked otherwise.
        port: TCP port.
        auth: "user:password", or None for a page that needs none.
        auth_file: Text file with one "user:password" a line, for several users and for a password
            that the list of processes does not show; adds to `auth`.
        max_seconds: Longest rendering.
        max_takes: Most takes in one request.
        max_prompts: Most lines of a batch file.
        max_upload_mb: Largest uploaded file.
        max_queue: Requests waiting in all; further ones are refused with a sentence.
        max_waiting_per_user: Requests of one visitor that wait or run at a time.
        keep_days: Age after which files that are no favourites are deleted.
        keep_mb: Size of all files above which the oldest non-favourites are deleted.
        device: "auto", "cpu", "cuda" or "mps".
        train_audio: Folder that the paths in a checkpoint's novelty bank start from, which is
            that of the training manifest; where it is missing, near clips cannot be heard.
        mcp: Offer the page's function to agents over the Model Context Protocol.
    """

    checkpoint: str = "pocket"
    outputs: Path = Path("outputs")
    host: str = "127.0.0.1"
    port: int = 7860
    auth: str | None = None
    auth_file: Path | None = None
    max_seconds: float = 60.0
    max_takes: int = 4
    max_prompts: int = 50
    max_upload_mb: int = 50
    max_queue: int = 64
    max_waiting_per_user: int = 8
    keep_days: float = 30.0
    keep_mb: float = 2_000.0
    device: str = "auto"
    train_audio: Path = Path("data/corpus")
    mcp: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the first request."""
        has_passwords = self.credentials is not None  # raises if one cannot be read
        if self.mcp and has_passwords:
            # Gradio lists the tools to whom has no password, and its own calls cannot log in.
            raise ConfigError(
                "--mcp has no login, so it does not go with --auth or --auth-file; leave it out, "
                "or serve agents from a second demo on another --port without passwords"
            )
        ranges = {
            "port": (1, 65_535), "max_seconds": (MIN_SECONDS * 2, MAX_SECONDS),
            "max_takes": (1, MAX_TAKES), "max_prompts": (1, 100_000), "max_upload_mb": (1, 100_000),
            "max_queue": (1, 100_000), "max_waiting_per_user": (1, 100_000),
            "keep_days": (0, 100_000), "keep_mb": (0, 1e9),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:  # nor if it is NaN
                flag = f"--{name.replace('_', '-')}"
                raise ConfigError(f"{flag} is {value:g}; give a number from {low:g} to {high:g}")

    @property
    def credentials(self) -> list[tuple[str, str]] | None:
        """Users with their passwords, None when the page is open.

        Raises:
            ConfigError: If a line is no USER:PASSWORD, or the file cannot be read.
        """
        given = [] if self.auth is None else [("--auth", self.auth)]
        if self.auth_file is not None:
            given += _numbered_lines(self.auth_file)
            if not given:  # an empty file must not open the page
                raise ConfigError(f"{self.auth_file}: names no user; write USER:PASSWORD lines")
        return [_credential(where, text) for where, text in given] or None


def _numbered_lines(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text; give --auth-file a file") from error
    return [(f"{path}:{n}", line) for n, line in enumerate(lines, start=1) if line.strip()]


def _credential(where: str, text: str) -> tuple[str, str]:
    user, _, password = text.strip().partition(":")
    if not user or not password:
        raise ConfigError(f"{where} needs USER:PASSWORD, both not empty")
    return user, password
