"""Parsers of data from Redis: INFO, CLIENT LIST, streams, job hashes, key names."""

from __future__ import annotations

import math
import operator
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exporter.bullmq import (
    CLOCK_TOLERANCE_MS,
    QUEUE_KEYS,
    clock_skew_ms,
    queue_of,
    queue_settings,
    ready_since_ms,
    scan_pattern,
    split_queue_key,
    time_ms,
    worker_names,
)
from exporter.collectors.events.aggregator import Entry, EventAggregator
from exporter.collectors.events.by_job_name import JobNameAggregator, TotalAggregator
from exporter.collectors.queues.subjects.job_times import readiness
from exporter.collectors.server.info import persistence_ok, server_identity, server_values
from exporter.collectors.workers import WorkerNames, count_workers
from exporter.collectors.workers.count import MAX_EXAMPLES
from exporter.connection import ErrorClass, Metadata, RedisFailure, parse_info
from exporter.connection.errors import ReplyError, failure_of
from exporter.connection.slots import Slots, read_slots, redirection
from exporter.exposition.text import number
from exporter.state.keyspaces import Keyspaces
from exporter.state.snapshots import JobEvents
from tests.support.fuzzing.fuzzed_client import anything, number_texts, texts
from tests.support.fuzzing.profile import fuzz

# --- INFO ----------------------------------------------------------------------------------------

_FIELDS = (
    *(b"redis_version", b"run_id", b"role", b"used_memory", b"maxmemory", b"uptime_in_seconds"),
    *(b"server_time_usec", b"mem_fragmentation_ratio", b"connected_slaves", b"master_link_status"),
    *(b"rdb_last_bgsave_time_sec", b"rdb_last_bgsave_status", b"aof_enabled", b"maxmemory_policy"),
    *(b"server_name", b"valkey_version", b"redis_mode", b"evicted_keys", b"maxclients"),
)
info_lines = st.lists(
    st.tuples(st.sampled_from(_FIELDS), st.sampled_from([b":", b"", b"::"]), texts).map(b"".join)
    | texts,
    max_size=12,
)


@fuzz(9)
@given(info_lines, st.sampled_from([b"\r\n", b"\n", b"\r"]))
def test_info(lines: list[bytes], end: bytes) -> None:
    info = parse_info(end.join(lines))
    for value in server_values(info).values():
        assert math.isfinite(value)
        assert len(number(value)) < 30
    assert all(isinstance(text, str) for text in server_identity(info).values())
    assert set(persistence_ok(info)) <= {"rdb", "aof"}
    known = Metadata("n", "h:1", "redis://h:1/0", "0", 0, 0.0).with_info(info)
    assert known.same_keyspace(known) or not known.run_id
    assert Keyspaces().owners([], 0, 15) == {}


# --- CLIENT LIST ---------------------------------------------------------------------------------

QUEUES = [queue_of("bull", name) for name in ("mail", "a:b", "žluť", ":w:", "a b", "")]
names = st.sampled_from([name for queue in QUEUES for name in worker_names(queue)]) | texts
names |= st.builds(operator.mul, st.sampled_from([b":w:", b"bull:mail:w:"]), st.integers(1, 2000))
pairs = st.tuples(
    st.sampled_from(
        [b"id", b"addr", b"name", b"age", b"idle", b"db", b"flags", b"cmd", b"lib-name", b"lib-ver"]
    ),
    names | texts,
).map(b"=".join)
client_lines = st.lists(
    st.lists(pairs | names.map(lambda name: b"db=0 flags=b name=" + name), max_size=6).map(
        b" ".join
    ),
    max_size=8,
)


@fuzz(8)
@given(client_lines, st.binary(max_size=30))
def test_client_list(lines: list[bytes], more: bytes) -> None:
    reply = b"\n".join([*lines, more])
    counts = count_workers(reply.splitlines(), WorkerNames(QUEUES), 0).counts
    assert set(counts) <= set(QUEUES)
    for count in counts.values():
        assert 0 <= count.idle <= count.total or count.total == 0
        assert count.total <= len(lines) + 1
        assert 0 <= count.quiet <= len(lines) + 1
        assert len(count.examples) <= MAX_EXAMPLES
        for worker in count.examples:
            assert worker.connected_seconds >= 0 <= worker.idle_seconds


