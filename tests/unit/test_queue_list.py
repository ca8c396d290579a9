"""The queues as columns: chosen and in order as their views are."""

from __future__ import annotations

import random
from dataclasses import asdict, replace

import pytest

from exporter.bullmq import queue_of
from exporter.collectors.queues import STATES
from exporter.state.snapshots import Dated, EventFacts, Snapshot
from exporter.state.store import SnapshotStore
from exporter.state.workers import WorkerCount
from exporter.views.moment import Moment, moment_of
from exporter.views.overview import QueueView, last_known, overview
from exporter.views.queue_list import QueueList
from exporter.views.sorting import SORTS, in_order
from tests.support.factories import config, queue_events, snapshot, stuck
from tests.support.stopped_clock import StoppedClock

_NAMES = [f"{kind}-{number}" for number in range(12) for kind in ("mail", "Images", "straße")]
_CONNECTIONS = ("web", "api", "old")


def _snapshot(connection: str, done: int = 0) -> Snapshot:
    """Queues with values of which many are equal, and some unknown; `done` jobs have ended."""
    rng = random.Random(connection)  # noqa: S311 - no secret
    keys = [(rng.choice(("bull", "jobs")), name) for name in rng.sample(_NAMES, len(_NAMES))]
    columns: dict[tuple[str, str], dict[str, float | None]] = {}
    for key in keys:
        row: dict[str, float | None] = {state: rng.choice((0, 1, 7, None)) for state in STATES}
        row["oldest_waiting_seconds"] = rng.choice((None, 0.0, 5.0, 500.0))
        row["oldest_active_seconds"] = rng.choice((None, 1.0, 20.0))
        if rng.random() < 0.5:
            row |= stuck() | {"waiting": rng.randint(1, 9), "paused": rng.choice((0, 1))}
        columns[key] = row
    workers = {key: WorkerCount(rng.randint(1, 3), 1) for key in keys[::2]}
    found = snapshot(connection, columns, workers=workers)
    events = {
        queue_of(*key): queue_events(added=done * n, completed=done, failed=done * (n % 3))
        for n, key in enumerate(keys[::3])
    }
    dated = Dated(EventFacts(events, 0.0, 0), found.at)
    return replace(found, facts={**found.facts, EventFacts: dated})


@pytest.fixture
def known(clock: StoppedClock) -> Moment:
    """Two connections that can be read, with rates, and one that was read a minute ago."""
    store = SnapshotStore(_CONNECTIONS)
    store.publish(_snapshot("old"))
    for done in (1, 9):
        clock.move(30)
        for name in ("web", "api"):
            store.publish(_snapshot(name, done))
    return moment_of(store, config(*_CONNECTIONS))


def _key(view: QueueView) -> tuple[str, str, str]:
    return view.connection, view.prefix, view.queue


def test_the_fixture_has_all_kinds(known: Moment) -> None:
    views = overview(known).queues
    assert {view.reason for view in views} >= {None, "paused", "no_workers"}
    assert len({view.added_per_minute for view in views}) > 3
    assert {view.connection for view in last_known(known)} == {"old"}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sort", SORTS)
def test_the_order_is_that_of_the_views(known: Moment, sort: str, *, reverse: bool) -> None:
    views = [*overview(known).queues, *last_known(known)]
    queues = QueueList(known)
    assert len(queues) == len(views) == 3 * len(_NAMES)
    found = queues.in_order(queues.matching(), sort, reverse=reverse)
    expected = in_order(views, sort, reverse=reverse)
    assert [_key(queues.view(number)) for number in found] == [_key(view) for view in expected]


@pytest.mark.parametrize(
    ("text", "connection", "prefix", "blocked"),
    [
        ("", "", "", True),
        ("STRASSE", "", "", False),
        ("images-1", "api", "", False),
        ("", "old", "jobs", False),
        ("", "old", "", True),
        ("mail", "web", "bull", True),
        ("", "none", "", False),
    ],
)
def test_what_matches(
    known: Moment, text: str, connection: str, prefix: str, *, blocked: bool
) -> None:
    views = [*overview(known).queues, *last_known(known)]
    expected = [
        number
        for number, view in enumerate(views)
        if text.casefold() in view.queue.casefold()
        and connection in ("", view.connection)
        and prefix in ("", view.prefix)
        and (view.reason is not None or not blocked)
    ]
    assert QueueList(known).matching(text, connection, prefix, blocked=blocked) == expected


def test_what_is_known_of_a_queue(known: Moment) -> None:
    views = [*overview(known).queues, *last_known(known)]
    queues = QueueList(known)
    assert [queues.view(number) for number in range(len(queues))] == views
    readable = [queues.queue(number) is not None for number in range(len(queues))]
    assert readable == [view.connection != "old" for view in views]
    assert queues.prefixes() == {"bull", "jobs"}
    with pytest.raises(IndexError):
        queues.view(len(queues))


def test_a_view_as_json_is_what_its_fields_are(known: Moment) -> None:
    for view in overview(known).queues:
        assert _lists(view.as_json()) == _lists(asdict(view))


def _lists(value: object) -> object:
    """JSON has no tuples."""
    if isinstance(value, dict):
        return {name: _lists(each) for name, each in value.items()}
    return [_lists(each) for each in value] if isinstance(value, list | tuple) else value
