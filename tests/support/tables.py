"""A factory of queue tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exporter.bullmq import Queue
from exporter.collectors.queues import COLUMNS
from exporter.collectors.queues.arithmetic import known_sums, sums
from exporter.collectors.queues.subjects.finished import COMPLETED, FAILED
from exporter.collectors.queues.subjects.prioritized import PRIORITIZED
from exporter.collectors.queues.subjects.waiting import WAITING
from exporter.state.kept import KeptColumns
from exporter.state.queue_table import QueueTable

_BY_NAME = {column.name: column for column in COLUMNS}


def queue_table(queues: Sequence[Queue], rows: Sequence[Mapping[str, Any]]) -> QueueTable:
    """A table with one row of values by column name for each queue; missing ones are unknown."""
    unknown = {name for row in rows for name in row} - _BY_NAME.keys()
    assert not unknown, f"no subject declares {unknown}"
    columns = {column: [row.get(name) for row in rows] for name, column in _BY_NAME.items()}
    parts = columns[WAITING], columns[PRIORITIZED]
    kept = KeptColumns(columns[COMPLETED], columns[FAILED])
    return QueueTable(tuple(queues), columns, sums(*parts), known_sums(*parts), kept)
