"""Names of any characters and bytes: the official parsers read back the same names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.bullmq import Queue, queue_of
from exporter.collectors import Context, Discovery
from exporter.collectors.queues import STATES
from exporter.config.models import Queues
from exporter.connection import RedisFailure
from exporter.exposition import Format, PageWriter, Variant
from exporter.state.snapshots import (
    EventFacts,
    Histogram,
    JobEvents,
    QueueEvents,
    ServerFacts,
    Snapshot,
)
from tests.support.factories import moment, snapshot_of
from tests.support.fuzzing.fuzzed_client import SETTINGS, FuzzedClient
from tests.support.fuzzing.profile import fuzz
from tests.support.pages import Samples, every, parse
from tests.support.stopped_clock import StoppedClock
from tests.support.tables import queue_table

ANY = st.text(max_size=12) | st.text(alphabet='"\\\n\r\t,={}# %s\x00\x85\u2028a', max_size=8)
RUN = Histogram((1.0,), (1,), 0.5, 1)


@pytest.fixture(scope="module", autouse=True)
def _stopped_clock() -> Iterator[None]:
    """No sample becomes stale during a test."""
    with pytest.MonkeyPatch.context() as patch:
        StoppedClock(patch)
        yield


def snapshot(queues: list[Queue], version: str, job: str, policy: str) -> Snapshot:
    """A snapshot with an external string wherever the page can contain one."""
    row = dict.fromkeys((*STATES, "paused"), 1) | {"library_version": version}
    events = JobEvents(1, 1, 1, 0, 0, 0, 0, 0, RUN, {"completed": RUN})
    facts: list[object] = [
        queue_table(queues, [row] * len(queues)),
        EventFacts({queue: QueueEvents(1, 0, {job: events}) for queue in queues}, 0.0, 0),
        ServerFacts({"version": version, "maxmemory_policy": policy}, {"keys": 1.0}, {}),
    ]
    return snapshot_of("api", *facts)


def read(shown: Snapshot, form: Format, name: str) -> Samples:
    page = PageWriter().write(moment(shown))
    return parse(page.body(Variant(form, gzip=False)).decode(), form=name)


def values(samples: Samples, family: str, label: str) -> set[str]:
    return {dict(key[1]).get(label, "") for key in every(samples, family)}


@fuzz(6)
@given(
    st.lists(st.tuples(ANY, ANY), min_size=1, max_size=4, unique=True),
    *(ANY, ANY, ANY),
    st.sampled_from([(Format.TEXT, "text"), (Format.OPENMETRICS, "openmetrics")]),
)
def test_strings_are_read_back_unchanged(
    names: list[tuple[str, str]], version: str, job: str, policy: str, form: tuple[Format, str]
) -> None:
    # two queues with the same key are one queue
    queues = list({q.key: q for q in (queue_of(prefix, name) for prefix, name in names)}.values())
    samples = read(snapshot(queues, version, job, policy), *form)
    found = {
        (dict(key[1])["prefix"], dict(key[1])["queue"])
        for key in every(samples, "bullmq_queue_size")
    }
    assert found == {(queue.prefix, queue.name) for queue in queues}
    assert values(samples, "bullmq_queue_info", "library_version") == {version}
    assert values(samples, "bullmq_queue_jobs_added_total", "job_name") == {job}
    assert values(samples, "bullmq_redis_info", "maxmemory_policy") == {policy}
    assert len(every(samples, "bullmq_queue_job_wait_seconds_bucket")) == 2 * len(queues)


class Scanned(FuzzedClient):
    """A client of a keyspace with these keys."""

    def __init__(self, keys: list[bytes]) -> None:
        super().__init__({"SCAN"}, [[b"0", keys]])
        self.pretend_connected()


raw = st.binary(max_size=8) | st.sampled_from(
    [b"\xff", b"\\xff", b"a:b", b":relay", b"\xed\xa0\x80", b"\n", b'"', b"mail", b"repeat:x"]
)
kinds = st.sampled_from([b"meta", b"id", b"stalled-check", b"wait"])


@fuzz(4)
@given(
    st.lists(st.tuples(raw, kinds), max_size=8),
    st.lists(st.sampled_from(["bull", "bull:a", "é", "{x}", "[*"]), min_size=1, unique=True),
    st.integers(1, 5),
    st.lists(ANY, max_size=2),
)
def test_names_of_any_bytes_are_read_back(
    keys: list[tuple[bytes, bytes]], prefixes: list[str], most: int, static: list[str]
) -> None:
    given_ = [b":".join([p.encode(), name, kind]) for p in prefixes for name, kind in keys]
    discovery = Discovery(Queues(prefixes=tuple(prefixes), max=most, static=tuple(static)))
    while not discovery.step(Context(Scanned(given_), 0.0)):
        pass
    queues = discovery.current().queues
    for queue in queues:
        raw_name = queue.key[len(queue.prefix.encode()) + 1 : -1]
        assert queue.static or queue.name == raw_name.decode("utf-8", "backslashreplace")
        assert queue.static or any(key.startswith(queue.key) for key in given_)
    samples = read(snapshot(list(queues), "", "", ""), Format.TEXT, "text")
    shown = {
        (dict(k[1])["prefix"], dict(k[1])["queue"]) for k in every(samples, "bullmq_queue_size")
    }
    assert shown == {(queue.prefix, queue.name) for queue in queues}
    assert len(shown) == len(queues)


@fuzz(1)
@given(st.lists(st.none() | st.integers() | st.binary(max_size=5) | st.lists(raw), max_size=3))
def test_invalid_scan_pages(reply: list[Any]) -> None:
    client = FuzzedClient({"SCAN"}, [reply])
    client.pretend_connected()
    discovery = Discovery(Queues())
    try:
        discovery.step(Context(client, 0.0))
    except RedisFailure:
        discovery.abandon()
    assert client.settings == SETTINGS
    assert not discovery.current().queues
