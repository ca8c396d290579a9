"""Reloads: accepted and refused changes, and what the store forgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter.config.errors import ConfigError, ConfigProblem
from exporter.config.models import Config
from exporter.reload import reload_config
from exporter.state.store import SnapshotStore
from tests.support.factories import snapshot


def config(**sections: Any) -> Config:
    return Config.model_validate({"connections": {"api": {"url": "redis://h"}}, **sections})


def test_a_valid_configuration_is_accepted() -> None:
    current, new = config(), config(poll={"interval_seconds": 1.0})
    assert reload_config(lambda: new, current) == (new, ())


@pytest.mark.parametrize(
    ("path", "sections"),
    [
        ("listen", {"listen": "h:1"}),
        ("web.tls", {"web": {"tls": {"cert_file": Path("a"), "key_file": Path("b")}}}),
        ("web.max_concurrent_requests", {"web": {"max_concurrent_requests": 1}}),
    ],
)
def test_changes_that_need_a_restart_are_refused(path: str, sections: dict[str, Any]) -> None:
    current = config()
    effective, problems = reload_config(lambda: config(**sections), current)
    assert effective is current
    assert problems == (
        f"{path}: cannot be changed by a reload; restart the exporter or restore the old value",
    )


def test_every_error_is_reported() -> None:
    def load() -> Config:
        raise ConfigError("f", [ConfigProblem("a", "is wrong", 1), ConfigProblem("b", "too")])

    current = config()
    assert reload_config(load, current) == (current, ("line 1, a: is wrong", "b: too"))


def test_the_store_forgets_connections_that_are_not_kept() -> None:
    store = SnapshotStore(["api", "worker"])
    for name in ("api", "worker"):
        store.publish(snapshot(name))
    store.changed.clear()
    store.change(["new", "worker", "api"], {"worker"})
    assert [known.connection for known in store.snapshots()] == ["worker"]
    assert store.connections == ("new", "worker", "api")
    assert store.changed.is_set()
