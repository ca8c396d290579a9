"""Log lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from exporter.log import event, set_up


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], root.level = before


def test_text_lines_can_be_searched(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("info", "text")
    event(logging.getLogger("REDIS"), logging.INFO, "lost", connection="api", none=None, a="b c\n")
    line = capsys.readouterr().err
    assert ' INFO    REDIS lost connection=api a="b c\\n"\n' in line
    assert line.count("\n") == 1


def test_json_has_a_line_for_each_record(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("info", "json")
    event(logging.getLogger("REDIS"), logging.WARNING, "lost", connection="api", tries=2)
    logging.getLogger("x").debug("not shown")
    line = json.loads(capsys.readouterr().err)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "REDIS",
        "message": "lost",
        "connection": "api",
        "tries": 2,
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_stays_in_one_line(capsys: pytest.CaptureFixture[str], form: str) -> None:
    set_up("info", form)
    try:
        raise ValueError("a\nb")
    except ValueError:
        logging.getLogger("x").exception("broken\nhere")
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert "ValueError" in written
