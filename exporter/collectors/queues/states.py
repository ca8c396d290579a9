"""Jobs by BullMQ's states."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import compress
from typing import Final

from exporter.collectors.queues.subjects.active import ACTIVE
from exporter.collectors.queues.subjects.finished import COMPLETED, FAILED
from exporter.collectors.queues.subjects.flows import WAITING_CHILDREN
from exporter.collectors.queues.subjects.prioritized import PRIORITIZED
from exporter.collectors.queues.subjects.scheduled import DELAYED
from exporter.collectors.queues.subjects.waiting import WAITING
from exporter.state.queue_table import Column, QueueTable

STATES: Final[Mapping[str, Column[int]]] = {
    "waiting": WAITING,
    "active": ACTIVE,
    "delayed": DELAYED,
    "prioritized": PRIORITIZED,
    "waiting-children": WAITING_CHILDREN,
    "completed": COMPLETED,
    "failed": FAILED,
}
"""The column of each state. Jobs of a paused queue are waiting."""


def jobs_by_state(table: QueueTable, prefix: str) -> dict[str, int]:
    """The jobs of all queues under a prefix; a number that could not be read counts as 0."""
    ours = [queue.prefix == prefix for queue in table.queues]
    return {
        state: sum(count or 0 for count in compress(table.column(column), ours))
        for state, column in STATES.items()
    }
