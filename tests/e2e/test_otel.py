"""Beside services that export BullMQ's own OpenTelemetry metrics (bullmq-otel), nothing counts
twice: names do not overlap, and no rule, alert or panel selects the services' series.

One Prometheus scrapes both, once as different jobs and once as one job.
"""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.alert_tests import FOLDER
from tests.support.daemon import Daemon, daemon
from tests.support.dashboards import (
    FILES,
    filled,
    load,
    targets,
    variable_query,
    variables,
)
from tests.support.migration import FILES as MIGRATION
from tests.support.migration import table
from tests.support.otel import Service, service
from tests.support.prometheus import Prometheus, prometheus
from tests.support.requirements import require
from tests.support.servers import valkey
from tests.support.waiting import wait_for
from tests.support.yaml_text import parse

CONFIG = """
connections: {{default: {{url: "{url}"}}}}
poll: {{interval_seconds: 1}}
queues: {{discovery_interval_seconds: 1}}
events: {{job_names: true}}
sync: {{interval_seconds: 2}}
"""
RULES = (FOLDER / "bullmq.rules.yml").read_text()
EVERY_TARGET_HAS = re.compile("up|scrape_.*|process_.*|target_info|otel_scope_info")
KINDS = {"good": 40, "bad": 1, "again": 1, "later": 1, "returned": 1, "parent": 1}


@dataclass
class Both:
    """Both targets, after their counters have increased between two scrapes."""

    exporter: Daemon
    service: Service
    prometheus: Prometheus

    @property
    def services(self) -> str:
        """A matcher of the service's series, in both jobs."""
        return f'instance="127.0.0.1:{self.service.port}"'

    @property
    def exporters(self) -> str:
        """A matcher of the exporter's series, in both jobs."""
        return f'instance="127.0.0.1:{self.exporter.port}"'


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Exporter and service both count the jobs of one queue, few of which fail.

    The service also has a queue in a Redis that the exporter does not reach; there, all jobs fail.
    """
    require("prometheus")
    folder = tmp_path_factory.mktemp("otel")
    with valkey() as known, valkey() as unknown, service() as services:
        services.work(known, "mail", good=1)
        services.work(unknown, "mail-of-others", bad=1)
        with daemon(folder, CONFIG.format(url=known.url)) as running:
            jobs = {
                "exporters": [running.port],
                "services": [services.port],
                "together": [running.port, services.port],
            }
            with prometheus(folder, jobs, RULES, "--web.enable-admin-api") as prom:
                found = Both(running, services, prom)
                wait_for(lambda: prom.query("bullmq_queue_events_read_total"), "mail is watched")
                # a job name's counter starts with its first job; only later increases are visible
                services.work(known, "mail", **dict.fromkeys(KINDS, 1))
                counted(found, 1)
                services.work(known, "mail", **KINDS)
                services.work(unknown, "mail-of-others", bad=100)
                counted(found, 1 + KINDS["good"])
                yield found


def counted(both: Both, jobs: int) -> None:
    """Wait until Prometheus has this many jobs from both targets."""
    theirs = 'bullmq_jobs_completed_total{job="together",bullmq_job_name="good"}'
    ours = 'bullmq_queue_jobs_completed_total{job="together",job_name="good"}'
    # one was completed before the exporter watched the queue
    wait_for(lambda: both.prometheus.value(theirs) == 1 + jobs, "the service's counter")
    wait_for(lambda: both.prometheus.value(ours) == jobs, "the exporter's counter")


def names(both: Both, matcher: str) -> set[str]:
    """The names of all series that the matcher selects."""
    found = both.prometheus.get("label/__name__/values", **{"match[]": f"{{{matcher}}}"})
    return {name for name in found if not EVERY_TARGET_HAS.fullmatch(name)}


def families(page: str) -> set[str]:
    found = re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE)
    return {name for name in found if not EVERY_TARGET_HAS.fullmatch(name)}


def test_metric_names_do_not_overlap(both: Both) -> None:
    expected = {name.replace(".", "_") for name in both.service.metrics}

    def every_family() -> set[str] | None:
        found = families(both.service.page)
        return found if {re.sub("_total$", "", name) for name in found} == expected else None

    # the service records its gauges now and then
    theirs = wait_for(every_family, "all metrics of the service")
    plain = both.exporter.get("/metrics").text
    openmetrics = both.exporter.get("/metrics", accept="application/openmetrics-text").text
    ours = families(plain) | families(openmetrics) | names(both, both.exporters)
    assert ours.isdisjoint(theirs | names(both, both.services))


def test_the_migration_table_lists_every_metric(both: Both) -> None:
    named = {re.sub("_(total|sum|count|bucket)$", "", old) for old in table("bullmq-otel")}
    assert named == {name.replace(".", "_") for name in both.service.metrics}


def test_migration_rules_record_the_services_numbers(both: Both, tmp_path: Path) -> None:
    ports = [both.exporter.port, both.service.port]
    rules = MIGRATION["bullmq-otel"].read_text()
    with prometheus(tmp_path, {"together": ports}, rules) as prom:
        for name, exported in {
            "bullmq_queue_jobs": "bullmq_queue_jobs",
            "bullmq_jobs_completed_total": "bullmq_jobs_completed_total",
            "bullmq_jobs_failed_total": "bullmq_jobs_failed_total",
            "bullmq_jobs_retried_total": "bullmq_jobs_(retried|delayed|waiting)_total",
            "bullmq_job_duration_count": "bullmq_job_duration_count",
        }.items():
            expected = totals(prom, exported, both.services)
            assert expected
            wait_for(
                lambda name=name, expected=expected: totals(prom, name, both.exporters) == expected,
                f"{name} is {expected}",
            )
        name = "bullmq_job_duration_sum"
        assert set(totals(prom, name, both.exporters)) == set(totals(prom, name, both.services))


def totals(prom: Prometheus, name: str, matcher: str) -> Counter[tuple[str, str]]:
    """Number of jobs by name and state, of those that the exporter saw from the start.

    For the exporter, every return to waiting is a retry, and a job that starts to wait for children
    has no outcome.
    """
    chosen = f'__name__=~"{name}",{matcher},bullmq_queue_name="mail",bullmq_job_name!="good"'
    found: Counter[tuple[str, str]] = Counter()
    for labels, value in prom.query(f"{{{chosen}}}"):
        state = labels.get("bullmq_job_state") or labels["bullmq_queue_jobs_state"]
        if value and state != "waiting-children":
            state = "retried" if state in ("delayed", "waiting") else state
            found[labels.get("bullmq_job_name", ""), state] += int(value)
    return found


def test_no_alert_fires_for_failures_that_only_the_service_counts(both: Both) -> None:
    """With the service's metric names, the same rule would fire, so the failures are visible."""
    start = datetime.now().astimezone()
    wait_for(lambda: evaluated_since(both.prometheus, start), "the rules are evaluated")
    ratio = expressions()["BullMQVeryHighFailureRatio"]
    assert both.prometheus.query(ratio.replace("bullmq_queue_jobs_", "bullmq_jobs_"))
    # a job that was waiting at a poll may have made one pending; an increase would keep it so
    wait_for(lambda: both.prometheus.get("alerts")["alerts"] == [], "no alert is pending or firing")


