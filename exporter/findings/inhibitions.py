"""Alertmanager's inhibition rules, from the causes: what one alert explains is not notified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from exporter.findings.conditions import CAUSES
from exporter.rules.alerts import ALERTS, BY_NAME
from exporter.rules.model import Alert, Subject

_CONNECTION = ("job", "connection")
_QUEUE = (*_CONNECTION, "prefix", "queue")
_PAIR = ("job", "connections")


def inhibit_rules() -> str:
    """The items of `inhibit_rules` as YAML."""
    return "\n".join(rule for name in CAUSES for rule in _rules_of(BY_NAME[name]))


def _rules_of(cause: Alert) -> Iterator[str]:
    """A rule for each list of labels that the cause has in common with alerts that it explains.

    A connection and a pair have no label in common; the expression of SyncTestFailing excludes
    connections that are down.
    """
    explained = [alert for alert in ALERTS if alert.name in CAUSES[cause.name]]
    # an isolation has the labels of its queue except for the connection's name
    equal = _QUEUE if cause.subject in {Subject.QUEUE, Subject.ISOLATION} else _CONNECTION
    single = [alert for alert in explained if alert.subject is not Subject.PAIR]
    yield _rule(cause, single, equal)
    pairs = [alert for alert in explained if "connections" in cause.labels.keys() & alert.labels]
    if pairs:
        yield _rule(cause, pairs, _PAIR)


def _rule(cause: Alert, explained: Iterable[Alert], equal: Iterable[str]) -> str:
    names = "|".join(alert.name for alert in explained)
    return (
        f'  - source_matchers: [alertname="{cause.full_name}"]\n'
        f"    target_matchers: ['alertname=~\"BullMQ({names})\"']\n"
        f"    equal: [{', '.join(equal)}]"
    )
