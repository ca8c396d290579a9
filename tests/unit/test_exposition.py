"""Metrics pages, read by Prometheus' own parsers."""

from __future__ import annotations

import dataclasses
import gzip
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from exporter.bullmq import queue_of
from exporter.collectors.queues import STATES
from exporter.config.models import Config
from exporter.connection import ErrorClass, Metadata
from exporter.exposition import (
    Format,
    Page,
    PageWriter,
    Variant,
    acceptable,
    accepts_gzip,
    choose_format,
)
from exporter.exposition.protobuf import family_header, varint
from exporter.exposition.rows import Rows
from exporter.exposition.sample_column import SampleColumn
from exporter.metrics import CATALOGUE, REDIS_VALUES, Family, MetricType
from exporter.state.failures import FailureClass
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import (
    SYNC_CHECKS,
    Check,
    CollectorReport,
    Dated,
    Discovered,
    EventFacts,
    Histogram,
    JobEvents,
    Pair,
    PrefixCount,
    QueueEvents,
    Reload,
    ServerFacts,
    SloCounts,
    SloFacts,
    Snapshot,
    SyncReport,
)
from exporter.state.unfinished_jobs import Audit, Rebase
from exporter.state.workers import WorkerCount, WorkerFacts
from tests.support.factories import config, moment, queue_events, snapshot_of
from tests.support.pages import Samples, every, jobs, parse, value
from tests.support.protobuf_pages import families, samples_of
from tests.support.tables import queue_table

META = Metadata("n", "h:1", "redis://h:1/0", "0123", 0, 0.0, run_id="r", role="master")
PINGS = Histogram((0.001, 1.0), (1, 2), 0.5, 3)
STALE_AFTER = 15.0
JOBS_COUNTER = Family("jobs_total", MetricType.COUNTER, ("connection", "prefix", "queue"), "", "")
TEXT_FORMATS = (Format.TEXT, Format.OPENMETRICS)
GOLDEN_COLUMNS = (
    "concurrency_limit",
    "events_stream_length",
    "schedulers",
    "schedulers_overdue",
    "oldest_waiting_seconds",
    "oldest_active_seconds",
    "delayed_overdue_jobs",
    "delayed_overdue_seconds",
    "schedulers_overdue_seconds",
    "events_stream_bytes",
    "groups",
    "priority_jobs_from_1",
    "priority_jobs_from_10001",
)
COUNTED = {*STATES, "paused", "library_version"}
EVERY_COLUMN = (
    frozenset(shown.column.name for family in CATALOGUE for shown in family.columns) - COUNTED
)


QUEUE = ("prefix", "queue")


def table(names: list[str], **columns: list[int | None]) -> QueueTable:
    known = dict.fromkeys((*STATES, "paused"), 0)
    rows = [
        known | {key: values[row] for key, values in columns.items()} for row in range(len(names))
    ]
    return queue_table([queue_of("bull", name) for name in names], rows)


def snapshot(name: str = "api", *facts: object, **changes: Any) -> Snapshot:
    """Like `snapshot_of`, but every connection reaches the same server."""
    known = {"metadata": META, "ping_seconds": 0.001, "pings": PINGS, "since": 1e9}
    return snapshot_of(name, *facts, **(known | changes))


def page(
    *snapshots: Snapshot,
    form: Format = Format.TEXT,
    sync: SyncReport | None = None,
    reload: Reload | None = None,
    settings: Config | None = None,
) -> str:
    written = PageWriter().write(moment(*snapshots, sync=sync, reload=reload, settings=settings))
    return written.body(Variant(form, gzip=False)).decode()


def sync_report(pair: Pair | None = None, ago: float = 0.0) -> SyncReport:
    checks = {name: Check(ok=True, seconds=0.1, detail="") for name in SYNC_CHECKS}
    pair = pair or Pair(
        "api", "api", checks, propagation_seconds=0.001, seconds=0.3, runs=1, since=1e9
    )
    return SyncReport(time.monotonic() - ago, 1e9, 0.4, 90.0, (pair,), {"api": META})


