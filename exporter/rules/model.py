"""Alerts and recording rules as data, before they are rendered for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from string import Template
from typing import Final


class Severity(StrEnum):
    """The urgency of an alert."""

    CRITICAL = "critical"
    """Page someone now."""
    WARNING = "warning"
    """Look at it during working hours."""
    INFO = "info"
    """Useful together with other alerts."""


class Subject(StrEnum):
    """What an alert is about, which its labels name."""

    EXPORTER = "exporter"
    CONNECTION = "connection"
    QUEUE = "queue"
    SLO = "slo"
    """An SLO of a queue."""
    PAIR = "pair"
    """A connection that writes and one that reads, in the sync test."""
    ISOLATION = "isolation"
    """A queue, and the connections of its producer and of its worker."""


QUEUE_NAME: Final = "{{ $labels.prefix }}:{{ $labels.queue }} on {{ $labels.connection }}"
"""The queue in an alert's text."""


class RuleText(Template):
    """PromQL with %name placeholders, since Prometheus' own templates use $."""

    delimiter = "%"


@dataclass(frozen=True, slots=True)
class Setting:
    """A number in an alert that users can change."""

    value: float
    is_duration: bool = False
    """Whether the value is in seconds, and may be given as 10m or 600."""


def seconds(value: float) -> Setting:
    """A setting in seconds."""
    return Setting(value, is_duration=True)


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert rule."""

    name: str
    """Name without the prefix BullMQ."""
    severity: Severity
    subject: Subject
    expr: str
    """A `RuleText` whose placeholders are settings (%above_seconds) and label lists (%queue)."""
    summary: str
    """One line, with Prometheus templates."""
    description: str
    dashboard: str
    """The uid of the dashboard to look at."""
    wait: Setting
    """How long the condition must hold (`for`)."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    """More labels, with Prometheus templates, by which Alertmanager compares alerts."""

    @property
    def full_name(self) -> str:
        """The name in Prometheus."""
        return f"BullMQ{self.name}"

    @property
    def anchor(self) -> str:
        """The anchor of its section in the runbook."""
        return self.full_name.lower()

    def all_settings(self) -> dict[str, Setting]:
        """All settings by name, including `for`."""
        return {"for": self.wait, **self.settings}


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule."""

    name: str
    expr: str