# --- event streams -------------------------------------------------------------------------------

_EVENTS = (
    *(b"added", b"waiting", b"active", b"completed", b"failed", b"delayed", b"stalled"),
    *(b"removed", b"waiting-children", b"drained", b"progress", b"retries-exhausted"),
    *(b"duplicated", b"deduplicated"),
)
jobs = st.sampled_from([b"1", b"2", b"3", b"", b"\xff", b"x" * 5000])
fields = st.one_of(
    st.tuples(
        st.just(b"event"),
        st.sampled_from(_EVENTS),
        st.just(b"jobId"),
        jobs,
        st.sampled_from([b"prev", b"failedReason", b"name", b"x"]),
        st.sampled_from([b"active", b"delayed", b"waiting-children", b"failed", b"job stalled"])
        | texts,
    ).map(list),
    st.permutations([b"event", b"active", b"jobId", b"1"]).map(list),
    st.lists(texts | st.sampled_from([b"event", b"jobId", *_EVENTS]), max_size=7),
)
times = st.integers(0, 5000) | st.integers(0, (1 << 64) - 1)
entries = st.lists(st.tuples(times.map(lambda ms: b"%d-0" % ms), fields), min_size=1, max_size=25)


def check_events(counted: JobEvents, read: int) -> None:
    names = ("added", "started", "completed", "failed", "retried", "stalled", "duplicated")
    for name in names:
        assert 0 <= getattr(counted, name) <= read
    for histogram in (counted.wait, *counted.runs.values()):
        assert 0 <= histogram.count <= read
        assert list(histogram.counts) == sorted(histogram.counts)
        assert 0 <= histogram.sum < math.inf
    assert counted.wait.count <= counted.started
    assert sum(run.count for run in counted.runs.values()) <= read


@fuzz(9)
@given(entries, st.integers(0, 3), st.integers(1, 25))
def test_events(given_: list[Entry], forget: int, page: int) -> None:
    def create() -> EventAggregator:
        return EventAggregator((1.0, 5.0), (1.0,))

    whole = TotalAggregator(create, {"": create().frozen()})
    parts = TotalAggregator(create, {"": create().frozen()})
    whole.feed(given_)
    for start in range(0, len(given_), page):
        parts.feed(given_[start : start + page])
    assert whole.frozen() == parts.frozen(), "pages of another size tell something else"
    for part in whole.parts:
        for _ in range(forget):
            part.forget_oldest()
        assert part.oldest_ms >= 0
    assert whole.inflight >= 0
    whole.end_of_stream()
    check_events(whole.frozen().jobs[""], len(given_))
    whole.reset()
    assert whole.inflight == 0


@fuzz(5)
@given(entries, st.integers(1, 3), st.booleans())
def test_events_by_job_name(given_: list[Entry], most: int, answered: bool) -> None:
    named = JobNameAggregator((1.0, 5.0), (1.0,), most)
    unnamed = named.unnamed_jobs(given_)
    assert len(set(unnamed)) == len(unnamed)
    if answered:
        named.add_names({job: job for job in unnamed})
    named.feed(given_)
    for part in named.parts:
        while part.inflight:
            before = named.inflight
            job = part.forget_oldest()
            assert job is not None
            named.forget_name(job)
            assert named.inflight == before - 1
    assert named.inflight == 0
    named.end_of_stream()
    frozen = named.frozen()
    assert len(frozen.jobs) <= most + 1
    for counted in frozen.jobs.values():
        check_events(counted, len(given_))


# --- jobs, settings, keys ------------------------------------------------------------------------

optional = st.none() | texts