def full(columns: Iterable[str] = EVERY_COLUMN) -> Snapshot:
    """A snapshot with a sample of every family; of the queue columns, only these."""
    values = {name: [1] for name in columns}
    values |= {"rate_limit_remaining_seconds": [0.25], "library_version": ["bullmq:5.0.0"]}
    server = ServerFacts(
        {"version": "7.0.15", "mode": "standalone", "role": "master", "maxmemory_policy": ""},
        dict.fromkeys(REDIS_VALUES, 2.0),
        {"rdb": True, "aof": False},
    )
    report = CollectorReport(True, 0.5, 1e9, {ErrorClass.TIMEOUT: 2})
    found = Discovered((), {"bull": PrefixCount(1, 2)})
    workers = WorkerFacts({queue_of("bull", "mail"): WorkerCount(3, 1)})
    run = Histogram((0.5, 5.0), (1, 2), 3.5, 3)
    jobs = JobEvents(9, 8, 5, 1, 2, 1, 4, 3, run, {"completed": run})
    failures = {"timeout": FailureClass(2, 1, 2, b"7", b"timeout")}
    audit = Audit(2, 1e9, rebases={Rebase.CLEAN: 1})
    events = QueueEvents(40, 3, {"": jobs}, 1e9, failures, audit)
    mail = queue_of("bull", "mail")
    slo = SloFacts("mail-start", 0.995, 30, SloCounts(9, 1, 60.5, 2.25))
    facts = (
        table(["mail"], **values),
        EventFacts({mail: events}, 0.5, 7, {mail: (slo,)}),
        workers,
        server,
        found,
    )
    return snapshot("api", *facts, reports={"queues": report, "discovery": report})


def targets(pattern: str = "ma*") -> Config:
    """A configuration with all four targets for the queues that match."""
    values = {"wait_seconds": 60, "run_seconds": 70, "failure_ratio": 0.5, "silent_seconds": 80}
    return config("api", queues={"targets": {pattern: values, "*": {"wait_seconds": 5}}})


def isolated() -> tuple[Snapshot, Snapshot]:
    """A queue with its jobs on one connection and its workers on another."""
    long_ago = time.monotonic() - 100
    jobs = table(["mail"], waiting=[1], ready_since=[long_ago], still_since=[long_ago], has_id=[1])
    ghost = table(["mail"], ready_since=[None], still_since=[None], has_id=[0])
    here = WorkerFacts({queue_of("bull", "mail"): WorkerCount(1, 1)})
    metadata = [dataclasses.replace(META, run_id=run_id) for run_id in ("r2", "r3")]
    return (
        snapshot("producer", jobs, WorkerFacts({}), metadata=metadata[0]),
        snapshot("consumer", ghost, here, metadata=metadata[1]),
    )


def test_only_queues_with_a_target_have_target_samples() -> None:
    name, jobs = "bullmq_queue_target_{}".format, table(["mail", "images"])
    samples = parse(page(snapshot("api", jobs), settings=targets()))
    mail = {"wait_seconds": 60, "run_seconds": 70, "failure_ratio": 0.5, "silent_seconds": 80}
    for target, expected in mail.items():
        assert value(samples, name(target), queue="mail") == expected
        assert value(samples, name(target), queue="images") == {"wait_seconds": 5}.get(target)


def test_new_targets_show_on_the_next_page() -> None:
    writer, api = PageWriter(), snapshot("api", table(["mail"]))
    name = "bullmq_queue_target_wait_seconds"
    for settings, expected in ((targets(), 60), (targets("x*"), 5), (config("api"), None)):
        written = writer.write(moment(api, settings=settings))
        assert (
            value(parse(written.body(Variant(Format.TEXT, gzip=False)).decode()), name) == expected
        )


def test_samples_of_slos() -> None:
    samples = parse(page(full()))
    shown = {
        name.removeprefix("bullmq_slo_"): number
        for (name, labels), number in samples.items()
        if ("slo", "mail-start") in labels and ("queue", "mail") in labels
    }
    assert shown == {
        "objective_ratio": 0.995,
        "target_seconds": 30,
        "jobs_total": 9,
        "late_jobs_total": 1,
        "seconds_total": 60.5,
        "late_seconds_total": 2.25,
    }


def test_slos_are_of_the_queues_that_are_shown() -> None:
    """And a page with another SLO has no sample of the previous one."""
    writer, mail, sms = PageWriter(), queue_of("bull", "mail"), queue_of("bull", "sms")
    for shown, name in ((mail, "a"), (sms, "b"), (mail, "b")):
        slos = {queue: (SloFacts(name, 0.9, 30, SloCounts()),) for queue in (mail, sms)}
        facts = EventFacts({}, 0.0, 0, slos)
        written = writer.write(moment(snapshot("api", table([shown.name]), facts)))
        samples = parse(written.body(Variant(Format.TEXT, gzip=False)).decode())
        labels = {each for key, each in samples if key == "bullmq_slo_jobs_total"}
        assert labels == {
            frozenset(
                {("connection", "api"), ("prefix", "bull"), ("queue", shown.name), ("slo", name)}
            )
        }


