"""Bad requests are logged at most once a minute."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from exporter.web import bad_requests
from exporter.web.bad_requests import UVICORN, BadRequestFilter

MALFORMED = "Invalid HTTP request received."
CROWD = "over web.max_concurrent_requests"
uvicorn = logging.getLogger(UVICORN)


class FakeLoop:
    """An event loop whose timers fire on request."""

    def __init__(self) -> None:
        self.later: list[Callable[[], Any]] = []

    def call_later(self, seconds: float, call: Callable[[], Any]) -> None:
        assert seconds == 60
        self.later.append(call)

    def pass_a_minute(self) -> None:
        self.later.pop()()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLoop]:
    loop, installed = FakeLoop(), BadRequestFilter()
    monkeypatch.setattr(bad_requests.asyncio, "get_running_loop", lambda: loop)
    uvicorn.addFilter(installed)
    yield loop
    uvicorn.removeFilter(installed)


def new_records(caplog: pytest.LogCaptureFixture) -> list[tuple[str, object]]:
    """Message and fields of the log records since the last call."""
    lines = [(r.getMessage(), getattr(r, "exporter_fields", None)) for r in caplog.records]
    caplog.clear()
    return lines


def bad_requests_record(count: int, detail: str) -> list[tuple[str, object]]:
    return [("bad requests", {"count": count, "detail": detail})]


def test_the_first_is_logged_at_once_and_the_next_ones_in_one_line(
    loop: FakeLoop, caplog: pytest.LogCaptureFixture
) -> None:
    for text in (MALFORMED, MALFORMED, CROWD, MALFORMED, "something else"):
        uvicorn.warning(text)
    assert new_records(caplog) == bad_requests_record(1, "1 malformed")
    loop.pass_a_minute()
    others = "2 malformed, 1 over web.max_concurrent_requests, 1 something else"
    assert new_records(caplog) == bad_requests_record(4, others)


def test_after_a_quiet_minute_the_next_is_logged_at_once(
    loop: FakeLoop, caplog: pytest.LogCaptureFixture
) -> None:
    uvicorn.warning(MALFORMED)
    loop.pass_a_minute()
    assert loop.later == []
    assert len(new_records(caplog)) == 1
    uvicorn.warning(CROWD)
    assert new_records(caplog) == bad_requests_record(1, "1 over web.max_concurrent_requests")


def test_other_messages_of_uvicorn_are_unchanged(
    loop: FakeLoop, caplog: pytest.LogCaptureFixture
) -> None:
    uvicorn.error("an error")
    uvicorn.warning("No supported WebSocket library detected. Please use …")
    assert new_records(caplog) == [("an error", None)]
