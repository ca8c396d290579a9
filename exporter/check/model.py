"""What the connection test finds: steps of each connection, pairs, a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from exporter.connection import Metadata
from exporter.state.snapshots import Pair


class Outcome(StrEnum):
    """How a step went. Only a failure makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of one connection."""

    name: str
    outcome: Outcome
    detail: str
    """What was found, and for a failure what to do, in words."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The same for machines."""
    notes: tuple[str, ...] = ()
    """More lines for people."""


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """All steps of a connection, up to the first that made the rest impossible."""

    name: str
    url: str
    steps: tuple[Step, ...]

    @property
    def failed(self) -> Step | None:
        """The first step that failed."""
        return next((step for step in self.steps if step.outcome is Outcome.FAILED), None)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Everything, with one line that sums it up."""

    connections: tuple[ConnectionReport, ...]
    pairs: tuple[Pair, ...]
    metadata: Mapping[str, Metadata]
    ok: bool
    verdict: str