@pytest.mark.parametrize("form", TEXT_FORMATS)
def test_every_family_of_the_catalogue_is_on_a_full_page(form: Format) -> None:
    reload = Reload(successful=True, success_time=1e9)
    text = page(
        *isolated(), full(), form=form, sync=sync_report(), reload=reload, settings=targets()
    )
    samples = parse(text, form="text" if form is Format.TEXT else "openmetrics")
    shown = {name for name, _ in samples}
    for family in CATALOGUE:
        suffix = "_count" if family.kind == "histogram" else ""
        assert family.name + suffix in shown, "add its facts to `full`"
        assert text.count(f"# TYPE {_family(family.name, form)} {family.kind}\n") == 1


def _family(name: str, form: Format) -> str:
    return name.removesuffix("_total") if form is Format.OPENMETRICS else name


def test_labels_match_the_catalogue() -> None:
    samples = parse(page(*isolated(), full(), sync=sync_report(), settings=targets()))
    for family in CATALOGUE:
        for name, labels in samples:
            if name == family.name:
                assert {label for label, _ in labels} == set(family.labels)


def test_all_formats_have_the_same_samples() -> None:
    written = full_page()
    bodies = {form: written.body(Variant(form, gzip=False)) for form in Format}
    text = parse(bodies[Format.TEXT].decode())
    openmetrics = parse(bodies[Format.OPENMETRICS].decode(), form="openmetrics")
    protobuf = samples_of(bodies[Format.PROTOBUF])
    assert without_empty_labels(ours(text)) == without_empty_labels(ours(openmetrics))
    assert without_empty_labels(ours(text)) == ours(protobuf)
    assert bodies[Format.OPENMETRICS].endswith(b"# EOF\n")
    name = "process_resident_memory_bytes"
    assert all(any(key[0] == name for key in each) for each in (text, openmetrics, protobuf))


def ours(samples: Samples) -> Samples:
    return {key: value for key, value in samples.items() if key[0].startswith("bullmq")}


def without_empty_labels(samples: Samples) -> Samples:
    """To Prometheus, an empty label is none; protobuf leaves it out."""
    return {
        (name, frozenset(label for label in labels if label[1])): value
        for (name, labels), value in samples.items()
    }


def full_page() -> Page:
    """A page with every family, whose series have begun on an earlier one."""
    writer = PageWriter()
    reload = Reload(successful=True, success_time=1e9)
    for _ in range(2):
        known = moment(*isolated(), full(), sync=sync_report(), reload=reload, settings=targets())
        written = writer.write(known)
    return written


@pytest.fixture(name="protobuf", scope="module")
def protobuf_page() -> dict[str, Any]:
    """The families of the full page in protobuf."""
    body = full_page().body(Variant(Format.PROTOBUF, gzip=False))
    return {family.name: family for family in families(body)}


