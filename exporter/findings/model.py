"""Conditions and findings: an alert whose condition holds now, and for what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from exporter.findings.text import fill
from exporter.rules.model import Alert
from exporter.views.moment import Moment

Limits = Mapping[str, float]
"""The settings of an alert, by name."""

Text = str | Callable[[], str]
"""A text, or a function that makes it if that is costly."""


def text_of(text: Text) -> str:
    """The text itself."""
    return text if isinstance(text, str) else text()


class Hit(NamedTuple):
    """One subject for which a condition holds: labels, as those of the alert, and a value.

    Hits and findings are tuples, because an incident of ten thousand queues has tens of thousands,
    of which few are shown. Their texts are made when they are asked for.
    """

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


class Finding(NamedTuple):
    """Why something is wrong, or unknown."""

    status: Status
    hit: Hit
    """What it is about."""
    alert: Alert | None
    """None if the finding is that something is unknown: that is no alert."""
    title: str = ""
    """The headline of a finding without an alert."""

    @classmethod
    def without_alert(
        cls,
        status: Status,
        headline: str,
        detail: str = "",
        labels: Mapping[str, str] = MappingProxyType({}),
        impact: float = 0.0,
    ) -> Finding:
        """A finding that is no alert."""
        return cls(status, Hit(labels, detail=detail, impact=impact), None, headline)

    @property
    def headline(self) -> str:
        """What is wrong, in a few words."""
        alert, hit = self.alert, self.hit
        return self.title if alert is None else fill(alert.summary, hit.labels, hit.value)

    @property
    def explanation(self) -> str:
        """The proof, or the likely cause and remedy."""
        alert, hit = self.alert, self.hit
        text = text_of(hit.detail)
        return text if text or alert is None else fill(alert.description, hit.labels, hit.value)

    @property
    def labels(self) -> Mapping[str, str]:
        """As in `Hit`."""
        return self.hit.labels

    @property
    def impact(self) -> float:
        """As in `Hit`."""
        return self.hit.impact

    @property
    def oldest_seconds(self) -> float | None:
        """As in `Hit`."""
        return self.hit.oldest_seconds

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
