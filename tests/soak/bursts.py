"""New queues whose first jobs are added at once, each followed by a flush of all keys."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator

from tests.soak.report import Row
from tests.support.daemon import Daemon
from tests.support.pages import every
from tests.support.servers import Server
from tests.support.waiting import wait_for

JOBS = 100
_NAMES = ("new", "other", "new")
"""A repeated name has the same job IDs again."""
_COMPLETED = "bullmq_queue_jobs_completed_total"


class Bursts(threading.Thread):
    """Runs until `end`; every job of every burst must be counted."""

    def __init__(self, exporter: Daemon, connection: str, server: Server) -> None:
        super().__init__(daemon=True)
        self._exporter = exporter
        self._connection = connection
        self._server = server
        self._ended = threading.Event()
        self._counted: list[int] = []
        """Completed jobs of each burst."""
        self._failed: list[str] = []

    def end(self) -> None:
        """Finish the current burst, and stop."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Run bursts until `end` is called."""
        for name in itertools.cycle(_NAMES):
            if self._ended.is_set():
                return
            try:
                self._burst(name)
            except (AssertionError, subprocess.CalledProcessError) as error:
                self._failed.append(str(error))
                return

    def rows(self) -> Iterator[Row]:
        """Whether all jobs were counted, and whether the queues disappeared after each flush."""
        wrong = [count for count in self._counted if count != JOBS]
        yield Row(
            "first jobs of new queues, each counted once",
            f"{len(self._counted)} bursts of {JOBS}, other counts: {wrong}",
            bool(self._counted) and not wrong,
        )
        yield Row("bursts and flushes that were not followed", str(self._failed), not self._failed)

    def _burst(self, name: str) -> None:
        before = self._completed(name)
        arguments = ("tests.soak.burst", str(self._server.port), name, str(JOBS))
        subprocess.run([sys.executable, "-m", *arguments], check=True)
        wait_for(lambda: self._grown(name, before) >= JOBS, f"the jobs of {name} are counted")
        self._counted.append(self._grown(name, before))
        self._server.client().flushall()
        wait_for(lambda: not self._shown(), "the flushed queues have disappeared")

    def _grown(self, name: str, before: int) -> int:
        """The increase of the counter; it restarts at 0 if the queue was forgotten."""
        now = self._completed(name)
        return now - before if now >= before else now

    def _completed(self, name: str) -> int:
        labels = {"connection": self._connection, "queue": name}
        return int(sum(every(self._exporter.samples(), _COMPLETED, **labels).values()))

    def _shown(self) -> bool:
        sizes = "bullmq_queue_size"
        return bool(every(self._exporter.samples(), sizes, connection=self._connection))