class TestProtobuf:
    def test_every_family_is_there_once_with_its_type_help_and_unit(
        self, protobuf: dict[str, Any]
    ) -> None:
        types = {"counter": 0, "gauge": 1, "histogram": 4}
        for family in CATALOGUE:
            found = protobuf[family.name]
            assert (found.type, found.help) == (types[family.kind], family.help)
            unit = family.unit if family.name.endswith(f"_{family.unit}") else ""
            assert found.unit == unit
            assert found.metric

    def test_counters_and_histograms_say_since_when_they_count(
        self, protobuf: dict[str, Any]
    ) -> None:
        """Except those of Redis: CONFIG RESETSTAT resets them, and INFO does not say when."""
        of_redis = {family.name for family in REDIS_VALUES.values()}
        for family in CATALOGUE:
            if family.name not in of_redis and family.kind != "gauge":
                for metric in protobuf[family.name].metric:
                    counts = getattr(metric, family.kind)
                    assert counts.HasField("created_timestamp"), family.name
                    assert 1e9 <= counts.created_timestamp.seconds <= time.time()

    def test_a_series_counts_since_its_first_page(self) -> None:
        writer, queue = PageWriter(), queue_of("bull", "mail")
        found = []
        for at, names in ((1e9, "a"), (1e9 + 5, "ab"), (1e9 + 10, "ab")):
            jobs = {name: queue_events(added=3).jobs[""] for name in names}
            facts = EventFacts({queue: QueueEvents(9, 0, jobs)}, 0.0, 0)
            known = moment(snapshot("api", table(["mail"]), facts, time=at))
            body = writer.write(known).body(Variant(Format.PROTOBUF, gzip=False))
            pages = {family.name: family for family in families(body)}
            found.append(
                [
                    (metric.counter.created_timestamp.seconds - 1e9, metric.counter.value)
                    for metric in pages["bullmq_queue_jobs_added_total"].metric
                ]
            )
        assert found == [[(0, 0)], [(0, 3), (5, 0)], [(0, 3), (5, 3)]]

    @given(
        st.lists(
            st.tuples(
                st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200),
                st.one_of(st.none(), st.integers(0, 3), st.floats(allow_nan=False)),
            ),
            unique_by=lambda row: row[0],
            max_size=30,
        )
    )
    def test_any_column_survives_the_round_trip(self, rows: list[tuple[str, float | None]]) -> None:
        family = next(each for each in CATALOGUE if each.name == "bullmq_queue_size")
        names = family.labels[:-1]
        for created, each in ((None, family), ([5.0] * len(rows), JOBS_COUNTER)):
            extra = ("waiting",) if each is family else ()
            labels = Rows(names, [("api", "bull", name) for name, _ in rows], created)
            samples = SampleColumn(each, labels, extra).samples([value for _, value in rows])
            known = {name: value for name, value in rows if value is not None}
            assert (samples is None) == (not known)
            if samples is not None:
                part = samples.part(Format.PROTOBUF).text
                found = samples_of(framed(each, part))
                assert {dict(key[1])["queue"]: value for key, value in found.items()} == known


def framed(family: Family, part: bytes) -> bytes:
    """A page of one family."""
    fields = family_header(family)
    return varint(len(fields) + len(part)) + fields + part


def test_golden_page() -> None:
    lines = [
        line
        for line in page(full(GOLDEN_COLUMNS)).splitlines()
        if line.startswith(("bullmq_queue", "bullmq_conn", "bullmq_exporter_q", "bullmq_up"))
        and not line.startswith(
            ("bullmq_queue_job", "bullmq_queue_events_read", "bullmq_queue_events_lost")
        )
    ]
    q = 'connection="api",prefix="bull",queue="mail"'
    assert lines == [
        'bullmq_up{connection="api"} 1',
        'bullmq_connection_info{connection="api",database="api",url_hash="0123",run_id="r",db="0",'
        'role="master"} 1',
        'bullmq_connection_ping_seconds_bucket{connection="api",le="0.001"} 1',
        'bullmq_connection_ping_seconds_bucket{connection="api",le="1.0"} 2',
        'bullmq_connection_ping_seconds_bucket{connection="api",le="+Inf"} 3',
        'bullmq_connection_ping_seconds_sum{connection="api"} 0.5',
        'bullmq_connection_ping_seconds_count{connection="api"} 3',
        'bullmq_connection_writes_refused{connection="api"} 0',
        'bullmq_connection_reconnects_total{connection="api"} 0',
        'bullmq_exporter_queues{connection="api",prefix="bull"} 1',
        'bullmq_exporter_queues_dropped{connection="api",prefix="bull"} 2',
        *(f'bullmq_queue_size{{{q},state="{state}"}} 0' for state in STATES),
        f'bullmq_queue_priority_jobs{{{q},band="1-10"}} 1',
        f'bullmq_queue_priority_jobs{{{q},band="10001+"}} 1',
        f"bullmq_queue_paused{{{q}}} 0",
        *(f"bullmq_queue_{name}{{{q}}} 1" for name in GOLDEN_COLUMNS[4:8]),
        f"bullmq_queue_schedulers{{{q}}} 1",
        f"bullmq_queue_schedulers_overdue{{{q}}} 1",
        f"bullmq_queue_schedulers_overdue_seconds{{{q}}} 1",
        f"bullmq_queue_workers{{{q}}} 3",
        f"bullmq_queue_drain_seconds{{{q}}} 0.0",
        f"bullmq_queue_workers_needed{{{q}}} 3",
        f"bullmq_queue_concurrency_limit{{{q}}} 1",
        f"bullmq_queue_rate_limit_remaining_seconds{{{q}}} 0.25",
        f"bullmq_queue_events_stream_length{{{q}}} 1",
        f"bullmq_queue_events_stream_bytes{{{q}}} 1",
        f"bullmq_queue_groups{{{q}}} 1",
        f'bullmq_queue_info{{{q},library_version="bullmq:5.0.0"}} 1',
        f"bullmq_queue_last_added_timestamp_seconds{{{q}}} 1000000000.0",
        f'bullmq_queue_audit_rebases_total{{{q},reason="clean"}} 0',
    ]


