"""Stuck jobs by kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from exporter.collectors.queues.subjects.deduplication import LEFT_DEDUPLICATIONS
from exporter.collectors.queues.subjects.flows import STUCK_PARENTS
from exporter.collectors.queues.subjects.poison import POISON
from exporter.collectors.queues.subjects.scheduled import DEAD_SCHEDULER_EXAMPLES, STUCK_DELAYED
from exporter.collectors.queues.subjects.starving import STARVING
from exporter.collectors.queues.subjects.stuck_active import STUCK_ACTIVE
from exporter.state.queue_table import Column
from exporter.state.stuck import StuckJobs, StuckKind

STUCK: Final[Mapping[StuckKind, Column[StuckJobs]]] = {
    StuckKind.PARENT: STUCK_PARENTS,
    StuckKind.ACTIVE: STUCK_ACTIVE,
    StuckKind.SCHEDULER: DEAD_SCHEDULER_EXAMPLES,
    StuckKind.DEDUPLICATION: LEFT_DEDUPLICATIONS,
    StuckKind.DELAYED: STUCK_DELAYED,
    StuckKind.PRIORITY: STARVING,
    StuckKind.POISON: POISON,
}
"""The column of each kind."""
