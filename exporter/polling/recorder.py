"""Wraps every run of a collector: times it, isolates its errors, and reports the result."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from exporter.collectors import CommandErrors
from exporter.connection import ONE_NODE, ErrorClass, RedisFailure, ReplyError
from exporter.log import event
from exporter.state.snapshots import CollectorReport, LastError

logger = logging.getLogger("exporter.collectors")

Result = TypeVar("Result")

_MAX_REMEMBERED_MESSAGES = 1000


@dataclass(slots=True)
class _Record:
    """One collector's report, and what was logged about it."""

    report: CollectorReport = field(default_factory=CollectorReport)
    errors: Counter[ErrorClass] = field(default_factory=Counter)
    oversized: int = 0
    logged: set[str] = field(default_factory=set)
    """Messages that must not be repeated at every poll."""
    failed_nodes: frozenset[str] = frozenset()
    """Errors of cluster nodes in the last run; an error that returns later is logged again."""


class Recorder:
    """Keeps the reports of one connection's collectors."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._records: dict[str, _Record] = {}
        self._one_node_logged = False

    @property
    def reports(self) -> dict[str, CollectorReport]:
        """The reports, by the collector's name."""
        return {name: record.report for name, record in self._records.items()}

    def run(self, name: str, work: Callable[[], Result], errors: CommandErrors) -> Result | None:
        """Do the work and report the outcome. Returns None if it failed or is not available."""
        start = time.perf_counter()
        result = self.guard(name, work)
        if result is not None:
            self.succeeded(name, time.perf_counter() - start, errors)
        return result

    def guard(self, name: str, work: Callable[[], Result]) -> Result | None:
        """Do a part of a collector's work. Reports only a failure, and returns None then."""
        try:
            return work()
        except ReplyError as error:
            if error.not_available:
                self._not_available(name, error)
            else:
                self.failed(name, error)
        except RedisFailure as failure:
            self.failed(name, failure)
        except Exception as error:
            # a bug must cost no more than this collector's run
            logger.exception("%s: unexpected error; this is a bug, please report it", name)
            self.failed(name, RedisFailure(ErrorClass.INTERNAL, type(error).__name__))
        return None

    def succeeded(self, name: str, duration: float, errors: CommandErrors) -> None:
        """Report a successful run of `duration` seconds; `errors` are those of single commands.

        A run that could not reach a node of a cluster counts as failed, though its facts are shown.
        """
        record = self._record(name)
        record.errors += errors.classes + Counter(errors.failed_nodes.values())
        for command in errors.not_available:
            reason = "is not permitted or not supported; metrics that need it are omitted"
            self._log_once(record, f"{name}: {command} {reason}")
        for message in errors.messages:
            if message == ONE_NODE:
                self.log_one_node()
            else:
                self._log_once(record, f"{name}: {message}")
        record.oversized += errors.oversized.total()
        for outcome in errors.oversized:
            self._log_once(record, f"{name}: {outcome}")
        for message in sorted(errors.failed_nodes.keys() - record.failed_nodes):
            event(logger, logging.WARNING, f"{name}: {message}", connection=self._connection)
        record.failed_nodes = frozenset(errors.failed_nodes)
        last_error = record.report.last_error
        messages = [*errors.failed_nodes.items(), *errors.messages.items()]
        if messages:
            last_error = LastError(messages[0][1], messages[0][0], time.time())
        record.report = CollectorReport(
            success=not errors.failed_nodes,
            duration=duration,
            last_success=record.report.last_success if errors.failed_nodes else time.time(),
            errors=dict(record.errors),
            oversized=record.oversized,
            not_available=tuple(sorted(errors.not_available)),
            last_error=last_error,
        )

    def failed(self, name: str, failure: RedisFailure) -> None:
        """Report a failed run."""
        record = self._record(name)
        record.errors[failure.kind] += 1
        if failure.kind is not ErrorClass.CONNECTION:  # the connection supervisor logs those
            self._log_once(record, f"{name}: {failure.text}")
        record.report = replace(
            record.report,
            success=False,
            errors=dict(record.errors),
            last_error=LastError(failure.kind, failure.text, time.time()),
        )

    def forget(self, name: str) -> None:
        """Drop the report of a collector that no longer runs here; its error counts stay."""
        record = self._records.get(name)
        if record is not None:
            record.report = CollectorReport(errors=dict(record.errors), oversized=record.oversized)

    def log_one_node(self) -> None:
        """Log, once for all collectors, that only one node of a cluster is read."""
        if not self._one_node_logged:
            self._one_node_logged = True
            event(logger, logging.WARNING, ONE_NODE, connection=self._connection)

    def _not_available(self, name: str, error: ReplyError) -> None:
        record = self._record(name)
        self._log_once(record, f"{name} is not available: {error.text}")
        record.report = CollectorReport(
            errors=dict(record.errors),
            oversized=record.oversized,
            not_available=(error.refused,),
            last_error=LastError(error.kind, error.text, time.time()),
        )

    def _record(self, name: str) -> _Record:
        return self._records.setdefault(name, _Record())

    def _log_once(self, record: _Record, message: str) -> None:
        if message in record.logged:
            return
        if len(record.logged) >= _MAX_REMEMBERED_MESSAGES:
            record.logged.clear()
        record.logged.add(message)
        event(logger, logging.WARNING, message, connection=self._connection)
