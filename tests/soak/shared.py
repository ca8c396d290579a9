"""An exporter with two connections to one keyspace: the counts of both together."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

from tests.soak.report import Counts, Row
from tests.support.daemon import Daemon
from tests.support.pages import Samples, Series, jobs

_PAUSE_SECONDS = 0.5
_COUNTED = ("added", "failed", "completed")


class SharedKeyspace(threading.Thread):
    """Adds up the increases of counters like Prometheus, over both connections."""

    def __init__(self, exporter: Daemon) -> None:
        super().__init__(daemon=True)
        self._exporter = exporter
        self._last: dict[Series, float] = {}
        self._ended = threading.Event()
        self._counts: Counter[tuple[str, str]] = Counter()
        """The increases by queue and event."""
        self._readers: set[str] = set()
        self._wrong: list[str] = []

    def end(self) -> None:
        """Take one more sample, and stop."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Take a sample twice a second."""
        while not self._ended.wait(_PAUSE_SECONDS):
            self._sample()
        self._sample()

    def rows(self, truth: Counts) -> Iterator[Row]:
        """Compare the counts with those in Redis.

        Events between the end of one reader and the start of the next are counted by neither.
        """
        yield Row(
            "two connections, one keyspace: who read",
            ", ".join(sorted(self._readers)),
            bool(self._readers),
        )
        yield Row("a queue shown twice", str(self._wrong[:3]), not self._wrong)
        for queue, real in truth.items():
            found = {kind: self._counts[queue, kind] for kind in _COUNTED}
            passed = all(real[kind] / 5 <= found[kind] <= real[kind] for kind in _COUNTED)
            yield Row(
                f"{queue}: a fifth or more of the jobs, none twice", f"{found} {real}", passed
            )

    def _sample(self) -> None:
        samples = self._exporter.samples()
        self._add(samples)
        connections = {dict(labels).get("connection", "") for _, labels in samples}
        shown = [key for name in connections for key in jobs(samples, connection=name)]
        self._wrong += [str(key) for key, times in Counter(shown).items() if times > 1]
        self._readers |= {name for name in connections if jobs(samples, connection=name)}

    def _add(self, samples: Samples) -> None:
        for series, count in samples.items():
            kind = series[0].removeprefix("bullmq_queue_jobs_").removesuffix("_total")
            if kind in _COUNTED:
                before = self._last.get(series, 0.0)
                grown = count - before if count >= before else count
                self._counts[dict(series[1])["queue"], kind] += int(grown)
                self._last[series] = count
