"""What an alert and a recording rule are, before they are text for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from string import Template


class Severity(StrEnum):
    """What an alert asks of people."""

    CRITICAL = "critical"
    """Somebody must come now."""
    WARNING = "warning"
    """Somebody must look at it, in working hours."""
    INFO = "info"
    """Good to know beside another alert."""


class RuleText(Template):
    """PromQL or an annotation in which %name stands for a setting: $ is Prometheus' own."""

    delimiter = "%"


@dataclass(frozen=True, slots=True)
class Setting:
    """A number that a team may want to be another one."""

    value: float
    is_duration: bool = False
    """Whether it is in seconds, and written as 10m or as 600."""


def seconds(value: float) -> Setting:
    """A threshold or a window in seconds."""
    return Setting(value, is_duration=True)


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert rule."""

    name: str
    """Without the prefix BullMQ."""
    severity: Severity
    expr: str
    """A `RuleText`: %above and its like are settings, %queue and its like label lists."""
    summary: str
    """One line, with Prometheus' templates."""
    description: str
    dashboard: str
    """Where to look: the uid of a dashboard."""
    wait: Setting
    """How long the condition must hold (`for`)."""
    settings: Mapping[str, Setting] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """As Prometheus knows it."""
        return f"BullMQ{self.name}"

    def all_settings(self) -> dict[str, Setting]:
        """Every number by its name; `for` among them."""
        return {"for": self.wait, **self.settings}


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule."""

    name: str
    expr: str
