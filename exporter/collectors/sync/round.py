"""A round of the sync test: every connection writes once, and all of them read it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Final

from exporter.collectors.sync import steps
from exporter.collectors.sync.endpoints import Endpoint, sides_of
from exporter.collectors.sync.keys import Keys, new_keys
from exporter.collectors.sync.steps import Findings, NotPermittedError
from exporter.config.models import Connection, Sync
from exporter.connection import RedisFailure
from exporter.state.snapshots import SYNC_CHECKS, Pair, SyncReport

_MOST_THREADS: Final = 16
_VALID_ROUNDS: Final = 3
_LEAST_SECONDS: Final = 10.0

Names = tuple[str, str]
"""The connection names of a writer and a reader."""


class SyncTest:
    """Tests all pairs of the connections; counts runs and failures from round to round.

    A round's time is bounded: every call has its connection's timeout, a connection that has failed
    is not asked again, and no writer begins when `interval_seconds` have passed. Writers that were
    left out keep their last result and begin the next round.
    """

    def __init__(self, connections: dict[str, Connection], options: Sync) -> None:
        self._connections = connections
        self._options = options
        self._wanted = (connections, options)
        self._sides: list[Endpoint] = []
        self._next = 0
        self._pairs: dict[Names, Pair] = {}
        self._stopped = False

    def change(self, connections: dict[str, Connection], options: Sync) -> None:
        """From another thread: test these from the next round on; the same pairs count on."""
        self._wanted = (connections, options)

    def run(self) -> SyncReport:
        """One round. Nothing is raised for a Redis that fails: that is what is reported."""
        self._take_wanted()
        started = time.monotonic()
        deadline = started + max(_LEAST_SECONDS, self._options.interval_seconds)
        self._sides = sides_of(self._connections)
        with ThreadPoolExecutor(min(_MOST_THREADS, len(self._sides))) as pool:
            try:
                list(pool.map(Endpoint.connect, self._sides))
                self._test_writers(pool, deadline)
            finally:
                for side in self._sides:
                    side.close()
        return SyncReport(
            at=time.monotonic(),
            time=time.time(),
            seconds=time.monotonic() - started,
            valid_seconds=_VALID_ROUNDS * self._options.interval_seconds,
            pairs=tuple(self._pairs[names] for names in self._all_names() if names in self._pairs),
            metadata={
                name: side.metadata
                for side in self._sides
                if side.metadata is not None
                for name in side.names
            },
        )

    def _take_wanted(self) -> None:
        before, (self._connections, self._options) = self._connections, self._wanted
        same = {name for name, known in self._connections.items() if before.get(name) == known}
        self._pairs = {names: pair for names, pair in self._pairs.items() if same >= set(names)}

    def _test_writers(self, pool: ThreadPoolExecutor, deadline: float) -> None:
        count = len(self._sides)
        for _ in range(count):
            if self._stopped or time.monotonic() > deadline:
                return
            writer = self._sides[self._next % count]
            self._next = (self._next + 1) % count
            self._write_and_read(pool, writer)

    def _all_names(self) -> Iterable[Names]:
        return ((writer, reader) for writer in self._connections for reader in self._connections)

    def stop(self) -> None:
        """From another thread: end the round in progress now."""
        self._stopped = True
        for side in self._sides:
            side.abort()

    def _write_and_read(self, pool: ThreadPoolExecutor, writer: Endpoint) -> None:
        """One writer and all readers."""
        started = time.monotonic()
        found = {side.name: Findings() for side in self._sides}
        keys = new_keys(self._options.key_prefix)
        if self._write(writer, keys, found.values()):
            written_at = time.monotonic()
            try:
                read = partial(self._read, writer, keys, written_at, found)
                list(pool.map(read, self._sides))
            finally:
                self._clean_up(pool, writer, keys, found)
        for reader in self._sides:
            for names in product(writer.names, reader.names):
                seconds = time.monotonic() - started
                self._pairs[names] = self._pair(names, found[reader.name], seconds)

    def _write(self, writer: Endpoint, keys: Keys, found: Iterable[Findings]) -> bool:
        started = time.monotonic()
        problem, not_permitted = None, ""
        if writer.failure is not None:
            problem = f"the writer failed: {writer.failure}"
        else:
            problem, not_permitted = _attempt(writer, keys)
        for findings in found:
            findings.not_permitted = not_permitted
            if not not_permitted:
                findings.note("writable", started, problem, "written")
        return problem is None and not not_permitted

    def _read(
        self,
        writer: Endpoint,
        keys: Keys,
        written_at: float,
        found: dict[str, Findings],
        reader: Endpoint,
    ) -> None:
        findings, started = found[reader.name], time.monotonic()
        if reader.failure is not None:
            findings.note("set_get", started, f"the reader failed: {reader.failure}", "")
            return
        timeout = steps.read_timeout(
            writer.metadata, reader.metadata, self._options.timeout_seconds
        )
        steps.read(reader, keys, written_at, timeout, findings)
        if writer.metadata is not None and reader.metadata is not None:
            seen = findings.propagation_seconds is not None
            verdict = steps.same_database(writer.metadata, reader.metadata, seen=seen)
            findings.note("same_database", time.monotonic(), *verdict)

    def _clean_up(
        self, pool: ThreadPoolExecutor, writer: Endpoint, keys: Keys, found: dict[str, Findings]
    ) -> None:
        started = time.monotonic()
        try:
            steps.clean_up(writer.writer, keys)
        except NotPermittedError as error:
            for findings in found.values():
                findings.not_permitted = str(error)
        except RedisFailure as failure:
            for findings in found.values():
                findings.note("cleanup", started, f"the keys stay until they expire: {failure}", "")
        else:
            # a reader that never saw the keys cannot tell whether they are gone
            saw = [s for s in self._sides if found[s.name].propagation_seconds is not None]
            list(pool.map(lambda side: self._confirm(side, keys, started, found[side.name]), saw))

    def _confirm(self, reader: Endpoint, keys: Keys, started: float, findings: Findings) -> None:
        try:
            problem = steps.check_deleted(reader.reader, keys, self._options.timeout_seconds)
        except NotPermittedError as error:
            findings.not_permitted = str(error)
            return
        except RedisFailure as failure:
            problem = f"the reader failed: {failure}"
        findings.note("cleanup", started, problem, "deleted, and gone for the reader")

    def _pair(self, names: Names, findings: Findings, seconds: float) -> Pair:
        last = self._pairs.get(names)
        pair = Pair(
            *names,
            checks={k: findings.checks[k] for k in SYNC_CHECKS if k in findings.checks},
            not_permitted=findings.not_permitted,
            propagation_seconds=findings.propagation_seconds,
            seconds=seconds,
            time=time.time(),
            runs=last.runs if last else 0,
            failures=last.failures if last else 0,
        )
        if pair.passed is None:
            return pair
        return replace(pair, runs=pair.runs + 1, failures=pair.failures + (not pair.passed))


def _attempt(writer: Endpoint, keys: Keys) -> tuple[str | None, str]:
    """Write; what went wrong, and the command that is not permitted."""
    try:
        steps.write(writer.writer, keys)
    except NotPermittedError as error:
        return None, str(error)
    except RedisFailure as failure:
        return f"the writer failed: {failure}", ""
    return None, ""
