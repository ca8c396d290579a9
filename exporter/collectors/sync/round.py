"""A round of the sync test: every connection writes once, and all of them read it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final

from exporter.collectors.sync import steps
from exporter.collectors.sync.keys import Keys, new_keys
from exporter.collectors.sync.sides import Side, sides_of
from exporter.collectors.sync.steps import Findings, NotPermittedError
from exporter.config import Connection, Sync
from exporter.connection import RedisFailure
from exporter.snapshot import SYNC_CHECKS, Pair, SyncReport

_MOST_THREADS: Final = 16
_GOOD_FOR_ROUNDS: Final = 3


class SyncTest:
    """Tests all pairs of the connections; counts runs and failures from round to round.

    A round's time is bounded: every call has its connection's timeout, a connection that has failed
    is not asked again, and writers whose turn does not come within `interval_seconds` are reported
    as not tested.
    """

    def __init__(self, connections: dict[str, Connection], options: Sync) -> None:
        self._connections = connections
        self._options = options
        self._sides: list[Side] = []
        self._runs: Counter[tuple[str, str]] = Counter()
        self._failures: Counter[tuple[str, str]] = Counter()
        self._stopped = False

    def run(self) -> SyncReport:
        """One round. Nothing is raised for a Redis that fails: that is what is reported."""
        started = time.monotonic()
        self._sides = sides_of(self._connections)
        results: dict[tuple[str, str], tuple[Findings, float]] = {}
        with ThreadPoolExecutor(min(_MOST_THREADS, len(self._sides))) as pool:
            try:
                list(pool.map(Side.connect, self._sides))
                for writer in self._sides:
                    late = time.monotonic() - started > self._options.interval_seconds
                    results |= self._write_and_read(pool, writer, late=late)
            finally:
                for side in self._sides:
                    side.close()
        pairs = tuple(self._named(results))
        return SyncReport(
            at=time.monotonic(),
            time=time.time(),
            seconds=time.monotonic() - started,
            good_for=_GOOD_FOR_ROUNDS * self._options.interval_seconds,
            pairs=pairs,
            metadata={
                name: side.metadata
                for side in self._sides
                if side.metadata is not None
                for name in side.names
            },
        )

    def stop(self) -> None:
        """From another thread: end the round in progress now."""
        self._stopped = True
        for side in self._sides:
            side.abort()

    def _write_and_read(
        self, pool: ThreadPoolExecutor, writer: Side, *, late: bool
    ) -> dict[tuple[str, str], tuple[Findings, float]]:
        """One writer and all readers; findings and duration by the sides' first names."""
        started = time.monotonic()
        found = {side.name: Findings() for side in self._sides}
        keys = new_keys(self._options.key_prefix)
        if self._write(writer, keys, found.values(), late=late):
            written_at = time.monotonic()
            try:
                read = partial(self._read, writer, keys, written_at, found)
                list(pool.map(read, self._sides))
            finally:
                self._clean_up(pool, writer, keys, found)
        seconds = time.monotonic() - started
        return {(writer.name, name): (findings, seconds) for name, findings in found.items()}

    def _write(self, writer: Side, keys: Keys, found: Iterable[Findings], *, late: bool) -> bool:
        started = time.monotonic()
        problem, not_permitted = None, ""
        if late or self._stopped:
            problem = "not tested: the round took too long"
        elif writer.failure is not None:
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
        writer: Side,
        keys: Keys,
        written_at: float,
        found: dict[str, Findings],
        reader: Side,
    ) -> None:
        findings, started = found[reader.name], time.monotonic()
        if reader.failure is not None:
            findings.note("set_get", started, f"the reader failed: {reader.failure}", "")
            return
        timeout = steps.patience(writer.metadata, reader.metadata, self._options.timeout_seconds)
        steps.read(reader, keys, written_at, timeout, findings)
        if writer.metadata is not None and reader.metadata is not None:
            seen = findings.propagation_seconds is not None
            verdict = steps.same_database(writer.metadata, reader.metadata, seen=seen)
            findings.note("same_database", time.monotonic(), *verdict)

    def _clean_up(
        self, pool: ThreadPoolExecutor, writer: Side, keys: Keys, found: dict[str, Findings]
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

    def _confirm(self, reader: Side, keys: Keys, started: float, findings: Findings) -> None:
        try:
            problem = steps.gone(reader.reader, keys, self._options.timeout_seconds)
        except NotPermittedError as error:
            findings.not_permitted = str(error)
            return
        except RedisFailure as failure:
            problem = f"the reader failed: {failure}"
        findings.note("cleanup", started, problem, "deleted, and gone for the reader")

    def _named(self, results: dict[tuple[str, str], tuple[Findings, float]]) -> Iterable[Pair]:
        """The results under every connection name, with the counts brought up to date."""
        for writer in self._sides:
            for reader in self._sides:
                findings, seconds = results[(writer.name, reader.name)]
                for names in ((a, b) for a in writer.names for b in reader.names):
                    yield self._pair(names, findings, seconds)

    def _pair(self, names: tuple[str, str], findings: Findings, seconds: float) -> Pair:
        pair = Pair(
            *names,
            checks={k: findings.checks[k] for k in SYNC_CHECKS if k in findings.checks},
            not_permitted=findings.not_permitted,
            propagation_seconds=findings.propagation_seconds,
            seconds=seconds,
        )
        if pair.passed is not None:
            self._runs[names] += 1
            self._failures[names] += not pair.passed
        return replace(pair, runs=self._runs[names], failures=self._failures[names])


def _attempt(writer: Side, keys: Keys) -> tuple[str | None, str]:
    """Write; what went wrong, and the command that is not permitted."""
    try:
        steps.write(writer.writer, keys)
    except NotPermittedError as error:
        return None, str(error)
    except RedisFailure as failure:
        return f"the writer failed: {failure}", ""
    return None, ""
