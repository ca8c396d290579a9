"""Real Prometheuses keep the durations of jobs as classic histograms, as native ones, and as native
ones that they make of classic ones."""

from __future__ import annotations

import bisect
import contextlib
import math
import random
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
import yaml

from exporter.config.models import Events
from tests.support.daemon import Daemon, daemon
from tests.support.dashboards import FILES, VALUES, filled, load, targets
from tests.support.pages import value
from tests.support.prometheus import NEWEST_PROMETHEUS, PROMETHEUS, Prometheus, prometheus
from tests.support.redis_data import add_queues
from tests.support.servers import valkey
from tests.support.waiting import wait_for

CONFIG = """
poll: {{interval_seconds: 0.3, stale_after_seconds: 30}}
connections: {{api: {{url: "{url}"}}}}
"""
RULES = Path("prometheus/bullmq.rules.yml")
MIGRATION = Path("prometheus/migration")
FLAG = "--enable-feature=native-histograms,exemplar-storage"
EXEMPLARS = "--enable-feature=exemplar-storage"
WORLDS: Mapping[str, tuple[str, tuple[str, ...], Mapping[str, object]]] = {
    "classic": (NEWEST_PROMETHEUS, (EXEMPLARS,), {}),
    "native": (NEWEST_PROMETHEUS, (FLAG,), {}),
    "native, old": (PROMETHEUS, (FLAG,), {}),
    # classic histograms, of which it makes native ones with custom bounds
    "converted": (
        NEWEST_PROMETHEUS,
        (FLAG,),
        {
            "convert_classic_histograms_to_nhcb": True,
            "scrape_protocols": ["OpenMetricsText1.0.0"],
        },
    ),
}
"""Program, arguments and settings of scraping."""
NATIVE = ("native", "native, old")
JOBS = 400
WAIT, RUN = "bullmq_queue_job_wait_seconds", "bullmq_queue_job_run_seconds"


class Durations:
    """The raw durations of jobs, in ms."""

    def __init__(self) -> None:
        draw = random.Random(1)  # noqa: S311 - durations of jobs
        self.wait = [math.ceil(draw.lognormvariate(6, 1)) for _ in range(JOBS)]
        self.run = [math.ceil(draw.lognormvariate(7, 0.5)) for _ in range(JOBS)]

    def exact(self, q: float, name: str) -> float:
        """A quantile in seconds."""
        return sorted({WAIT: self.wait, RUN: self.run}[name])[math.ceil(q * JOBS) - 1] / 1000

    def write(self, client: redis.Redis, key: str) -> None:
        """Write the events of jobs with these durations, from the end of the stream on."""
        begin = int(client.xinfo_stream(key)["last-generated-id"].split(b"-")[0]) + 1
        events = []
        for job, (wait, run) in enumerate(zip(self.wait, self.run, strict=True)):
            times = (begin, begin + wait, begin + wait + run)
            for at, event in zip(times, ("waiting", "active", "completed"), strict=True):
                events.append((at, event, str(job)))
        pipe = client.pipeline(transaction=False)
        for place, (at, event, job) in enumerate(sorted(events, key=lambda each: each[0])):
            pipe.xadd(key, {"event": event, "jobId": job}, id=f"{at}-{place}")
        pipe.execute()


