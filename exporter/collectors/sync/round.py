"""A round of the sync test: every connection writes once, and those of its group read it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Final

from exporter.collectors.sync import steps
from exporter.collectors.sync.endpoints import Endpoint, endpoints_of
from exporter.collectors.sync.keys import Keys, new_keys
from exporter.collectors.sync.steps import NotPermittedError, PairResult
from exporter.config.models import Connection, Sync
from exporter.connection import RedisFailure
from exporter.state.snapshots import SYNC_CHECKS, Pair, SyncReport
from exporter.threads import DaemonExecutor

_MAX_THREADS: Final = 16
_VALID_ROUNDS: Final = 3
_MIN_ROUND_SECONDS: Final = 10.0

PairNames = tuple[str, str]
"""The connection names of a writer and a reader."""


class SyncTest:
    """Tests the pairs of connections that must share a database, and counts runs and failures.

    The duration of a round is limited: every call has its connection's timeout, a connection that
    failed is not used again, and no writer starts after `interval_seconds`. Writers that did not
    run keep their last result, and are first in the next round.
    """

    def __init__(self, connections: dict[str, Connection], options: Sync) -> None:
        self._connections = connections
        self._options = options
        self._requested = (connections, options)
        self._endpoints: list[Endpoint] = []
        self._next = 0
        self._pairs: dict[PairNames, Pair] = {}
        self._stopped = False

    def change(self, connections: dict[str, Connection], options: Sync) -> None:
        """Test these from the next round on. Called from another thread."""
        self._requested = (connections, options)

    def run(self) -> SyncReport:
        """Run one round. Failures of Redis are reported, not raised."""
        self._apply_request()
        started = time.monotonic()
        deadline = started + max(_MIN_ROUND_SECONDS, self._options.interval_seconds)
        self._endpoints = endpoints_of(self._connections)
        pool = DaemonExecutor(min(_MAX_THREADS, len(self._endpoints)), "sync")
        try:
            list(pool.map(Endpoint.connect, self._endpoints))
            self._test_writers(pool, deadline)
        finally:
            for endpoint in self._endpoints:
                endpoint.close()
            pool.close()
        return SyncReport(
            at=time.monotonic(),
            time=time.time(),
            seconds=time.monotonic() - started,
            valid_seconds=_VALID_ROUNDS * self._options.interval_seconds,
            pairs=tuple(self._pairs[names] for names in self._all_names() if names in self._pairs),
            metadata={
                name: endpoint.metadata
                for endpoint in self._endpoints
                if endpoint.metadata is not None
                for name in endpoint.names
            },
        )

    def _apply_request(self) -> None:
        before, (self._connections, self._options) = self._connections, self._requested
        unchanged = {name for name, new in self._connections.items() if before.get(name) == new}
        self._pairs = {
            names: pair
            for names, pair in self._pairs.items()
            if unchanged >= set(names) and self._options.compares(*names)
        }

    def _test_writers(self, pool: Executor, deadline: float) -> None:
        count = len(self._endpoints)
        for _ in range(count):
            if self._stopped or time.monotonic() > deadline:
                return
            writer = self._endpoints[self._next % count]
            self._next = (self._next + 1) % count
            self._write_and_read(pool, writer)

    def _all_names(self) -> Iterable[PairNames]:
        return ((writer, reader) for writer in self._connections for reader in self._connections)

    def stop(self) -> None:
        """End the round in progress now. Called from another thread."""
        self._stopped = True
        for endpoint in self._endpoints:
            endpoint.abort()

    def _write_and_read(self, pool: Executor, writer: Endpoint) -> None:
        """Test one writer with all its readers."""
        started = time.monotonic()
        pairs = {endpoint: self._names_of(writer, endpoint) for endpoint in self._endpoints}
        readers = [endpoint for endpoint, names in pairs.items() if names]
        results = {reader.name: PairResult() for reader in readers}
        keys = new_keys(self._options.key_prefix)
        if self._write(writer, keys, results.values()):
            written_at = time.monotonic()
            try:
                read = partial(self._read, writer, keys, written_at, results)
                list(pool.map(read, readers))
            finally:
                self._clean_up(pool, writer, keys, readers, results)
        for reader in readers:
            for names in pairs[reader]:
                seconds = time.monotonic() - started
                self._pairs[names] = self._pair(names, results[reader.name], seconds)

    def _names_of(self, writer: Endpoint, reader: Endpoint) -> list[PairNames]:
        """The pairs of names that the endpoints stand for; none if no group has both."""
        pairs = product(writer.names, reader.names)
        return [names for names in pairs if self._options.compares(*names)]

    def _write(self, writer: Endpoint, keys: Keys, results: Iterable[PairResult]) -> bool:
        started = time.monotonic()
        failure, not_permitted = writer.failure, ""
        if failure is None:
            failure, not_permitted = _attempt(writer, keys)
        problem = None if failure is None else f"the writer failed: {failure}"
        for result in results:
            result.not_permitted = not_permitted
            if not not_permitted:
                error = failure.kind if failure is not None else None
                result.record("writable", started, problem, "written", error)
        return problem is None and not not_permitted

    def _read(
        self,
        writer: Endpoint,
        keys: Keys,
        written_at: float,
        results: dict[str, PairResult],
        reader: Endpoint,
    ) -> None:
        result, started = results[reader.name], time.monotonic()
        if reader.failure is not None:
            result.record("set_get", started, f"the reader failed: {reader.failure}", "")
            return
        timeout = steps.read_timeout(
            writer.metadata, reader.metadata, self._options.timeout_seconds
        )
        steps.read(reader, keys, written_at, timeout, result)
        if writer.metadata is not None and reader.metadata is not None:
            seen = result.propagation_seconds is not None
            verdict = steps.same_database(writer.metadata, reader.metadata, seen=seen)
            result.record("same_database", time.monotonic(), *verdict)

    def _clean_up(
        self,
        pool: Executor,
        writer: Endpoint,
        keys: Keys,
        readers: list[Endpoint],
        results: dict[str, PairResult],
    ) -> None:
        started = time.monotonic()
        try:
            steps.clean_up(writer.writer, keys)
        except NotPermittedError as error:
            for result in results.values():
                result.not_permitted = str(error)
        except RedisFailure as failure:
            problem = f"the keys remain until they expire: {failure}"
            for result in results.values():
                result.record("cleanup", started, problem, "")
        else:
            # only readers that saw the keys can confirm the deletion
            saw = [e for e in readers if results[e.name].propagation_seconds is not None]
            list(pool.map(lambda e: self._confirm(e, keys, started, results[e.name]), saw))

    def _confirm(self, reader: Endpoint, keys: Keys, started: float, result: PairResult) -> None:
        try:
            problem = steps.check_deleted(reader.reader, keys, self._options.timeout_seconds)
        except NotPermittedError as error:
            result.not_permitted = str(error)
            return
        except RedisFailure as failure:
            problem = f"the reader failed: {failure}"
        result.record("cleanup", started, problem, "deleted, no longer visible to the reader")

    def _pair(self, names: PairNames, result: PairResult, seconds: float) -> Pair:
        last = self._pairs.get(names)
        pair = Pair(
            *names,
            checks={name: result.checks[name] for name in SYNC_CHECKS if name in result.checks},
            not_permitted=result.not_permitted,
            propagation_seconds=result.propagation_seconds,
            seconds=seconds,
            time=time.time(),
            runs=last.runs if last else 0,
            failures=last.failures if last else 0,
            since=last.since if last else time.time() - seconds,
        )
        if pair.passed is None:
            return pair
        return replace(pair, runs=pair.runs + 1, failures=pair.failures + (not pair.passed))


def _attempt(writer: Endpoint, keys: Keys) -> tuple[RedisFailure | None, str]:
    """Write the keys; returns the failure, and the command that is not permitted."""
    try:
        steps.write(writer.writer, keys)
    except NotPermittedError as error:
        return None, str(error)
    except RedisFailure as failure:
        return failure, ""
    return None, ""
