"""Every query of every dashboard, on the newest Prometheus over live BullMQ traffic.

In tests/e2e/test_dashboards_of_two_jobs.py, an old Prometheus runs them.
"""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import promql_parser
import pytest

from exporter.config.models import Events
from exporter.metrics import CATALOGUE
from exporter.rules import ALERTS, rules_file, scaled
from tests.support.commands import all_blocks
from tests.support.daemon import daemon
from tests.support.dashboards import (
    FILES,
    FOLDER,
    VALUES,
    filled,
    load,
    panels,
    targets,
    variable_query,
    variables,
)
from tests.support.metrics_page import QUERIES
from tests.support.prometheus import NEWEST_PROMETHEUS, Prometheus, Series, prometheus
from tests.support.requirements import node_modules, require
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for

NO_DATA = {
    "Replication link": "no connection reads a replica here; integration tests have one",
    "Jobs vanished": "no job vanishes here; tests/e2e/test_lost_jobs.py counts them",
    "Stuck jobs": "no job is stuck here; tests/faults/test_stuck_jobs.py has all kinds",
    "Errors by collector": "nothing fails here; the faults' tests see the counters move",
}
NOT_OF_ONE_QUEUE = {
    "Queues without progress": "mail works",
    "Blocked by": "mail works",
    "Rate limit": "mail has none",
    "Prioritized jobs": "those of mail are done at once; those of lost remain",
    "Firing alerts": "of all queues",
}
ONLY_BEYOND = {
    "Queues with failed jobs that nobody has removed for a week": "all jobs are new",
    "Queues to which no job was added for a day": "all jobs are new",
    "Connections that reach the same database of the same server": "there are two servers",
    "Facts that are missing because Redis refuses commands": "all commands are permitted",
}
"""Questions whose threshold nothing exceeds here; what is compared with it has data."""
SOMETIMES_BEYOND = {"How many workers are missing": "mail may fall behind, or not"}
NO_SAMPLE = {"Stuck jobs of all queues by kind": NO_DATA["Stuck jobs"]}
NO_SAMPLE_ELSEWHERE = {"increase(bullmq_redis_evicted_keys_total[1d]) > 0\n": "nothing is evicted"}
# in production a minute and more: here Prometheus scrapes each second
WINDOWS = {"__rate_interval": "15s", "__range": "10m"}
CONFIG = """
connections:
  api: {{url: "{api}"}}
  worker: {{url: "{worker}"}}
poll: {{interval_seconds: 1, blocked_after_seconds: 3}}
queues:
  discovery_interval_seconds: 2
  targets: {{"*": {{wait_seconds: 60, run_seconds: 60, failure_ratio: 0.5, silent_seconds: 60}}}}
events: {{job_names: true, failure_classes: true}}
sync: {{interval_seconds: 2}}
slos: [{{match: "*", start_within: 30s, objective: 99}}]
"""


