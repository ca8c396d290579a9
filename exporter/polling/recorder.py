"""The one wrapper around collectors: it times, isolates and reports every run."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from exporter.collectors import CommandErrors
from exporter.connection import ErrorClass, RedisFailure, ReplyError
from exporter.log import event
from exporter.state.snapshots import CollectorReport, LastError

logger = logging.getLogger("exporter.collectors")

Result = TypeVar("Result")

_REMEMBERED_TEXTS = 1000


@dataclass(slots=True)
class _Record:
    """What is known of one collector."""

    report: CollectorReport = field(default_factory=CollectorReport)
    errors: Counter[ErrorClass] = field(default_factory=Counter)
    said: set[str] = field(default_factory=set)
    """Log messages that need not be repeated at every poll."""
    failed_nodes: frozenset[str] = frozenset()
    """What was the matter with nodes at the last run: each outage is told anew."""


class Recorder:
    """The reports of one connection's collectors."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._records: dict[str, _Record] = {}

    @property
    def reports(self) -> dict[str, CollectorReport]:
        """The report of each collector that has run, or should have."""
        return {name: record.report for name, record in self._records.items()}

    def run(self, name: str, work: Callable[[], Result], errors: CommandErrors) -> Result | None:
        """Do the work and report on it; None where it failed or is not available here."""
        start = time.perf_counter()
        result = self.guard(name, work)
        if result is not None:
            self.worked(name, time.perf_counter() - start, errors)
        return result

    def guard(self, name: str, work: Callable[[], Result]) -> Result | None:
        """Do a part of a collector's work; only a failure is reported, and gives None."""
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
            # whatever it is, it may cost this collector only
            logger.exception("%s failed by a mistake in the exporter; please report it", name)
            self.failed(name, RedisFailure(ErrorClass.INTERNAL, type(error).__name__))
        return None

    def worked(self, name: str, duration: float, errors: CommandErrors) -> None:
        """Report a run that worked, except for `errors`.

        Where a node of a cluster could not be asked it has not worked, though its facts are shown.
        """
        record = self._record(name)
        record.errors += errors.classes + Counter(errors.failed_nodes.values())
        for command in errors.not_available:
            what = "is not permitted or not known here, so what it would tell is left out"
            self._say(record, f"{name}: {command} {what}")
        for text in errors.messages:
            self._say(record, f"{name}: {text}")
        for text in sorted(errors.failed_nodes.keys() - record.failed_nodes):
            event(logger, logging.WARNING, f"{name}: {text}", connection=self._connection)
        record.failed_nodes = frozenset(errors.failed_nodes)
        texts = [*errors.failed_nodes.items(), *errors.messages.items()]
        last_error = record.report.last_error
        if texts:
            last_error = LastError(texts[0][1], texts[0][0], time.time())
        record.report = CollectorReport(
            success=not errors.failed_nodes,
            duration=duration,
            last_success=record.report.last_success if errors.failed_nodes else time.time(),
            errors=dict(record.errors),
            not_available=tuple(sorted(errors.not_available)),
            last_error=last_error,
        )

    def failed(self, name: str, failure: RedisFailure) -> None:
        """Report a run that failed."""
        record = self._record(name)
        record.errors[failure.kind] += 1
        text = f"{name}: {failure.text}"
        if failure.kind is not ErrorClass.CONNECTION:  # those are told by the connection's lines
            self._say(record, text)
        record.report = replace(
            record.report,
            success=False,
            errors=dict(record.errors),
            last_error=LastError(failure.kind, failure.text, time.time()),
        )

    def forget(self, name: str) -> None:
        """Drop the report of a collector that does not run here any more; its counts stay."""
        record = self._records.get(name)
        if record is not None:
            record.report = CollectorReport(errors=dict(record.errors))

    def _not_available(self, name: str, error: ReplyError) -> None:
        record = self._record(name)
        self._say(record, f"{name} is not available: {error.text}")
        record.report = CollectorReport(
            errors=dict(record.errors),
            not_available=(error.refused,),
            last_error=LastError(error.kind, error.text, time.time()),
        )

    def _record(self, name: str) -> _Record:
        return self._records.setdefault(name, _Record())

    def _say(self, record: _Record, text: str) -> None:
        if text in record.said:
            return
        if len(record.said) >= _REMEMBERED_TEXTS:
            record.said.clear()
        record.said.add(text)
        event(logger, logging.WARNING, text, connection=self._connection)
