"""Log lines as text or as JSON, with the same fields in both."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal

REDIS: Final = "REDIS"
"""The logger of connections; its lines match ` REDIS `."""

_FIELDS: Final = "exporter_fields"


def event(logger: logging.Logger, level: int, message: str, **fields: object) -> None:
    """Log a message with fields; fields that are None or empty are omitted."""
    present = {name: value for name, value in fields.items() if value is not None and value != ""}
    logger.log(level, message, extra={_FIELDS: present})


def set_up(level: str, form: Literal["text", "json"]) -> None:
    """Log to standard error, in the given format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSONFormatter() if form == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # below warning, uvicorn logs its own start and stop, which the exporter logs itself
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
    """One object per line: time, level, logger and message, then the fields."""

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
