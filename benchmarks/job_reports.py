"""The cost of naming stuck, failing and lost jobs: of a poll with all of that, and without."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import redis

from benchmarks import data
from benchmarks.exporter import Exporter
from benchmarks.measure import Action, Cost, interleaved
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
_WITH_PARENTS: Final = 10
"""Every N-th queue has flow parents. Each costs a look at one of its children every 10 s."""
_Method = Callable[..., Sequence[Any]]
_ALWAYS_ON: Final[Mapping[tuple[type, str], tuple[_Method, _Method]]] = {
    (owner, name): (getattr(owner, name), lambda *_: [])
    for owner, name in ((Auditor, "to_count"), (DeadLetters, "ask"), (PriorityBands, "ask"))
}
"""What no setting switches off: the method that reads, and one that does not."""


class JobReports:
    """Two exporters of one Redis: one that names jobs and says why they fail, and one that does
    not. Both read the same queues and events."""

    def __init__(self, port: int, queues: int) -> None:
        self._port, self._queues, self._redis = port, queues, redis.Redis(port=port)
        data.calm(port, queues, parents_every=_WITH_PARENTS)
        looks, classes = Queues(stuck_jobs_redis_share=_ALL_LOOKS), Events(failure_classes=True)
        self.on = Exporter(port, queues=looks, events=classes)
        _switch(on=False)
        self.off = Exporter(port, queues=Queues(stuck_jobs_redis_share=_NO_LOOKS))
        _switch(on=True)

    def actions(self) -> dict[str, Action]:
        """A poll with and one without, at rest and after every queue has changed."""
        return {
            "on": self.on.poller.poll,
            "off": self.off.poller.poll,
            "on, changed": self.on.poller.poll,
            "off, changed": self.off.poller.poll,
        }

    def prepare(self) -> dict[str, Action]:
        """What to do before each action."""

        def prepared(exporter: Exporter, *, changed: bool) -> Action:
            def act() -> None:
                _switch(on=exporter is self.on)
                for _ in range(_POLLS_TO_REST):
                    exporter.poller.poll()
                if changed:
                    self.change()

            return act

        return {
            name: prepared(self.on if name.startswith("on") else self.off, changed="," in name)
            for name in self.actions()
        }

    def change(self) -> None:
        """Change every queue; a tenth of the jobs fail, and another tenth are retried."""
        data.move(self._port, self._queues)
        data.fail(self._port, self._queues, every=10)
        data.wait_a_millisecond(self._redis)

    def close(self) -> None:
        """Leave everything on."""
        _switch(on=True)
        self._redis.close()


def job_report_lines(queues: int, rounds: int) -> list[Line]:
    """Measure both in the same rounds."""
    with private_redis() as port:
        data.fill(port, queues)
        reports = JobReports(port, queues)
        actions, prepare, costs = reports.actions(), reports.prepare(), dict[str, Cost]()
        for names in (("on", "off"), ("on, changed", "off, changed")):  # at rest before any change
            costs |= interleaved(port, {n: actions[n] for n in names}, rounds, prepare)
        reports.close()
    lines = []
    for state, suffix in (("at rest", ""), ("every queue changed", ", changed")):
        on, off = costs[f"on{suffix}"], costs[f"off{suffix}"]
        lines += [
            Line(f"naming jobs, {state}: Redis CPU", on.redis_ms, "ms", 1.03, off.redis_ms),
            Line(f"naming jobs, {state}: client CPU", on.client_ms, "ms", 1.05, off.client_ms),
            Line(
                f"naming jobs, {state}: more commands per queue",
                (on.commands - off.commands) / queues,
                "",
                None,
            ),
        ]
    return lines


def _switch(*, on: bool) -> None:
    """Switch what no setting switches off, in this process."""
    for (owner, name), (reads, idles) in _ALWAYS_ON.items():
        setattr(owner, name, reads if on else idles)
