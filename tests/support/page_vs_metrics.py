"""The status page beside /metrics: both tell of one poll, so they must say the same."""

from __future__ import annotations

from collections.abc import Callable

from exporter.bullmq import STATES
from exporter.words import age
from tests.support.browser import Row, Screen
from tests.support.daemon import Daemon
from tests.support.pages import Samples, every


def expected(samples: Samples) -> dict[str, dict[str, str]]:
    """What each queue's row must show, by key."""
    rows: dict[str, dict[str, str]] = {}
    for (_, labels), count in every(samples, "bullmq_queue_jobs").items():
        named = dict(labels)
        rows.setdefault(key_of(named), {})[named["state"]] = f"{count:,.0f}"
    texts: dict[str, tuple[str, Callable[[float], str]]] = {
        "workers": ("bullmq_queue_workers", lambda n: f"{n:,.0f}"),
        "oldest": ("bullmq_queue_oldest_waiting_seconds", age),
        "longest": ("bullmq_queue_oldest_active_seconds", age),
        "paused": ("bullmq_queue_paused", lambda n: str(bool(n))),
    }
    for column, (family, text) in texts.items():
        for (_, labels), number in every(samples, family).items():
            rows[key_of(dict(labels))][column] = text(number)
    for row in rows.values():
        row["reason"] = ""
    for _, labels in every(samples, "bullmq_queue_blocked"):
        rows[key_of(dict(labels))]["reason"] = dict(labels)["reason"]
    return rows


def key_of(labels: dict[str, str]) -> str:
    prefix = labels["prefix"]
    return f"{labels['connection']}|{len(prefix)}|{prefix}|{labels['queue']}"


def shown(rows: list[Row]) -> dict[str, dict[str, str]]:
    """The same, of the page."""
    columns = (*STATES, "workers", "oldest", "longest")
    return {
        row.key: {name: row.values[name] for name in columns}
        | {"paused": str(row.paused), "reason": row.reason}
        for row in rows
    }


def agrees(screen: Screen, exporter: Daemon) -> bool:
    """Whether page and metrics, which are asked one after the other, say the same of one poll."""
    wanted = expected(exporter.samples())
    return bool(wanted) and shown(screen.open().rows()) == wanted


def rate(screen: Screen, queue: str, column: str) -> float:
    """Events per minute that the page shows; 0 where it does not know."""
    row = next(row for row in screen.rows() if row.key.endswith(f"|{queue}"))
    text = row.values[column]
    return 0.0 if text == "?" else float(text)
