"""Log lines for people (text) and for machines (JSON), always with the same fields."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal

REDIS: Final = "REDIS"
"""The logger of connections: its lines can be grepped for ` REDIS `."""

_FIELDS: Final = "exporter_fields"


def event(logger: logging.Logger, level: int, message: str, **fields: object) -> None:
    """Log a message with fields; a field that is None or empty is left out."""
    kept = {name: value for name, value in fields.items() if value is not None and value != ""}
    logger.log(level, message, extra={_FIELDS: kept})


def set_up(level: str, form: Literal["text", "json"]) -> None:
    """Send everything that is logged to standard error in the given form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSONFormatter() if form == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # uvicorn speaks of its own life at this level; ours is told by the exporter's own lines
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, root.level))


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


class _TextFormatter(logging.Formatter):
    """`2026-01-31T08:00:00.000Z INFO  REDIS connected connection=api db=0`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, _FIELDS, {})
        parts = [
            _time(record),
            f"{record.levelname:<7}",
            record.name,
            _one_line(record.getMessage()),
        ]
        parts += [f"{name}={_value(value)}" for name, value in fields.items()]
        if record.exc_info:
            parts.append(f"traceback={_value(self.formatException(record.exc_info))}")
        return " ".join(parts)


class _JSONFormatter(logging.Formatter):
    """One object a line; the fields stand beside time, level, logger and message."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = dict(getattr(record, _FIELDS, {}))
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        return json.dumps(line | fields, default=str, ensure_ascii=False)


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _value(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    if text and text.isprintable() and not set(text) & set(' "='):
        return text
    return json.dumps(text, ensure_ascii=False)
