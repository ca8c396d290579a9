"""Conditions and findings: an alert whose condition holds now, and for what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from exporter.rules.model import Alert
from exporter.views.moment import Moment

Limits = Mapping[str, float]
"""The settings of an alert, by name."""

Text = str | Callable[[], str]
"""A text, or a function that makes it if that is costly."""


def text_of(text: Text) -> str:
    """The text itself."""
    return text if isinstance(text, str) else text()


@dataclass(frozen=True, slots=True)
class Hit:
    """One subject for which a condition holds: labels, as those of the alert, and a value."""

    labels: Mapping[str, str]
    value: float = 1.0
    """The value of the alert's expression."""
    detail: Text = ""
    """The proof, or what is known beyond the alert's own text; empty for the alert's own text."""
    impact: float = 0.0
    """For sorting: ready jobs times the age of the oldest in seconds."""
    oldest_seconds: float | None = None
    """Age of the oldest ready job, if that shows since when the condition holds."""


Condition = Callable[[Moment, Limits], Iterable[Hit]]
"""The subjects for which an alert's expression is true."""


class Status(IntEnum):
    """How bad a finding, or everything, is; the worst first."""

    CRITICAL = 0
    WARNING = 1
    UNKNOWN = 2
    """Not known, not known yet, or watched until it is."""
    INFO = 3
    OK = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """Why something is wrong, or unknown."""

    status: Status
    headline: str
    detail: Text = ""
    alert: Alert | None = None
    """None if the finding is that something is unknown: that is no alert."""
    labels: Mapping[str, str] = field(default_factory=dict)
    impact: float = 0.0
    oldest_seconds: float | None = None
    """As in `Hit`."""

    @property
    def explanation(self) -> str:
        """The detail as text."""
        return text_of(self.detail)

    @property
    def name(self) -> str:
        """The alert's name without the prefix; empty without an alert."""
        return self.alert.name if self.alert is not None else ""

    def as_json(self) -> dict[str, Any]:
        """The finding as plain values."""
        return {
            "alert": self.alert.full_name if self.alert is not None else None,
            "status": self.status.name.lower(),
            "headline": self.headline,
            "detail": self.explanation,
            "labels": dict(self.labels),
        }
