"""Bad requests in the log: a line a minute, whatever comes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from exporter.log import set_up
from exporter.web import refusals
from exporter.web.refusals import UVICORN, Refusals

MALFORMED = "Invalid HTTP request received."
CROWD = "Exceeded concurrency limit."
SAID = "WARNING exporter.web bad requests"
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
    loop, taken = Loop(), Refusals()
    monkeypatch.setattr(refusals.asyncio, "get_running_loop", lambda: loop)
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    set_up("info", "text")
    uvicorn.addFilter(taken)
    yield loop
    uvicorn.removeFilter(taken)
    root.handlers[:], root.level = before


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The new lines without their time."""
    return [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]


def test_the_first_at_once_and_the_others_together(
    loop: Loop, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in (MALFORMED, MALFORMED, CROWD, MALFORMED, "something else"):
        uvicorn.warning(text)
    assert told(capsys) == [f'{SAID} count=1 detail="1 malformed"']
    loop.pass_a_minute()
    others = "2 malformed, 1 over web.max_concurrent_requests, 1 something else"
    assert told(capsys) == [f'{SAID} count=4 detail="{others}"']


def test_after_a_quiet_minute_the_next_is_told_at_once(
    loop: Loop, capsys: pytest.CaptureFixture[str]
) -> None:
    uvicorn.warning(MALFORMED)
    loop.pass_a_minute()
    assert loop.later == []
    assert len(told(capsys)) == 1
    uvicorn.warning(CROWD)
    assert told(capsys) == [f'{SAID} count=1 detail="1 over web.max_concurrent_requests"']


def test_errors_are_told_as_they_are(loop: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    uvicorn.error("an error")
    uvicorn.warning("No supported WebSocket library detected. Please use …")
    assert told(capsys) == ["ERROR   uvicorn.error an error"]