class Gauges:
    """A collector that exposes the same table with prometheus_client."""

    def __init__(self, found: QueueTable) -> None:
        self._table = found

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("bullmq_queue_size", "", labels=["connection", *QUEUE, "state"])
        for state in STATES:
            for queue, count in zip(
                self._table.queues, self._table.column(STATES[state]), strict=True
            ):
                family.add_metric(["api", queue.prefix, queue.name, state], count)
        yield family


def test_samples_equal_those_of_prometheus_client() -> None:
    names = [f"queue-{number:05d}" for number in range(1000)]
    counts = {
        state: [n * 7 % 1000 + row for n in range(len(names))] for row, state in enumerate(STATES)
    }
    found = table(names, **counts)
    registry = CollectorRegistry()
    registry.register(Gauges(found))
    assert lines_of(page(snapshot("api", found))) == lines_of(generate_latest(registry).decode())


def lines_of(text: str) -> list[tuple[str, float]]:
    """The family's series with their values; 1 and 1.0 are equal."""
    lines = [line for line in text.splitlines() if line.startswith("bullmq_queue_size{")]
    assert len(lines) == 1000 * len(STATES)
    return sorted((line.rpartition(" ")[0], float(line.rpartition(" ")[2])) for line in lines)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), unique=True, max_size=5))
def test_any_name_survives_the_round_trip(names: list[str]) -> None:
    counts = list(range(len(names)))
    written = page(snapshot("api", table(names, waiting=counts)))
    found = jobs(parse(written))
    assert {name: found[(name, "waiting")] for name in names} == dict(
        zip(names, counts, strict=True)
    )


def test_unknown_values_are_absent() -> None:
    written = page(snapshot("api", table(["a", "b"], waiting=[None, 5], failed=[None, None])))
    found = jobs(parse(written))
    assert ("a", "waiting") not in found
    assert found[("b", "waiting")] == 5
    assert not [key for key in found if key[1] == "failed"]


def test_the_page_follows_changes_of_the_queues() -> None:
    writer = PageWriter()
    variant = Variant(Format.TEXT, gzip=False)
    first = writer.write(moment(snapshot("api", table(["a", "100%"], waiting=[1, 2]))))
    again = writer.write(moment(snapshot("api", table(["b"], waiting=[3]))))
    assert jobs(parse(first.body(variant).decode()))[("100%", "waiting")] == 2
    assert {queue for queue, _ in jobs(parse(again.body(variant).decode()))} == {"b"}


class TestStaleness:
    def test_fresh_samples_outlive_a_failed_poll(self) -> None:
        old = Dated(table(["a"]), time.monotonic() - 10)
        samples = parse(page(snapshot(up=False, facts={QueueTable: old})))
        assert value(samples, "bullmq_up") == 0
        assert jobs(samples)

    def test_stale_samples_are_withdrawn(self) -> None:
        old = Dated(table(["a"]), time.monotonic() - 16)
        samples = parse(page(snapshot(up=False, facts={QueueTable: old})))
        assert not jobs(samples)

    def test_a_connection_whose_poller_is_silent_is_not_up(self) -> None:
        assert value(parse(page(snapshot(ago=16))), "bullmq_up") == 0

    def test_a_page_expires_with_its_oldest_sample(self) -> None:
        written = PageWriter().write(moment(snapshot("api", table(["a"]), ago=5)))
        assert written.expires_at - time.monotonic() == pytest.approx(10)