@fuzz(6)
@given(texts, optional, optional, optional)
def test_times_and_settings(
    job: bytes, created: bytes | None, processed: bytes | None, options: bytes | None
) -> None:
    since = ready_since_ms(job, [created, processed, options])
    assert since is None or math.isfinite(since)
    assert time_ms(created) is None or math.isfinite(time_ms(created) or 0)
    settings = queue_settings([created, processed, options])
    for limit in (settings.concurrency, settings.rate_max):
        assert limit is None or 0 <= limit < 10**20
    assert settings.may_have_markers in (True, False)


digits = st.sampled_from([b"0", b"1", b"999000", b"1000000", b"1009000", b"2000000"])
job_options = st.sampled_from([b"{}", b'{"delay":0}', b'{"delay":9}', b'{"backoff":9}', b"["])


@fuzz(3)
@given(
    st.sampled_from([b"7", b"repeat:7:1003000", b"repeat:x"]),
    st.tuples(
        optional | digits, optional | digits, optional | job_options, *[optional | digits] * 3
    ),
    st.none() | st.sampled_from([990_000, 1_000_000, 1_009_000]),
    st.booleans(),
)
def test_new_jobs_need_no_exception(
    job: bytes, times: tuple[bytes | None, ...], waiting: int | None, put_back: bool
) -> None:
    """Jobs that were never tried are judged faster than others, and the same."""

    class Seen:
        all_seen, events_read, last_start_ms = True, 1, 0

        def ready_since_ms(self, _: bytes) -> tuple[int | None, bool]:
            return waiting, put_back

        def active_since_ms(self, _: bytes) -> int | None:
            return None

    now_ms, skew = 1_000_000.0, clock_skew_ms(job, times, waiting)
    expected = ready_since_ms(job, times, waiting, skew=skew, put_back=put_back), skew or 0.0
    ahead = (time_ms(times[0]) or 0.0) - now_ms
    if skew is None and ahead > CLOCK_TOLERANCE_MS:
        expected = None, ahead
    assert readiness(Seen(), job, times, now_ms) == expected


prefixes = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=3, unique=True)
keys = st.one_of(
    st.binary(max_size=20),
    st.lists(
        st.sampled_from([b"bull", b"mail", b"", b"id", b"meta", b"relay", b"repeat", b"\xff"]),
        max_size=6,
    ).map(b":".join),
)


@fuzz(5)
@given(keys, prefixes, st.sampled_from(QUEUE_KEYS))
def test_keys(key: bytes, given_: list[str], kind: str) -> None:
    raw = sorted((prefix.encode() for prefix in given_), key=len, reverse=True)
    for found in (key, raw[0] + b":" + key + b":" + kind.encode()):
        parts = split_queue_key(found, raw)
        if parts is not None:
            assert b":".join([parts[0], parts[1], parts[2].encode()]) == found
            assert parts[2] in QUEUE_KEYS
            assert parts[1]
    assert scan_pattern(given_).endswith(":[ims][det]*")


# --- clusters and errors -------------------------------------------------------------------------

nodes = st.tuples(
    st.none() | st.sampled_from([b"", b"?", b"h", b"\xff"]), st.integers(0, 70000), texts
).map(list)
slots = st.tuples(st.integers(-1, 16384), st.integers(-1, 16384), nodes, nodes | anything)


@fuzz(2)
@given(st.lists(slots.map(list) | anything, max_size=4) | anything)
def test_cluster_slots(reply: Any) -> None:
    with suppress(RedisFailure):
        found = read_slots(reply, ("h", 1))
        assert isinstance(found, Slots)
        assert len(found.owners) == 16384


words = st.sampled_from(
    ["MOVED", "ASK", "1", "3999", "16384", "h:1", "h:70000", "h:", ":7", "²", ""]
)


@fuzz(3)
@given(st.lists(words | st.text(max_size=8), max_size=5).map(" ".join), number_texts)
def test_error_replies(text: str, more: bytes) -> None:
    error = ReplyError(text)
    assert error.kind in ErrorClass
    assert isinstance(error.refused, str)
    to = redirection(text, ("h", 1))
    assert to is None or (0 <= to.slot < 16384 and 0 <= to.address[1] < 65536)
    assert failure_of(ValueError(more)).kind is ErrorClass.INTERNAL
