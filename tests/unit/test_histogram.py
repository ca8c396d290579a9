"""Snapshots of a growing histogram, and its native buckets."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.exposition.histograms import histogram_message
from exporter.exposition.protobuf import histogram_metric
from exporter.state.histogram import MAX_NATIVE_BUCKETS, SCHEMA, ZERO_THRESHOLD, Buckets
from exporter.state.snapshots import Histogram
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


def test_a_histogram_has_only_the_buckets_that_are_wanted() -> None:
    classic, native = Buckets((0.1, 1.0)), Buckets((), native=True)
    for buckets in (classic, native):
        buckets.observe(500)
    assert not message(classic.frozen()).positive_span
    assert not message(native.frozen()).bucket
    assert [bucket.cumulative_count for bucket in message(classic.frozen()).bucket] == [0, 1]
