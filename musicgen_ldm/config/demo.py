"""Limits of the web demo; each has a flag of the same name."""

from dataclasses import dataclass
from pathlib import Path

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
        if self.auth is not None and not all(self.auth.partition(":")):
            raise ConfigError("--auth needs USER:PASSWORD, both not empty")
        if not 0 < self.port < 65_536:
            raise ConfigError(f"--port is {self.port}; give a number from 1 to 65535")

    @property
    def credentials(self) -> list[tuple[str, str]] | None:
        """User and password, None when the page is open."""
        if self.auth is None:
            return None
        user, _, password = self.auth.partition(":")
        return [(user, password)]
