"""Counts in captured keyspaces equal those of the library that wrote them."""

from __future__ import annotations

import pytest

from exporter.app import App
from tests.support.keyspaces import NAMES, expected_jobs, keyspace, load_keyspace
from tests.support.pages import jobs, parse, value
from tests.support.servers import Server
from tests.support.watch import config_for


@pytest.mark.parametrize("name", NAMES)
def test_counts_equal_the_librarys_own(any_server: Server, name: str) -> None:
    captured = keyspace(name)
    load_keyspace(any_server.client(), captured)

    page, reached = App(config_for(any_server.url)).page_once()

    assert reached
    samples = parse(page)
    expected = expected_jobs(captured)
    found = jobs(samples)
    assert {key: found[key] for key in expected} == expected
    assert {queue for queue, _ in found} == set(captured["expected_counts"])
    # a state that the library does not have is 0, not absent
    assert all(found[key] == 0 for key in set(found) - set(expected))
    paused = {q: value(samples, "bullmq_queue_paused", queue=q) for q, _ in found}
    assert paused == {q: float(q == "paused-q") for q in paused}
