"""Summarizes in the log, at most once a minute, the requests that the HTTP server rejects.

uvicorn logs a line for each of them, so anyone who sends garbage could fill the disk.
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
DISCONNECTED: Final = "disconnected"
PAUSE_SECONDS: Final = 60.0

TOO_LARGE: Final = "larger than 16 kB"
OVERLOADED: Final = "over web.max_concurrent_requests"

# uvicorn's messages, which contain nothing that a client sent
_MALFORMED: Final = "Invalid HTTP request received."
_NAMES: Final = {
    _MALFORMED: "malformed",
    "Unsupported upgrade request.": "requesting an upgrade",
}
_ADVICE: Final = "No supported WebSocket library"


class BadRequestFilter(logging.Filter):
    """Removes uvicorn's warnings from its log, and logs how many there were of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: Counter[str] = Counter()
        self._pausing = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log a record unchanged. Must run in the thread of the server's event loop."""
        if record.levelno != logging.WARNING:
            return True
        message = record.getMessage()
        if not message.startswith(_ADVICE):
            self._counts[_NAMES.get(message, message)] += 1
            if not self._pausing:
                self._log()
        return False

    def _log(self) -> None:
        """Log the first request at once, and those of the following minute at its end."""
        self._pausing = bool(self._counts)
        if self._pausing:
            what = ", ".join(f"{count} {name}" for name, count in self._counts.most_common())
            count = self._counts.total()
            event(logger, logging.WARNING, "bad requests", count=count, detail=what)
            self._counts.clear()
            asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._log)
