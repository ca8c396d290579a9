"""`/health/queues`: which queues it lists, page by page."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from exporter.state.snapshots import Snapshot
from exporter.state.store import SnapshotStore
from exporter.views.overview import overview
from exporter.views.parameters import QueryError
from exporter.web.background import Background, Known
from exporter.web.queues_health import QueuesQuery, queues_health
from tests.support.factories import config, moment, snapshot
from tests.support.stopped_clock import StoppedClock
from tests.support.waiting import LIMIT_SECONDS

NAMES = [f"q{n:02}" for n in range(10)]
ALL = [("api", "bull", name) for name in NAMES] + [("worker", "bull", "sms"), ("worker", "x", "a")]


def known(*without: str) -> Known:
    """Twelve queues of two connections, without those of these names."""
    kept = {("bull", name): {"waiting": 1} for name in NAMES if name not in without}
    others: Mapping[tuple[str, str], Mapping[str, Any]] = {("bull", "sms"): {}, ("x", "a"): {}}
    return Known(moment(snapshot("api", kept), snapshot("worker", others)))


def asked(found: Known, **parameters: str) -> Any:
    return json.loads(queues_health(found, QueuesQuery.of(parameters)))


def listed(answer: Any) -> list[tuple[str, str, str]]:
    return [(each["connection"], each["prefix"], each["queue"]) for each in answer["queues"]]


def test_all_queues_with_the_verdict() -> None:
    found = known()
    answer = asked(found)
    assert listed(answer) == ALL
    assert (answer["total"], answer["next"]) == (12, None)
    expected = json.loads(json.dumps(found.verdict.as_json() | overview(found.moment).as_json()))
    assert expected.items() <= answer.items()


@pytest.mark.parametrize("limit", [1, 5, 11, 12, 100])
def test_pages_are_complete_and_without_repeats(limit: int) -> None:
    found, after, pages = known(), "", []
    while True:
        answer = asked(found, limit=str(limit), after=after)
        pages.append(listed(answer))
        assert answer["total"] == 12
        if answer["next"] is None:
            break
        after = answer["next"]
    assert all(0 < len(page) <= limit for page in pages)
    assert [each for page in pages for each in page] == ALL


def test_a_page_follows_a_queue_that_is_gone() -> None:
    after = asked(known(), limit="3")["next"]
    assert listed(asked(known("q02"), limit="2", after=after)) == ALL[3:5]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"queue": "q03"}, ALL[3:4]),
        ({"queue": "q0"}, []),
        ({"connection": "worker"}, ALL[10:]),
        ({"prefix": "x"}, ALL[11:]),
        ({"connection": "api", "prefix": "x"}, []),
    ],
)
def test_chosen_queues(parameters: Mapping[str, str], expected: list[Any]) -> None:
    answer = asked(known(), **parameters)
    assert listed(answer) == expected
    assert answer["total"] == len(expected)
    assert answer["findings"] == asked(known())["findings"], "the verdict is about everything"


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"limit": "0"}, "limit: use a number from 1 to 10000"),
        ({"limit": "ten"}, "limit: use a number from 1 to 10000"),
        ({"limit": "9" * 1000}, "limit: use a number from 1 to 10000"),
        ({"after": "x"}, "after: use the value of `next` in the previous page"),
        ({"after": "W10="}, "after: use the value of `next` in the previous page"),
        ({"after": "é"}, "after: use the value of `next` in the previous page"),
        ({"name": "mail"}, "name: unknown parameter; there are connection, prefix, queue, limit"),
        ({"queue": "x" * 2001}, "a parameter is longer than 2000 characters"),
    ],
)
def test_invalid_parameters(parameters: Mapping[str, str], problem: str) -> None:
    with pytest.raises(QueryError) as error:
        QueuesQuery.of(parameters)
    assert str(error.value).startswith(problem)


def test_the_event_loop_does_not_wait_for_a_response() -> None:
    """Another coroutine runs while a response is made."""
    store = SnapshotStore(["api"])
    background, gate = Background(config, store), threading.Event()

    async def both() -> bool:
        response = background.response("slow", lambda _: gate.wait(LIMIT_SECONDS))
        task = asyncio.create_task(response)
        await asyncio.sleep(0)
        gate.set()
        return await task

    assert asyncio.run(both())


def test_requests_that_wait_for_each_other_share_a_response(clock: StoppedClock) -> None:
    """Making it may take longer than it is kept for those that come later."""
    background, made = Background(config, SnapshotStore(["api"])), 0

    def slow(_: Known) -> int:
        nonlocal made
        made += 1
        clock.move(3)
        return made

    first = time.monotonic()
    clock.move(0.001)
    assert [background.make("slow", slow, first) for _ in range(10)] == [1] * 10
    assert background.make("slow", slow, time.monotonic()) == 2


def test_no_queue() -> None:
    empty: Snapshot = snapshot("api")
    answer = asked(Known(moment(empty)))
    assert (answer["queues"], answer["total"], answer["next"]) == ([], 0, None)
