"""The script and the style sheets, under names that change with their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that browsers may cache for ever, since its name changes with its content."""

    path: str
    """Relative to the root, without a leading slash."""
    content: bytes
    media_type: str


def _asset(name: str, media_type: str) -> Asset:
    content = (FOLDER / name).read_bytes()
    stem, _, extension = name.partition(".")
    version = hashlib.sha256(content).hexdigest()[:12]
    return Asset(f"static/{stem}-{version}.{extension}", content, media_type)


STYLE: Final = _asset("status.css", "text/css")
SCRIPT: Final = _asset("status.js", "text/javascript")
QUEUE_STYLE: Final = _asset("queue.css", "text/css")
ASSETS: Final = (STYLE, SCRIPT, QUEUE_STYLE)
