"""The SLOs: whether their names are unique, and whether they can be measured."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.config.errors import SettingProblem
from exporter.config.models import Config


def slo_problems(config: Config) -> Iterator[SettingProblem]:
    """Every SLO that has the name of an earlier one; that events are off, if there are SLOs."""
    if config.slos and not config.events.enabled:
        yield ("slos",), "needs events.enabled: true; jobs are judged by their events"
    first: dict[str, int] = {}
    for place, slo in enumerate(config.slos):
        if slo.label in first:
            path = ("slos", str(place), "name")
            yield path, f"{slo.label} is also the name of slos.{first[slo.label]}; set another"
        first.setdefault(slo.label, place)