def evaluated_since(prom: Prometheus, start: datetime) -> bool:
    """Whether every rule was evaluated after that time, and without an error."""
    rules = [rule for group in prom.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}, rules
    return all(datetime.fromisoformat(rule["lastEvaluation"]) > start for rule in rules)


def test_no_rule_or_panel_selects_the_services_series(both: Both) -> None:
    """All expressions return the same before and after the service's series are deleted."""
    prom = both.prometheus
    # every sample up to this time has arrived
    last = prom.value('min(timestamp({__name__=~"up|queue:bullmq_queue_ready:max"}))')
    assert last is not None
    theirs = f"count({{{both.services}}})"

    def every() -> dict[str, Any]:
        return {name: at(prom, expr, last) for name, expr in expressions().items()}

    assert at(prom, theirs, last)
    with_service = every()
    delete(prom, f"{{{both.services}}}")
    assert not at(prom, theirs, last)
    without = every()
    assert {name: found for name, found in with_service.items() if found != without[name]} == {}
    assert sum(bool(found) for found in without.values()) > len(FILES) * 10


def expressions() -> dict[str, str]:
    """The expressions of all shipped rules, panels, annotations and variables, by name."""
    groups = parse(RULES)["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    found = {rule.get("alert") or rule["record"]: rule["expr"] for rule in rules}
    for file in FILES:
        dashboard = load(file)
        for title, target in targets(dashboard):
            found[f"{file.stem}: {title}: {target['refId']}"] = filled(target["expr"])
        for annotation in dashboard["annotations"]["list"]:
            expr = filled(annotation["target"]["expr"])
            found[f"{file.stem}: annotation {annotation['name']}"] = expr
        for variable in variables(dashboard):
            if variable["name"] != "datasource":
                selector, _ = variable_query(variable)
                found[f"{file.stem}: ${variable['name']}"] = filled(selector)
    return found


def at(prom: Prometheus, expr: str, when: float) -> list[str]:
    """The result of an expression at that time, in a comparable order."""
    found = prom.get("query", query=expr, time=f"{when:.3f}")["result"]
    return sorted(json.dumps(row, sort_keys=True) for row in found)


def delete(prom: Prometheus, selector: str) -> None:
    address = f"http://127.0.0.1:{prom.port}/api/v1/admin/tsdb/delete_series"
    body = urllib.parse.urlencode({"match[]": selector}).encode()
    urllib.request.urlopen(urllib.request.Request(address, body, method="POST")).close()
