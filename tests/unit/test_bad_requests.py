"""Bad requests in the log: a line a minute, whatever comes."""

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


class Loop:
    """An event loop whose minutes pass when a test says so."""

    def __init__(self) -> None:
        self.later: list[Callable[[], Any]] = []

    def call_later(self, seconds: float, call: Callable[[], Any]) -> None:
        assert seconds == 60
        self.later.append(call)

    def pass_a_minute(self) -> None:
        self.later.pop()()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    loop, taken = Loop(), BadRequestFilter()
    monkeypatch.setattr(bad_requests.asyncio, "get_running_loop", lambda: loop)
    uvicorn.addFilter(taken)
    yield loop
    uvicorn.removeFilter(taken)


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, object]]:
    """Message and fields of the new lines."""
    lines = [(r.getMessage(), getattr(r, "exporter_fields", None)) for r in caplog.records]
    caplog.clear()
    return lines


def said(count: int, detail: str) -> list[tuple[str, object]]:
    return [("bad requests", {"count": count, "detail": detail})]


def test_the_first_at_once_and_the_others_together(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    for text in (MALFORMED, MALFORMED, CROWD, MALFORMED, "something else"):
        uvicorn.warning(text)
    assert told(caplog) == said(1, "1 malformed")
    loop.pass_a_minute()
    others = "2 malformed, 1 over web.max_concurrent_requests, 1 something else"
    assert told(caplog) == said(4, others)


def test_after_a_quiet_minute_the_next_is_told_at_once(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    uvicorn.warning(MALFORMED)
    loop.pass_a_minute()
    assert loop.later == []
    assert len(told(caplog)) == 1
    uvicorn.warning(CROWD)
    assert told(caplog) == said(1, "1 over web.max_concurrent_requests")


def test_errors_are_told_as_they_are(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    uvicorn.error("an error")
    uvicorn.warning("No supported WebSocket library detected. Please use …")
    assert told(caplog) == [("an error", None)]
