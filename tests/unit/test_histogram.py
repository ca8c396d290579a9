"""Snapshots of a growing histogram, and its native buckets."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporter.exposition import Format
from exporter.exposition.histograms import histogram_lines, histogram_message
from exporter.exposition.protobuf import histogram_metric
from exporter.state.histogram import MAX_NATIVE_BUCKETS, SCHEMA, ZERO_THRESHOLD, Buckets
from exporter.state.snapshots import Exemplar, Histogram
from tests.support.native_histograms import native_counts, quantile
from tests.support.protobuf_pages import MetricFamily

Durations = st.lists(st.one_of(st.integers(-5, 10**9), st.floats(0, 1e9)), max_size=60)


def test_a_snapshot_stays_and_the_next_one_has_new_observations() -> None:
    buckets = Buckets((0.1, 1.0), native=True)
    empty = buckets.frozen()
    buckets.observe(500)
    one = buckets.frozen()
    assert buckets.frozen() is one
    buckets.observe(5000)
    both = buckets.frozen()
    buckets.observe(500)
    assert [(h.counts, h.count, h.sum) for h in (empty, one, both)] == [
        ((0, 0), 0, 0.0),
        ((0, 1), 1, 0.5),
        ((0, 1), 2, 5.5),
    ]
    assert [native_counts(message(h)) for h in (empty, one, both)] == [
        {},
        {-16: 1},
        {-16: 1, 38: 1},
    ]


def message(histogram: Histogram) -> object:
    """The histogram as the official class reads it."""
    metric = histogram_metric(b"", histogram_message(histogram, 5.0))
    (found,) = MetricFamily.FromString(metric).metric
    return found.histogram


@given(Durations)
def test_every_duration_is_in_the_bucket_that_contains_it(durations: list[float]) -> None:
    buckets = Buckets((), native=True)
    expected: dict[int, int] = {}
    zeros = 0
    for ms in durations:
        buckets.observe(ms)
        if ms / 1000 <= ZERO_THRESHOLD:
            zeros += 1
        else:
            index = math.ceil(math.log2(ms / 1000) * 2**SCHEMA)
            expected[index] = expected.get(index, 0) + 1
    found = message(buckets.frozen())
    assert (found.schema, found.zero_threshold) == (SCHEMA, ZERO_THRESHOLD)
    assert (found.sample_count, found.zero_count) == (len(durations), zeros)
    assert found.sample_sum == pytest.approx(sum(max(ms, 0) for ms in durations) / 1000)
    assert native_counts(found) == expected
    assert len(found.positive_span) > 0


def test_too_many_buckets_become_half_as_many() -> None:
    buckets = Buckets((), native=True)
    for power in range(MAX_NATIVE_BUCKETS + 1):
        buckets.observe(1000 * 2 ** ((power - 0.5) / 2**SCHEMA))
    assert buckets.frozen().native.schema == SCHEMA - 1
    assert sum(buckets.frozen().native.counts.values()) == MAX_NATIVE_BUCKETS + 1
    # then 1 ms to a day
    for power in range(-160, 260):
        buckets.observe(1000 * 2 ** ((power - 0.5) / 2**SCHEMA))
    native = buckets.frozen().native
    assert native.schema == SCHEMA - 2
    assert len(native.counts) <= MAX_NATIVE_BUCKETS
    assert sum(native.counts.values()) == MAX_NATIVE_BUCKETS + 1 + 420
    assert min(native.counts) == math.ceil(-160 / 4)


@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_quantiles_are_within_five_percent(spread: float) -> None:
    random.seed(1)
    buckets = Buckets((), native=True)
    durations = [math.ceil(random.lognormvariate(8, spread)) for _ in range(5000)]
    for ms in durations:
        buckets.observe(ms)
    found = message(buckets.frozen())
    for q in (0.1, 0.5, 0.95, 0.99):
        exact = sorted(durations)[math.ceil(q * len(durations)) - 1] / 1000
        assert quantile(q, found) == pytest.approx(exact, rel=0.05)


class TestExemplars:
    def exemplar(self, *jobs: tuple[int, bytes, int]) -> Exemplar | None:
        """After these jobs: how long in ms, ID, and when in seconds; each seen by another poll."""
        buckets = Buckets((1.0,), native=True)
        for ms, job, at in jobs:
            buckets.observe(ms, job, at * 1000)
            buckets.frozen()
        return buckets.frozen().exemplar

    def test_it_is_the_slowest_recent_job(self) -> None:
        jobs = ((500, b"a", 1), (700, b"b", 2), (600, b"c", 3))
        assert self.exemplar(*jobs) == Exemplar("b", 0.7, 2)
        assert self.exemplar((700, b"b", 2), (600, b"c", 62)) == Exemplar("c", 0.6, 62)

    def test_of_one_poll_it_is_the_slowest(self) -> None:
        buckets = Buckets(())
        for ms, job in ((5, b"a"), (9, b"b"), (7, b"c")):
            buckets.observe(ms, job, 1000)
        assert buckets.frozen().exemplar == Exemplar("b", 0.009, 1.0)

    def test_an_id_that_is_no_short_text_is_left_out(self) -> None:
        for job in (b"x" * 101, b"\xff", b"a\nb", b"\0", b'a"b', b"a\\b"):
            assert self.exemplar((5, b"a", 1), (9, job, 2)) == Exemplar("a", 0.005, 1)
        assert self.exemplar((5, "zoë:7".encode(), 1)) == Exemplar("zoë:7", 0.005, 1)

    def test_without_a_job_there_is_none(self) -> None:
        assert self.exemplar((5, b"", 1)) is None

    @pytest.mark.parametrize(("bounds", "bucket"), [((0.5, 1.0), 1), ((0.5,), 1), ((), None)])
    def test_it_is_in_the_bucket_that_contains_it(
        self, bounds: tuple[float, ...], bucket: int | None
    ) -> None:
        buckets = Buckets(bounds, native=True)
        buckets.observe(100, b"quick", 5000)
        buckets.observe(700, b"slow", 5250)
        histogram = buckets.frozen()
        found = message(histogram)
        exemplars = [each.exemplar for each in found.bucket if each.HasField("exemplar")]
        if bucket is None:
            assert not exemplars
            exemplars = list(found.exemplars)
        else:
            assert not found.exemplars
            assert found.bucket[bucket].HasField("exemplar")
        (one,) = exemplars
        assert [(pair.name, pair.value) for pair in one.label] == [("job_id", "slow")]
        assert (one.value, one.timestamp.ToMilliseconds()) == (0.7, 5250)
        lines = histogram_lines("x_seconds", 'a="b"', histogram, Format.OPENMETRICS)
        page = f"# TYPE x_seconds histogram\n{lines}# EOF\n"
        (family,) = text_string_to_metric_families(page)
        (shown,) = [sample for sample in family.samples if sample.exemplar]
        assert (shown.exemplar.labels, shown.exemplar.value) == ({"job_id": "slow"}, 0.7)
        assert shown.labels["le"] == (str(bounds[1]) if len(bounds) == 2 else "+Inf")
        assert "#" not in histogram_lines("x_seconds", 'a="b"', histogram, Format.TEXT)


def test_a_histogram_has_only_the_buckets_that_are_wanted() -> None:
    classic, native = Buckets((0.1, 1.0)), Buckets((), native=True)
    for buckets in (classic, native):
        buckets.observe(500)
    assert not message(classic.frozen()).positive_span
    assert not message(native.frozen()).bucket
    assert [bucket.cumulative_count for bucket in message(classic.frozen()).bucket] == [0, 1]