class TestSync:
    def test_a_failed_pair(self) -> None:
        pair = Pair("api", "api", {"writable": Check(ok=False, seconds=0.1, detail="OOM")})
        samples = parse(page(sync=sync_report(pair)))
        assert value(samples, "bullmq_sync_success") == 0
        assert value(samples, "bullmq_sync_check_success", check="writable") == 0
        assert value(samples, "bullmq_sync_check_success", check="set_get") is None

    def test_an_unpermitted_pair_has_no_samples(self) -> None:
        samples = parse(page(sync=sync_report(Pair("api", "api", {}, not_permitted="set"))))
        assert not [name for name, _ in samples if name.startswith("bullmq_sync")]

    def test_an_old_round_is_withdrawn(self) -> None:
        assert value(parse(page(sync=sync_report(ago=89))), "bullmq_sync_success") == 1
        assert value(parse(page(sync=sync_report(ago=91))), "bullmq_sync_success") is None


class TestKeyspaces:
    def test_the_first_connection_shows_the_queues(self) -> None:
        snapshots = [snapshot("api", table(["a"])), snapshot("worker", table(["a"]))]
        samples = parse(page(*snapshots))
        assert {dict(key[1])["connection"] for key in every(samples, "bullmq_queue_size")} == {
            "api"
        }
        assert value(samples, "bullmq_connection_info", connection="worker", database="api") == 1


class TestNegotiation:
    @pytest.mark.parametrize(
        ("accept", "form"),
        [
            ("", Format.TEXT),
            ("*/*", Format.TEXT),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format.TEXT),
            ("application/openmetrics-text", Format.OPENMETRICS),
            ("application/openmetrics-text;version=9.0.0,*/*;q=0.1", Format.TEXT),
            ("application/openmetrics-text;q=0.3,text/plain;version=0.0.4;q=0.5", Format.TEXT),
            ("application/openmetrics-text;q=0, text/plain;q=0", None),
            ("application/openmetrics-text;version=9.0.0", None),
            ("application/json", None),
            ("text/html, application/json;q=0.1", None),
            ("*/*;q=0", None),
            # the most specific range wins
            ("text/plain;q=0, */*", Format.OPENMETRICS),
            ("text/plain;version=0.0.4;q=0, text/*", None),
            ("text/*;q=0, application/*", Format.OPENMETRICS),
            # among equals, the first
            ("text/plain, application/openmetrics-text", Format.TEXT),
            ("application/openmetrics-text, text/plain", Format.OPENMETRICS),
            # Java, curl, Prometheus 1, 2.5 and 3, vmagent, axios, a browser
            ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", Format.TEXT),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
                "encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
                Format.PROTOBUF,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
                "encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,"
                "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;"
                "q=0.5,*/*;q=0.1",
                Format.PROTOBUF,
            ),
            ("application/vnd.google.protobuf;encoding=text,text/plain;q=0.1", Format.TEXT),
            ("application/vnd.google.protobuf;proto=other", None),
            ("application/vnd.google.protobuf;q=0.1,text/plain;q=0.5", Format.TEXT),
            ("application/*", Format.OPENMETRICS),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
                "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;"
                "escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                Format.OPENMETRICS,
            ),
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Format.TEXT),
            ("application/json, text/plain, */*", Format.TEXT),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
                "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format.OPENMETRICS,
            ),
            ("garbage;;;q=x,,", Format.TEXT),
        ],
    )
    def test_choose_format(self, accept: str, form: Format | None) -> None:
        assert choose_format(accept) is form

    @pytest.mark.parametrize(
        ("accept", "allowed"),
        [("", True), ("*/*", True), ("application/*", True), ("Application/JSON;q=0.1", True)]
        + [("application/json;q=0", False), ("text/html", False), ("text/html,*/*;q=0.8", True)]
        + [("application/json;q=0,*/*", False), ("x", True), (",;=,", True)],
    )
    def test_acceptable(self, accept: str, allowed: bool) -> None:
        assert acceptable(accept, "application/json") is allowed

    @pytest.mark.parametrize(
        ("header", "accepted"),
        [("", False), ("gzip", True), ("deflate, gzip;q=0.5", True), ("gzip;q=0", False)]
        + [("*", True), ("br", False), ("identity", False), ("gzip;q=0, *", False)],
    )
    def test_accepts_gzip(self, header: str, accepted: bool) -> None:
        assert accepts_gzip(header) is accepted


@pytest.mark.parametrize("form", list(Format))
def test_the_gzipped_page_equals_the_plain_one(form: Format) -> None:
    written = PageWriter().write(moment(full()))
    plain = written.body(Variant(form, gzip=False))
    assert gzip.decompress(written.body(Variant(form, gzip=True))) == plain
