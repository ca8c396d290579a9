"""Numbers of jobs by BullMQ's states."""

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
"""The column of each state. Jobs of a paused queue count as waiting."""

UNFINISHED: Final = (WAITING, ACTIVE, DELAYED, PRIORITIZED, WAITING_CHILDREN)
"""The columns of jobs that have neither completed nor failed."""


def jobs_by_state(table: QueueTable, prefix: str) -> dict[str, int]:
    """Jobs by state, summed over all queues of a prefix; unknown numbers count as 0."""
    selected = [queue.prefix == prefix for queue in table.queues]
    return {
        state: sum(count or 0 for count in compress(table.column(column), selected))
        for state, column in STATES.items()
    }
