"""Compares the status page with /metrics: after the same poll, both must agree."""

from __future__ import annotations

import threading
from collections.abc import Callable

from exporter.collectors.queues import STATES
from exporter.views.formatting import age
from tests.support.browser import Screen, TableRow
from tests.support.daemon import Daemon
from tests.support.pages import Samples, every

_PAUSE_SECONDS = 0.2


def expected(samples: Samples) -> dict[str, dict[str, str]]:
    """The expected values of each queue's row, by key."""
    rows: dict[str, dict[str, str]] = {}
    for (_, labels), count in every(samples, "bullmq_queue_size").items():
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


def shown(rows: list[TableRow]) -> dict[str, dict[str, str]]:
    """The values on the page, by key."""
    columns = (*STATES, "workers", "oldest", "longest")
    return {
        row.key: {name: row.values[name] for name in columns}
        | {"paused": str(row.paused), "reason": row.reason}
        for row in rows
    }


def until_they_agree(screen: Screen, exporter: Daemon) -> None:
    """Wait until the page shows the values of the metrics of the same poll.

    The page updates itself, and querying the browser may take longer than a poll. So a thread
    records the metrics of each poll, and the values on the page are searched there.
    """
    recorded: list[dict[str, dict[str, str]]] = []
    seen: list[dict[str, dict[str, str]]] = []
    over = threading.Event()

    def record() -> None:
        while not over.wait(_PAUSE_SECONDS):
            wanted = expected(exporter.samples())
            if wanted and wanted not in recorded:
                recorded.append(wanted)

    def agree(page: Screen) -> bool:
        seen.append(shown(page.rows()))
        return any(rows in recorded for rows in seen)

    recorder = threading.Thread(target=record, daemon=True)
    recorder.start()
    try:
        screen.until(agree, "the same as the metrics")
    finally:
        over.set()
        recorder.join()


def rate(screen: Screen, queue: str, column: str) -> float:
    """Events per minute on the page; 0 if unknown."""
    row = next(row for row in screen.rows() if row.key.endswith(f"|{queue}"))
    text = row.values[column]
    return 0.0 if text == "?" else float(text)