@dataclass
class Live:
    """Everything runs, and the known jobs are done."""

    prometheus: Prometheus
    server: Server
    """The Redis of `api`."""

    def longest_run(self, queue: str) -> float:
        """Seconds that the longest kept job of the queue took, by BullMQ's own times."""
        client = self.server.client()
        jobs = [
            job
            for state in ("completed", "failed")
            for job in client.zrange(f"bull:{queue}:{state}", 0, -1)
        ]
        times = [
            client.hmget(b"bull:%b:%b" % (queue.encode(), job), "processedOn", "finishedOn")
            for job in jobs
        ]
        return max(float(end) - float(start) for start, end in times) / 1000

    def ask(self, expr: str, **values: str) -> list[Series]:
        return self.prometheus.query(filled(expr, VALUES | WINDOWS | values))

    def panel(self, file: str, title: str, **values: str) -> list[list[Series]]:
        """What each query of a panel returns."""
        (panel,) = [p for p in panels(load(FOLDER / f"bullmq-{file}.json")) if p["title"] == title]
        return [self.ask(target["expr"], **values) for target in panel["targets"]]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    require(NEWEST_PROMETHEUS)
    script = node_modules().parent / "everything.mjs"
    folder = tmp_path_factory.mktemp("live")
    with valkey("--maxmemory", "100mb", "--appendonly", "yes") as api, valkey() as worker:
        traffic = subprocess.Popen(
            ["node", str(script), "bullmq6", str(api.port), str(worker.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert traffic.stdin is not None
        assert traffic.stdout is not None
        try:
            assert traffic.stdout.readline() == "ready\n"
            config = CONFIG.format(api=api.url, worker=worker.url)
            rules = rules_file(scaled(ALERTS, 1 / 60, 5))
            with (
                daemon(folder, config) as running,
                prometheus(
                    folder, {"bullmq": [running.port]}, rules, program=NEWEST_PROMETHEUS
                ) as p,
            ):
                wait_for(lambda: p.query('bullmq_queue_events_read_total{queue="known"}'), "known")
                # a name's counter begins with its first job, and increases are seen after that
                known(traffic, p, good=1, bad=1, total=2)
                known(traffic, p, good=30, bad=10, total=42)
                yield Live(p, api)
        finally:
            traffic.kill()
            traffic.wait()


def known(
    traffic: subprocess.Popen[str], asked: Prometheus, good: int, bad: int, total: int
) -> None:
    """So many jobs are done and counted."""
    assert traffic.stdin is not None
    assert traffic.stdout is not None
    traffic.stdin.write(f"{good} {bad}\n")
    traffic.stdin.flush()
    assert traffic.stdout.readline() == "done\n"
    of_known = '{queue="known"}'
    finished = [f"bullmq_queue_jobs_{kind}_total{of_known}" for kind in ("completed", "failed")]
    by_events = f"sum({' + '.join(finished)})"
    kept = 'sum(bullmq_queue_size{queue="known",state=~"completed|failed"})'
    wait_for(lambda: asked.value(by_events) == total, f"{total} events are counted")
    wait_for(lambda: asked.value(kept) == total, f"{total} jobs are kept")


def wait_for_data(live: Live, allowed: set[str], **values: str) -> None:
    """Wait until each query has returned a number, except those of panels with these titles."""
    queries = [
        (title, target["expr"])
        for file in FILES
        for title, target in targets(load(file))
        if title not in allowed
    ]
    wait_until_all_have_data(live, queries, **values)


def wait_until_all_have_data(live: Live, queries: list[tuple[str, str]], **values: str) -> None:
    """Wait until each query has returned a number; each has a title."""
    left = list(queries)

    def none_left() -> bool:
        # those that have data are not run again: all together take a second of CPU
        left[:] = [
            (title, expr)
            for title, expr in left
            if all(math.isnan(value) for _, value in live.ask(expr, **values))
        ]
        return not left

    try:
        wait_for(none_left, "data of every query")
    except AssertionError as error:
        raise AssertionError(f"{error}: {left}") from None


def test_every_query_has_data(live: Live) -> None:
    wait_for_data(live, set(NO_DATA))


def test_every_query_has_data_for_one_queue(live: Live) -> None:
    allowed = set(NO_DATA) | set(NOT_OF_ONE_QUEUE)
    wait_for_data(live, allowed, queue="mail", prefix="bull", connection="api")
    for queue, number in (("lost", 1), ("resting", 0)):
        values = {"queue": queue, "prefix": "bull", "connection": "api"}
        (found,) = live.panel("queue", "Prioritized jobs", **values)
        assert sum(value for _, value in found) == number


def test_every_variable_has_values(live: Live) -> None:
    for file in FILES:
        for variable in variables(load(file)):
            if variable["name"] == "datasource":
                continue
            selector, label = variable_query(variable)
            found = live.prometheus.get(
                f"label/{label}/values", **{"match[]": filled(selector, VALUES | WINDOWS)}
            )
            assert found, (file.name, label)


def test_every_label_of_a_legend_is_there(live: Live) -> None:
    for file in FILES:
        for title, target in targets(load(file)):
            wanted = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
            for labels, _ in live.ask(target["expr"]):
                assert wanted <= set(labels), (file.name, title, labels)


def test_annotations_run(live: Live) -> None:
    for file in FILES:
        for annotation in load(file)["annotations"]["list"]:
            live.ask(annotation["target"]["expr"])


def test_examples_of_the_catalogue_run(live: Live) -> None:
    for family in CATALOGUE:
        live.ask(family.example)


def test_queries_of_the_metrics_page_have_data(live: Live) -> None:
    """Each has a sample, some without their threshold."""
    beyond = {*ONLY_BEYOND, *SOMETIMES_BEYOND}
    wait_until_all_have_data(
        live,
        [
            (question, compared(expr) if question in beyond else expr)
            for question, expr in QUERIES.items()
            if question not in NO_SAMPLE
        ],
    )
    for question in (*ONLY_BEYOND, *NO_SAMPLE):
        assert live.ask(QUERIES[question]) == [], question


def test_queries_of_other_pages_have_data(live: Live) -> None:
    found = [
        (str(block), block.text)
        for block in all_blocks("promql")
        if block.page.stem != "metrics" and block.text not in NO_SAMPLE_ELSEWHERE
    ]
    assert len(found) > 5
    wait_until_all_have_data(live, found)
    for expr in NO_SAMPLE_ELSEWHERE:
        assert live.ask(expr) == []


def compared(expr: str) -> str:
    """What a query compares with its threshold."""
    parsed = promql_parser.parse(expr)
    assert isinstance(parsed, promql_parser.BinaryExpr)
    assert str(parsed.op) == ">"
    return str(parsed.lhs.prettify())


def test_shares_of_the_metrics_page_are_shares(live: Live) -> None:
    shares = [expr for question, expr in QUERIES.items() if question.startswith("The share")]
    assert len(shares) > 5
    for expr in shares:
        for labels, value in live.ask(expr):
            assert 0 <= value <= 1, (expr, labels)


def test_rates_of_the_metrics_page_have_every_queue(live: Live) -> None:
    """A queue without a failure is not missing from a sum with its failures."""
    ended = live.ask(QUERIES["Jobs that ended per second, completed or failed"])
    wanted = {"mail", "known", "children", "limited"}
    assert wanted <= {labels["queue"] for labels, _ in ended}


def test_the_share_of_a_known_load_is_right(live: Live) -> None:
    def failed() -> dict[str, float]:
        found = live.ask(QUERIES["The share of jobs that failed in the last hour"])
        return {labels["queue"]: value for labels, value in found}

    # increase() adds half a scrape at both ends
    wait_for(lambda: failed()["known"] == pytest.approx(10 / 40, rel=0.15), "10 of 40 failed")
    assert failed()["limited"] == 0


def test_numbers_of_a_known_load(live: Live) -> None:
    """Forty jobs of 60 ms after two, ten of which fail for good."""

    def one(title: str, query: int = 0) -> float:
        ((_, value),) = live.panel("queue", title, queue="known")[query]
        return value

    assert one("Failed (kept)") == 11
    assert one("Ready") == one("Active") == one("Delayed") == one("Oldest waiting") == 0
    assert one("Workers") == 1
    assert one("Paused") == 0
    assert one("Finished jobs kept") == 31
    assert one("Finished jobs kept", 1) == 11

    def close() -> list[list[Series]] | None:
        """The panel, after enough scrapes: increase() adds half a scrape at both ends."""
        found = live.panel("queue", "Job names", queue="known")
        finished = by_name(found[0]) == pytest.approx({"good": 30, "bad": 10}, rel=0.15)
        failed = by_name(found[1]) == pytest.approx({"good": 0, "bad": 10}, rel=0.15)
        return found if finished and failed else None

    _, _, retried, stalled, p95 = wait_for(close, "forty jobs, ten of which failed")
    assert set(by_name(retried).values()) == set(by_name(stalled).values()) == {0}
    # 60 ms, and more on a busy machine: at most the bucket of the longest
    most = min(bound for bound in Events().run_buckets if bound >= live.longest_run("known"))
    for value in by_name(p95).values():
        assert 0.05 < value <= most


def test_numbers_of_the_overview(live: Live) -> None:
    queues = live.panel("overview", "Queues")
    failed_kept = {labels["queue"]: value for labels, value in queues[6]}
    assert failed_kept["known"] == 11
    paused = {labels["queue"]: value for labels, value in queues[13] if value}
    assert paused == {"resting": 1}

    def blocked() -> dict[str, str]:
        (found,) = live.panel("overview", "Queues without progress")
        return {labels["queue"]: labels["reason"] for labels, _ in found}

    expected = {"lost": "worker_isolated", "resting": "paused"}
    wait_for(lambda: expected.items() <= blocked().items(), f"blocked: {blocked()}")
    assert {"mail", "known", "children"}.isdisjoint(blocked())

    def counted() -> float:
        ((_, value),) = live.panel("overview", "Blocked queues")[0]
        return value

    def unwanted() -> int:
        on_purpose = {"paused", "rate_limited", "concurrency_limit"}
        return len([reason for reason in blocked().values() if reason not in on_purpose])

    wait_for(lambda: counted() == unwanted() > 0, "lost is counted, and resting is not")


def by_name(series: list[Series]) -> dict[str, float]:
    return {labels["job_name"]: value for labels, value in series}


def test_what_is_allowed_to_be_empty_exists() -> None:
    titles = {title for file in FILES for title, _ in targets(load(file))}
    assert set(NO_DATA) | set(NOT_OF_ONE_QUEUE) <= titles
