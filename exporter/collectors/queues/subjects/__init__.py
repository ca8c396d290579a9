"""The list of subjects. Each is defined in its own file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

from exporter.bullmq import Queue
from exporter.collectors.queues.subject import Count, Subject
from exporter.collectors.queues.subjects.active import ACTIVE_LIST, Active
from exporter.collectors.queues.subjects.dead_letters import DeadLetters
from exporter.collectors.queues.subjects.deduplication import LeftDeduplications
from exporter.collectors.queues.subjects.events_stream import EventsStream
from exporter.collectors.queues.subjects.existence import Existence
from exporter.collectors.queues.subjects.finished import Finished
from exporter.collectors.queues.subjects.flows import Flows
from exporter.collectors.queues.subjects.groups import Groups
from exporter.collectors.queues.subjects.limits import Limits
from exporter.collectors.queues.subjects.liveness import Liveness
from exporter.collectors.queues.subjects.markers import Markers
from exporter.collectors.queues.subjects.movement import Movement
from exporter.collectors.queues.subjects.poison import PoisonJobs
from exporter.collectors.queues.subjects.prioritized import Prioritized
from exporter.collectors.queues.subjects.priority_bands import PriorityBands
from exporter.collectors.queues.subjects.retry_reasons import RetryReasons
from exporter.collectors.queues.subjects.scheduled import Delayed, Schedulers
from exporter.collectors.queues.subjects.settings import Settings
from exporter.collectors.queues.subjects.starving import Starving
from exporter.collectors.queues.subjects.stuck_active import StuckActive
from exporter.collectors.queues.subjects.waiting import PAUSED_LIST, WAIT_LIST, Waiting
from exporter.connection import Command
from exporter.state.queue_table import Column


def subjects_for(queues: Sequence[Queue]) -> tuple[Subject, ...]:
    """The subjects of a batch, in the order in which each phase calls them.

    A subject that needs the results of another one comes after it and gets it here.
    """
    settings = Settings(queues)
    events = EventsStream(queues, settings)
    markers = Markers(queues, settings, lists=(WAIT_LIST, PAUSED_LIST, ACTIVE_LIST))
    active = Active(queues, settings, markers, events)
    liveness = Liveness(queues, active)
    prioritized = Prioritized(queues, settings, events)
    waiting = Waiting(queues, markers, prioritized, events)
    movement = Movement(queues, waiting, prioritized, active, events)
    return (
        settings,
        events,
        Existence(queues, liveness),
        markers,
        Limits(queues, settings),
        prioritized,
        PriorityBands(queues, settings, events),
        waiting,
        active,
        Delayed(queues, liveness),
        Schedulers(queues, settings),
        Flows(queues),
        StuckActive(queues, liveness),
        Finished(queues),
        DeadLetters(queues, settings, events),
        Groups(queues, settings),
        movement,
        Starving(queues, waiting, prioritized, movement),
        LeftDeduplications(queues),
        PoisonJobs(queues),
        RetryReasons(queues),
        liveness,
    )


_SUBJECTS: Final = tuple(type(subject) for subject in subjects_for(()))

COUNTS: Final[tuple[Count, ...]] = tuple(
    chain.from_iterable(subject.counts for subject in _SUBJECTS)
)
"""The counts that the first round trip reads for each queue."""

COMMANDS: Final[tuple[Command, ...]] = (
    *(count.command for count in COUNTS),
    *chain.from_iterable(subject.commands for subject in _SUBJECTS),
)
"""Every command that subjects send."""

COLUMNS: Final[tuple[Column[Any], ...]] = (
    *(count.column for count in COUNTS if count.column is not None),
    *chain.from_iterable(subject.columns for subject in _SUBJECTS),
)
"""Every column of the table."""
