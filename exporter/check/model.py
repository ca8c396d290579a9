"""The result of the connection test: steps of each connection, pairs, a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from exporter.connection import Metadata
from exporter.findings import Verdict
from exporter.state.snapshots import Pair


class Outcome(StrEnum):
    """The outcome of a step. Only FAILED makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the test of one connection."""

    name: str
    outcome: Outcome
    detail: str
    """The finding, and for a failure the remedy, in words."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The finding in machine-readable form."""
    notes: tuple[str, ...] = ()
    """Further lines for people."""


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """The steps of one connection, up to a failure that makes the rest impossible."""

    name: str
    url: str
    steps: tuple[Step, ...]

    @property
    def failed(self) -> Step | None:
        """The first step that failed."""
        return next((step for step in self.steps if step.outcome is Outcome.FAILED), None)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The whole report, with a verdict in one line."""

    connections: tuple[ConnectionReport, ...]
    pairs: tuple[Pair, ...]
    metadata: Mapping[str, Metadata]
    ok: bool
    verdict: str
    findings: Verdict | None
    """What the exporter would report of these connections; None if they cannot be compared."""
