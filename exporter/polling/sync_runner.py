"""Runs the sync test in its own thread, so that a slow or dead peer delays no poll."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace

from exporter.collectors import SyncTest
from exporter.config.models import Config
from exporter.diagnosis import explain_pair
from exporter.log import REDIS, event
from exporter.state.snapshots import Pair, SyncReport
from exporter.state.store import SnapshotStore

logger = logging.getLogger(REDIS)


class SyncRunner:
    """Runs a round every `sync.interval_seconds`, and logs a pair's result when it changes."""

    def __init__(self, config: Config, store: SnapshotStore) -> None:
        self._interval = config.sync.interval_seconds
        self._test = SyncTest(config.connections, config.sync)
        self._store = store
        self._logged: dict[tuple[str, str], tuple[object, ...]] = {}
        """By writer and reader: whether the test passed, and the failed checks."""
        self._stop = threading.Event()
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)

    def start(self) -> None:
        """Start testing."""
        self._thread.start()

    def stop(self) -> None:
        """Abort the round in progress and start no other."""
        self._stop.set()
        self._changed.set()
        self._test.stop()

    def change(self, config: Config) -> None:
        """Test the connections of this configuration from now on."""
        self._interval = config.sync.interval_seconds
        self._test.change(config.connections, config.sync)
        self._changed.set()
        report = self._store.sync
        if report is not None:
            pairs = tuple(p for p in report.pairs if config.sync.compares(p.writer, p.reader))
            self._store.publish_sync(replace(report, pairs=pairs))

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, at most `timeout` seconds."""
        self._thread.join(timeout)

    def run_once(self) -> SyncReport:
        """Run one round, publish its report, and log what changed."""
        report = self._test.run()
        # after a reload the report may be about connections that no longer exist
        if not (self._stop.is_set() or self._changed.is_set()):
            self._store.publish_sync(report)
            for pair in report.pairs:
                self._log(pair, report)
        return report

    def _run(self) -> None:
        while not self._stop.is_set():
            self._changed.clear()
            if self._stop.is_set():
                return
            next_round = time.monotonic() + self._interval
            try:
                self.run_once()
            except Exception:
                logger.exception(
                    "unexpected error during a sync-test; this is a bug, please report it"
                )
            self._changed.wait(max(0.0, next_round - time.monotonic()))

    def _log(self, pair: Pair, report: SyncReport) -> None:
        failed = [name for name, check in pair.checks.items() if not check.ok]
        names, result = (pair.writer, pair.reader), (pair.passed, *failed)
        if self._logged.get(names) == result:
            return
        self._logged[names] = result
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
