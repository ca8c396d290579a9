"""The cost of naming stuck, failing and lost jobs: of a poll with all of that, and without."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import redis

from benchmarks import data
from benchmarks.exporter import Exporter
from benchmarks.measure import Cost, interleaved
from benchmarks.server import private_redis
from benchmarks.table import Line
from exporter.collectors.events.audit import Auditor
from exporter.collectors.queues.subjects.dead_letters import DeadLetters
from exporter.collectors.queues.subjects.priority_bands import PriorityBands
from exporter.config.models import Events, Queues

_POLLS_TO_REST: Final = 4
"""Polls after which everything that has changed for the other exporter has been read."""
_NO_LOOKS: Final = 1e-9
"""A share of Redis' time for which there is hardly a look."""
_ALL_LOOKS: Final = 1.0
"""One for which no look is cut, though the polls of a benchmark follow at once."""
_EXPORTERS: Final = 2
"""Exporters that are polled together."""
_TURN: Final = 12
"""Polls of a minute. At rest all of them are measured: in a minute every queue has had its turn."""
_ON, _OFF = "on", "off"
_WITH_PARENTS: Final = 10
"""Every N-th queue has flow parents. Each costs a look at one of its children every 10 s."""
_Method = Callable[..., Sequence[Any]]
_ALWAYS_ON: Final[Mapping[tuple[type, str], tuple[_Method, _Method]]] = {
    (owner, name): (getattr(owner, name), lambda *_: [])
    for owner, name in ((Auditor, "to_count"), (DeadLetters, "ask"), (PriorityBands, "ask"))
}
"""What no setting switches off: the method that reads, and one that does not."""


class JobReports:
    """Exporters of one Redis: some that name jobs and say why they fail, and some that do not.

    All read the same queues and events. There are two of each, made in mirrored order: what is made
    first lies less well in memory, and takes up to 2 % more time for the same.
    """

    def __init__(self, port: int, queues: int) -> None:
        self._port, self._queues, self._redis = port, queues, redis.Redis(port=port)
        data.calm(port, queues, parents_every=_WITH_PARENTS)
        looks, classes = Queues(stuck_jobs_redis_share=_ALL_LOOKS), Events(failure_classes=True)
        no_looks = Queues(stuck_jobs_redis_share=_NO_LOOKS)
        first = Exporter(port, queues=looks, events=classes)
        _switch(on=False)
        without = Exporter(port, queues=no_looks), Exporter(port, queues=no_looks)
        _switch(on=True)
        self._exporters = {
            True: (first, Exporter(port, queues=looks, events=classes)),
            False: without,
        }

    def poll(self, times: int = 1, *, on: bool) -> None:
        """Poll with all of that, or without; as many exporters for both."""
        _switch(on=on)
        for exporter in self._exporters[on]:
            for _ in range(times):
                exporter.poller.poll()

    def prepare(self, *, on: bool, changed: bool) -> None:
        """Let the exporters come to rest, then change all queues if wanted."""
        self.poll(_POLLS_TO_REST, on=on)
        if changed:
            self._change()

    def _change(self) -> None:
        """Change every queue; a tenth of the jobs fail, and another tenth are retried."""
        data.move(self._port, self._queues)
        data.fail(self._port, self._queues, every=10)
        data.wait_a_millisecond(self._redis)

    def close(self) -> None:
        """Leave everything on."""
        _switch(on=True)
        self._redis.close()


def job_report_lines(queues: int, rounds: int) -> list[Line]:
    """Measure both in the same rounds, at rest before any change."""
    lines = []
    with private_redis() as port:
        data.fill(port, queues)
        reports = JobReports(port, queues)
        for state, polls_each in (("at rest", _TURN), ("every queue changed", 1)):
            polls = {
                name: partial(reports.poll, polls_each, on=name == _ON) for name in (_ON, _OFF)
            }
            prepare = {
                name: partial(reports.prepare, on=name == _ON, changed=polls_each == 1)
                for name in polls
            }
            costs = interleaved(port, polls, rounds, prepare)
            lines += _lines(state, costs[_ON], costs[_OFF], polls_each * _EXPORTERS, queues)
        reports.close()
    return lines


def _lines(state: str, on: Cost, off: Cost, polls: int, queues: int) -> list[Line]:
    """The cost of one poll; `on` and `off` are the costs of `polls` polls."""
    name, more = f"naming jobs, {state}", (on.commands - off.commands) / polls / queues
    return [
        Line(f"{name}: Redis CPU", on.redis_ms / polls, "ms", 1.03, off.redis_ms / polls),
        Line(f"{name}: client CPU", on.client_ms / polls, "ms", 1.05, off.client_ms / polls),
        Line(f"{name}: more commands per queue", more, "", None),
    ]


def _switch(*, on: bool) -> None:
    """Switch what no setting switches off, in this process."""
    for (owner, name), (reads, idles) in _ALWAYS_ON.items():
        setattr(owner, name, reads if on else idles)