@pytest.fixture(scope="module")
def durations() -> Durations:
    return Durations()


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, redis.Redis]]:
    """An exporter that follows the queue's stream, without durations yet."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(valkey())
        client = server.client()
        add_queues(client, "mail")
        client.xadd("bull:mail:events", {"event": "added", "jobId": "x", "name": "send"})
        config = CONFIG.format(url=server.url)
        running = stack.enter_context(daemon(tmp_path_factory.mktemp("exporter"), config))
        read = "bullmq_queue_events_read_total"
        wait_for(lambda: value(running.samples(), read, queue="mail") is not None, "followed")
        client.xadd("bull:mail:events", {"event": "waiting", "jobId": "x"})
        count = f"{WAIT}_count"
        wait_for(lambda: value(running.samples(), count, queue="mail") == 0, "a histogram")
        yield running, client


@pytest.fixture(scope="module")
def worlds(
    exporter: tuple[Daemon, redis.Redis],
    durations: Durations,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, Prometheus]]:
    """Every Prometheus with all durations: each has scraped the histograms while they were 0."""
    running, client = exporter
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
        targets = {"bullmq": [running.port]}
        starting = [
            prometheus(
                tmp_path_factory.mktemp("prometheus"),
                targets,
                RULES.read_text(),
                *arguments,
                program=program,
                scraping=scraping,
            )
            for program, arguments, scraping in WORLDS.values()
        ]
        found = dict(zip(WORLDS, pool.map(stack.enter_context, starting), strict=True))
        for each in found.values():
            wait_for(lambda each=each: counted(each) == 0, "the histogram was scraped")
        durations.write(client, "bull:mail:events")
        for each in found.values():
            wait_for(lambda each=each: counted(each) == JOBS, "all durations were scraped")
        yield found


def counted(prom: Prometheus) -> float | None:
    """Number of waiting times that Prometheus has."""
    return prom.value(f"sum({WAIT}_count) or sum(histogram_count({WAIT}))")


@pytest.mark.parametrize("world", NATIVE)
@pytest.mark.parametrize("name", [WAIT, RUN])
def test_quantiles_are_within_five_percent_of_the_raw_events(
    worlds: Mapping[str, Prometheus], durations: Durations, world: str, name: str
) -> None:
    for q in (0.5, 0.9, 0.95, 0.99):
        found = worlds[world].value(f"histogram_quantile({q}, sum({name}))")
        assert found == pytest.approx(durations.exact(q, name), rel=0.05)


@pytest.mark.parametrize("world", NATIVE)
def test_a_native_histogram_is_one_series(worlds: Mapping[str, Prometheus], world: str) -> None:
    for name in (WAIT, RUN, "bullmq_connection_ping_seconds"):
        assert worlds[world].query(f"histogram_count({name})")
        assert not worlds[world].query(f"{{__name__=~'{name}_.+'}}")


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", [WAIT, RUN])
def test_recording_rules_have_a_value(
    worlds: Mapping[str, Prometheus], durations: Durations, world: str, name: str
) -> None:
    """Of classic buckets it is as exact as their bounds."""
    found = wait_for(lambda: p95(worlds[world], name), "the rule was evaluated")
    exact = durations.exact(0.95, name)
    if world in NATIVE:
        assert found == pytest.approx(exact, rel=0.05)
    else:
        bounds = {WAIT: Events().wait_buckets, RUN: Events().run_buckets}[name]
        place = bisect.bisect_left(bounds, exact)
        assert bounds[place - 1] <= found <= bounds[place]


def p95(prom: Prometheus, name: str) -> float | None:
    """The recorded quantile once it is a number: without increase yet, it is not."""
    found = prom.value(f"queue:{name}:p95_5m")
    return None if found is None or math.isnan(found) else found


@pytest.mark.parametrize("world", WORLDS)
def test_every_query_for_a_histogram_has_a_value(
    worlds: Mapping[str, Prometheus], world: str
) -> None:
    """Those of the dashboards, and of the rules with the metric names of other exporters."""
    values = VALUES | {"__rate_interval": "5m"}
    queries = [filled(t["expr"], values) for file in FILES for _, t in targets(load(file))]
    rules = [yaml.safe_load(file.read_text()) for file in MIGRATION.glob("*.yml")]
    groups = [group for file in rules for group in file["groups"]]
    queries += [rule["expr"] for group in groups for rule in group["rules"]]
    asking = [expr for expr in queries if re.search("_(job_wait|job_run|ping)_seconds", expr)]
    assert len(asking) > 20
    for expr in asking:  # some need the next evaluation of a rule
        wait_for(lambda expr=expr: worlds[world].get("query", query=expr)["result"], expr)


@pytest.mark.parametrize("world", WORLDS)
def test_exemplars_name_the_slowest_job(
    worlds: Mapping[str, Prometheus], durations: Durations, world: str
) -> None:
    start, end = time.time() - 600, time.time() + 600
    names = f"{{__name__=~'{RUN}(_bucket)?'}}"
    found = worlds[world].get("query_exemplars", query=names, start=str(start), end=str(end))
    exemplars = [each for series in found for each in series["exemplars"]]
    slowest = max(range(JOBS), key=durations.run.__getitem__)
    assert {"job_id": str(slowest)} in [each["labels"] for each in exemplars]


def test_sums_equal_those_of_the_raw_events(
    worlds: Mapping[str, Prometheus], durations: Durations
) -> None:
    for prom in worlds.values():
        total = prom.value(f"sum({WAIT}_sum) or sum(histogram_sum({WAIT}))")
        assert total == pytest.approx(sum(durations.wait) / 1000)
