"""Runs the sync test on its own thread, so that slow or dead peers hold up no poll."""

from __future__ import annotations

import logging
import threading
import time

from exporter.collectors import SyncTest
from exporter.config.models import Config
from exporter.diagnosis import explain_pair
from exporter.log import REDIS, event
from exporter.state.snapshots import Pair, SyncReport
from exporter.state.store import SnapshotStore

logger = logging.getLogger(REDIS)


class SyncRunner:
    """A round every `sync.interval_seconds`; a change of a pair's result is logged."""

    def __init__(self, config: Config, store: SnapshotStore) -> None:
        self._interval = config.sync.interval_seconds
        self._test = SyncTest(config.connections, config.sync)
        self._store = store
        self._said: dict[tuple[str, str], tuple[object, ...]] = {}
        self._stop = threading.Event()
        self._news = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)

    def start(self) -> None:
        """Begin to test."""
        self._thread.start()

    def stop(self) -> None:
        """Break off the round in progress and start no other."""
        self._stop.set()
        self._news.set()
        self._test.stop()

    def change(self, config: Config) -> None:
        """Test the connections of this configuration from now on."""
        self._interval = config.sync.interval_seconds
        self._test.change(config.connections, config.sync)
        self._news.set()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, so long at the most."""
        self._thread.join(timeout)

    def run_once(self) -> SyncReport:
        """One round, published and logged."""
        report = self._test.run()
        if not (
            self._stop.is_set() or self._news.is_set()
        ):  # else it may be of connections that there are no more
            self._store.publish_sync(report)
            for pair in report.pairs:
                self._log(pair, report)
        return report

    def _run(self) -> None:
        while not self._stop.is_set():
            self._news.clear()
            if self._stop.is_set():
                return
            next_round = time.monotonic() + self._interval
            try:
                self.run_once()
            except Exception:
                logger.exception("sync-test stopped by a mistake in the exporter; please report it")
            self._news.wait(max(0.0, next_round - time.monotonic()))

    def _log(self, pair: Pair, report: SyncReport) -> None:
        failed = [name for name, check in pair.checks.items() if not check.ok]
        names, result = (pair.writer, pair.reader), (pair.passed, *failed)
        if self._said.get(names) == result:
            return
        self._said[names] = result
        outcome = {True: "passed", False: "failed", None: "not permitted"}[pair.passed]
        event(
            logger,
            logging.WARNING if pair.passed is False else logging.INFO,
            f"sync-test {outcome}",
            writer=pair.writer,
            reader=pair.reader,
            checks=",".join(failed),
            detail=explain_pair(pair, report.metadata),
        )
