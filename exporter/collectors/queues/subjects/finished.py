"""Finished jobs that BullMQ keeps."""

from __future__ import annotations

from typing import Final

from exporter.collectors.queues.subject import Count, Subject
from exporter.connection import Command
from exporter.state.queue_table import Column

COMPLETED: Final = Column[int]("completed")
FAILED: Final = Column[int]("failed")

COMPLETED_JOBS: Final = Count(
    Command("ZCARD", "completed", cost="the number of completed jobs"),
    ready=False,
    proves_existence=True,
    column=COMPLETED,
)
FAILED_JOBS: Final = Count(
    Command("ZCARD", "failed", cost="the number of failed jobs"),
    ready=False,
    proves_existence=True,
    column=FAILED,
)


class Finished(Subject):
    """Numbers of completed and failed jobs; they decrease when BullMQ removes old jobs."""

    counts = (COMPLETED_JOBS, FAILED_JOBS)
