"""Changes to the alerts: thresholds, durations, severities, and omitted alerts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches

from exporter.parsing import duration_seconds
from exporter.rules.model import Alert, Setting, Severity, Subject

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class RuleError(Exception):
    """An invalid change; the message lists what is available."""


def without(alerts: Sequence[Alert], names: Iterable[str]) -> tuple[Alert, ...]:
    """The alerts except these. Raises `RuleError` for an unknown name."""
    unwanted = {_find(alerts, name).name for name in names}
    return tuple(alert for alert in alerts if alert.name not in unwanted)


def about_slos(alerts: Sequence[Alert]) -> tuple[Alert, ...]:
    """The alerts about SLOs."""
    return tuple(alert for alert in alerts if alert.subject is Subject.SLO)


def changed(alerts: Sequence[Alert], changes: Iterable[str]) -> tuple[Alert, ...]:
    """Apply changes such as `JobsWaitingTooLong.above_seconds=600`. Raises `RuleError`."""
    by_name = {alert.name: alert for alert in alerts}
    for change in changes:
        path, equals, text = change.partition("=")
        name, _, setting = path.partition(".")
        if not equals or not setting:
            raise RuleError(f"{change}: expected ALERT.SETTING=VALUE, such as NoWorkers.for=10m")
        alert = by_name[_find(alerts, name).name]
        by_name[alert.name] = _with(alert, setting, text)
    return tuple(by_name.values())


def label_names(names: Iterable[str]) -> tuple[str, ...]:
    """Validate label names. Raises `RuleError` for a name that is invalid in Prometheus."""
    for name in (valid := tuple(names)):
        if not _LABEL.fullmatch(name):
            raise RuleError(f"{name} is not a valid label name; use letters, digits and _")
    return valid


def label_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """Parse labels such as `team=payments`. Raises `RuleError`."""
    labels = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise RuleError(f"{pair}: expected NAME=VALUE, such as team=payments")
        labels[label_names([name])[0]] = value
    return labels


def scaled(alerts: Sequence[Alert], factor: float, max_seconds: float) -> tuple[Alert, ...]:
    """Multiply every duration by `factor`, up to `max_seconds`; for a demonstration."""

    def scale(setting: Setting) -> Setting:
        if not setting.is_duration:
            return setting
        return replace(setting, value=min(setting.value * factor, max_seconds))

    return tuple(
        replace(
            alert,
            wait=scale(alert.wait),
            settings={name: scale(setting) for name, setting in alert.settings.items()},
        )
        for alert in alerts
    )


def _find(alerts: Sequence[Alert], name: str) -> Alert:
    names = {alert.name: alert for alert in alerts}
    short = name.removeprefix("BullMQ")
    if short not in names:
        near = get_close_matches(short, names, 1)
        hint = f"did you mean {near[0]}?" if near else "see bullmq-exporter rules --list"
        raise RuleError(f"unknown alert {name}; {hint}")
    return names[short]


def _with(alert: Alert, name: str, text: str) -> Alert:
    if name == "severity":
        if text not in set(Severity):
            raise RuleError(f"{alert.name}.severity={text}: expected one of {', '.join(Severity)}")
        return replace(alert, severity=Severity(text))
    settings = alert.all_settings()
    if name not in settings:
        available = ", ".join(["severity", *settings])
        raise RuleError(f"{alert.name} has no setting {name}; available: {available}")
    setting = replace(settings[name], value=_number(alert, name, text))
    if name == "for":
        return replace(alert, wait=setting)
    return replace(alert, settings={**alert.settings, name: setting})


def _number(alert: Alert, name: str, text: str) -> float:
    where = f"{alert.name}.{name}={text}"
    is_duration = alert.all_settings()[name].is_duration
    seconds = duration_seconds(text) if is_duration else None
    try:
        value = float(text) if seconds is None else seconds
    except ValueError:
        example = "10m or 600" if is_duration else "0.2"
        raise RuleError(f"{where}: expected a number, such as {example}") from None
    if not 0 <= value < float("inf"):
        raise RuleError(f"{where}: expected a finite number that is not negative")
    if value == 0 and name == "window":
        raise RuleError(f"{where}: a window must be longer than 0")
    return value
