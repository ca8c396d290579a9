"""Snapshots of a growing histogram."""

from __future__ import annotations

from exporter.state.histogram import Buckets


def test_a_snapshot_stays_and_the_next_one_has_new_observations() -> None:
    buckets = Buckets((0.1, 1.0))
    empty = buckets.frozen()
    buckets.observe(0.5)
    one = buckets.frozen()
    assert buckets.frozen() is one
    buckets.observe(5.0)
    both = buckets.frozen()
    assert [(h.counts, h.count, h.sum) for h in (empty, one, both)] == [
        ((0, 0), 0, 0.0),
        ((0, 1), 1, 0.5),
        ((0, 1), 2, 5.5),
    ]
