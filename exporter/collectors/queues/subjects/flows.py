"""Parent jobs of flows that wait for their children."""

from __future__ import annotations

from typing import Final

from exporter.collectors.queues.subject import Count, Subject
from exporter.connection import Command
from exporter.state.queue_table import Column

WAITING_CHILDREN: Final = Column[int]("waiting-children")

WAITING_CHILDREN_JOBS: Final = Count(
    Command("ZCARD", "waiting-children", cost="the number of waiting-children jobs"),
    ready=False,
    proves_existence=True,
    column=WAITING_CHILDREN,
)


class Flows(Subject):
    """Number of parent jobs with unfinished children."""

    counts = (WAITING_CHILDREN_JOBS,)
