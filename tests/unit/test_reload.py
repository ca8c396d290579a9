"""What a reload takes and refuses, and what the board forgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter.board import Board
from exporter.config import Config, ConfigError, Problem
from exporter.reload import read_anew
from tests.unit.test_exposition import snapshot


def config(**sections: Any) -> Config:
    return Config.model_validate({"connections": {"api": {"url": "redis://h"}}, **sections})


def test_a_new_configuration_is_taken() -> None:
    current, new = config(), config(poll={"interval_seconds": 1.0})
    assert read_anew(lambda: new, current) == (new, ())


@pytest.mark.parametrize(
    ("path", "sections"),
    [
        ("listen", {"listen": "h:1"}),
        ("web.tls", {"web": {"tls": {"cert_file": Path("a"), "key_file": Path("b")}}}),
        ("web.max_concurrent_requests", {"web": {"max_concurrent_requests": 1}}),
    ],
)
def test_what_needs_a_restart_is_refused(path: str, sections: dict[str, Any]) -> None:
    current = config()
    taken, problems = read_anew(lambda: config(**sections), current)
    assert taken is current
    assert problems == (f"{path}: cannot be changed by a reload; restart, or put it back",)


def test_every_mistake_is_told() -> None:
    def load() -> Config:
        raise ConfigError("f", [Problem("a", "is wrong", 1), Problem("b", "too")])

    current = config()
    assert read_anew(load, current) == (current, ("line 1, a: is wrong", "b: too"))


def test_the_board_forgets_what_is_not_kept() -> None:
    board = Board(["api", "worker"])
    for name in ("api", "worker"):
        board.publish(snapshot(name))
    board.changed.clear()
    board.change(["new", "worker", "api"], {"worker"})
    assert [known.connection for known in board.snapshots()] == ["worker"]
    assert board.connections == ("new", "worker", "api")
    assert board.changed.is_set()
