"""Requests that are refused before they are one, told once a minute and not once each.

uvicorn logs a line for every one of them: whoever sends garbage would fill the disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Final

from exporter.log import event

logger = logging.getLogger("exporter.web")

UVICORN: Final = "uvicorn.error"
"""The logger of uvicorn's server."""
HUNG_UP: Final = "hung up on"
PAUSE_SECONDS: Final = 60.0

# uvicorn's own words, which hold nothing that a visitor sent
_MALFORMED: Final = "Invalid HTTP request received."
_NAMES: Final = {
    _MALFORMED: "malformed",
    "Exceeded concurrency limit.": "over web.max_concurrent_requests",
    "Unsupported upgrade request.": "asking for an upgrade",
}
_ADVICE: Final = "No supported WebSocket library"


class BadRequestFilter(logging.Filter):
    """Takes uvicorn's warnings out of its log, and tells how many there were of each."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: Counter[str] = Counter()
        self._resting = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is logged as it is; in the thread of the server's event loop."""
        if record.levelno != logging.WARNING:
            return True
        text = record.getMessage()
        if not text.startswith(_ADVICE):
            self._counts[_NAMES.get(text, text)] += 1
            if not self._resting:
                self._tell()
        return False

    def _tell(self) -> None:
        """The first one at once; those that come in the next minute at its end."""
        self._resting = bool(self._counts)
        if self._resting:
            what = ", ".join(f"{count} {name}" for name, count in self._counts.most_common())
            count = self._counts.total()
            event(logger, logging.WARNING, "bad requests", count=count, detail=what)
            self._counts.clear()
            asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._tell)
