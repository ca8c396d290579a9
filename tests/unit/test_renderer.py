"""A page that cannot be rendered: its values are withdrawn when they are stale."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from exporter.exposition import Format, PageWriter, Renderer, Variant
from exporter.state.store import SnapshotStore
from exporter.web.routes import hung_parts, untried
from tests.support.factories import config, snapshot
from tests.support.pages import Samples, parse, value
from tests.support.stopped_clock import StoppedClock

CONFIG = config("a", "b")
STALE_AFTER = CONFIG.poll.stale_after_seconds


@pytest.fixture
def store() -> SnapshotStore:
    store = SnapshotStore(["a", "b"])
    for name in store.connections:
        store.publish(snapshot(name, {("bull", "mail"): {"waiting": 1}}))
    return store


@pytest.fixture
def renderer(store: SnapshotStore) -> Renderer:
    return Renderer(store, lambda: CONFIG)


def test_a_history_that_cannot_be_recorded_does_not_cost_the_page(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("zip() argument 2 is shorter than argument 1")

    monkeypatch.setattr("exporter.exposition.renderer.record_histories", fail)
    for _ in range(3):
        renderer.render()
    assert value(served(renderer), "bullmq_up", connection="a") == 1
    assert renderer.failing_seconds(time.monotonic()) == 0
    assert [record.message for record in caplog.records] == [
        "the history could not be recorded; please report this bug"
    ]


def served(renderer: Renderer) -> Samples:
    return parse(renderer.body(Variant(Format.TEXT, gzip=False)).decode())


def test_a_connection_is_tried_once_the_page_shows_it(clock: StoppedClock) -> None:
    """After `/-/ready`, the next page has every connection."""
    store = SnapshotStore(["a", "b"])
    renderer = Renderer(store, lambda: CONFIG)
    for name in store.connections:
        store.publish(snapshot(name))
    assert untried(CONFIG, store, renderer) == ["a", "b"]
    renderer.render()
    assert untried(CONFIG, store, renderer) == []


def test_a_page_that_cannot_be_rendered_is_not_waited_for(
    broken: Callable[[], None], clock: StoppedClock
) -> None:
    store = SnapshotStore(["a", "b"])
    renderer = Renderer(store, lambda: CONFIG)
    store.publish(snapshot("a"))
    broken()
    renderer.render()
    clock.move(1)
    assert untried(CONFIG, store, renderer) == ["b"]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make every page fail until `monkeypatch.undo`."""

    def fail(*_: object) -> None:
        raise ValueError("zip() argument 2 is shorter than argument 1")

    return lambda: monkeypatch.setattr(PageWriter, "write", fail)


def test_the_previous_page_is_served_until_its_values_are_stale(
    renderer: Renderer, broken: Callable[[], None], clock: StoppedClock
) -> None:
    broken()
    renderer.render()
    assert value(served(renderer), "bullmq_up", connection="a") == 1
    clock.move(STALE_AFTER + 1)
    renderer.render()
    samples = served(renderer)
    assert {name for name, _ in samples if name.startswith("bullmq_")} == {
        "bullmq_exporter_build_info",
        "bullmq_exporter_render_failures_total",
    }
    assert value(samples, "bullmq_exporter_render_failures_total") == 2


def test_after_a_minute_the_exporter_is_unhealthy(
    renderer: Renderer, store: SnapshotStore, broken: Callable[[], None], clock: StoppedClock
) -> None:
    broken()
    renderer.render()
    renderer.start()
    try:
        for _ in range(61):
            clock.move(1)
            for name in store.connections:
                store.publish(snapshot(name))
        (problem,) = hung_parts(CONFIG, store, renderer)
        assert problem == "the metrics page could not be rendered for 61 s; see the log"
    finally:
        renderer.stop()


def test_the_next_page_restores_everything(
    renderer: Renderer,
    store: SnapshotStore,
    broken: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    clock: StoppedClock,
) -> None:
    broken()
    for _ in range(3):
        renderer.render()
    assert renderer.failing_seconds(time.monotonic()) == 0
    monkeypatch.undo()
    renderer.render()
    samples = served(renderer)
    assert value(samples, "bullmq_up", connection="b") == 1
    assert value(samples, "bullmq_exporter_render_failures_total") == 3


def test_failures_are_logged_once_a_minute(
    renderer: Renderer,
    broken: Callable[[], None],
    clock: StoppedClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken()
    for _ in range(100):
        renderer.render()
        clock.move(1)
    assert [record.exc_info is not None for record in caplog.records] == [True, True]
