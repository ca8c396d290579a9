"""Which connections share a keyspace and which one reads it, across reconnects and losses."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from exporter.connection import Metadata
from exporter.state.keyspaces import Keyspaces
from exporter.state.snapshots import Check, CollectorReport, Pair, Snapshot, SyncReport
from tests.support.factories import snapshot_of
from tests.support.stopped_clock import StoppedClock

STALE_AFTER = 15.0
SUCCESS = CollectorReport(success=True)


def connection(
    name: str,
    run_id: str = "r1",
    *,
    reports: dict[str, CollectorReport] | None = None,
    lost_for: float | None = None,
    ago: float = 0.0,
    **metadata: Any,
) -> Snapshot:
    """A connection, opened a minute ago unless `connected_at` is given."""
    fields = {"connected_at": time.time() - 60, "role": "master", "run_id": run_id} | metadata
    changes: dict[str, Any] = {"reports": reports or {}}
    if lost_for is not None:
        changes |= {"up": False, "reached_at": time.monotonic() - lost_for}
    known = Metadata(name, "h:1", "", "", fields.pop("db", 0), **fields)
    return snapshot_of(name, metadata=known, ago=ago, **changes)


def owners(keyspaces: Keyspaces, *snapshots: Snapshot, sync: SyncReport | None = None) -> str:
    """The owner of each connection's keyspace, in their order."""
    found = keyspaces.owners(snapshots, time.monotonic(), STALE_AFTER, sync)
    return " ".join(found.values())


def round_of(*, passed: bool) -> SyncReport:
    """A round of the sync test between a and b that ends now."""
    pair = Pair("a", "b", {"set_get": Check(ok=passed, seconds=0.1, detail="")})
    return SyncReport(time.monotonic(), time.time(), 0.1, 60.0, (pair,), {})


def test_the_first_connection_owns_the_keyspace() -> None:
    assert owners(Keyspaces(), connection("a"), connection("b"), connection("c", "r2")) == "a a c"


def test_each_database_of_a_server_has_its_owner() -> None:
    assert owners(Keyspaces(), connection("a"), connection("b", db=1)) == "a b"


def test_the_first_in_the_configuration_owns_even_if_reached_later() -> None:
    keyspaces = Keyspaces()
    assert owners(keyspaces, connection("b")) == "b"
    assert owners(keyspaces, connection("a"), connection("b")) == "a a"


def test_asking_without_remember_changes_nothing() -> None:
    keyspaces = Keyspaces()
    b = connection("b")
    owners(keyspaces, b)
    now = time.monotonic()
    asked = keyspaces.owners([connection("a"), b], now, STALE_AFTER, remember=False)
    assert asked == {"a": "a", "b": "a"}
    assert owners(keyspaces, b) == "b"
    assert owners(keyspaces, connection("a"), b) == "a a"


class TestSuccession:
    def test_another_connection_takes_over_once_the_owner_is_stale(self) -> None:
        keyspaces = Keyspaces()
        owners(keyspaces, connection("a"), connection("b"))
        assert owners(keyspaces, connection("a", lost_for=14), connection("b")) == "a a"
        assert owners(keyspaces, connection("a", lost_for=16), connection("b")) == "a b"

    def test_the_owner_stays_during_a_long_poll(self) -> None:
        """The poll reached Redis longer than `stale_after` ago, but its facts are newer."""
        keyspaces = Keyspaces()
        facts = snapshot_of("a", "a fact", ago=1.0).facts
        slow = replace(connection("a", lost_for=20), facts=facts)
        assert owners(keyspaces, slow, connection("b")) == "a a"

    def test_a_previous_owner_does_not_take_over_again(self) -> None:
        keyspaces = Keyspaces()
        owners(keyspaces, connection("a"), connection("b"))
        owners(keyspaces, connection("a", lost_for=16), connection("b"))
        assert owners(keyspaces, connection("a"), connection("b")) == "b b"

    def test_resume_reports_an_owner_that_takes_over_again(self) -> None:
        """Its memory is void, because the other connection has counted in between."""
        keyspaces = Keyspaces()
        owners(keyspaces, connection("a"), connection("b"))
        assert not keyspaces.resume("a")
        owners(keyspaces, connection("a", lost_for=16), connection("b"))
        assert keyspaces.resume("b")
        owners(keyspaces, connection("a"), connection("b", lost_for=16))
        assert keyspaces.resume("a")
        assert not keyspaces.resume("a")

    def test_a_loss_without_a_successor_keeps_the_owner(self) -> None:
        keyspaces = Keyspaces()
        owners(keyspaces, connection("a"), connection("c", "r2"))
        owners(keyspaces, connection("a", lost_for=100), connection("c", "r2"))
        owners(keyspaces, connection("a"), connection("c", "r2"))
        assert not keyspaces.resume("a")

    def test_changed_settings_make_a_new_connection(self) -> None:
        keyspaces = Keyspaces()
        owners(keyspaces, connection("a", lost_for=16), connection("b"))
        keyspaces.forget({"b"})
        assert owners(keyspaces, connection("a"), connection("b")) == "a a"


class TestIdentity:
    def test_a_restarted_server_stays_one_keyspace(self, clock: StoppedClock) -> None:
        """One connection has reconnected; the other has not noticed the restart yet."""
        keyspaces = Keyspaces()
        before = connection("b")
        owners(keyspaces, connection("a"), before)
        clock.move(1)
        back = connection("a", "r2", connected_at=time.time())
        assert owners(keyspaces, back, before) == "a a"
        clock.move(1)
        both = connection("b", "r2", connected_at=time.time())
        assert owners(keyspaces, back, both) == "a a"

    def test_a_connection_that_moved_to_another_server_is_separate(
        self, clock: StoppedClock
    ) -> None:
        """The other connection still reaches the previous server."""
        keyspaces = Keyspaces()
        owners(keyspaces, connection("a"), connection("b"))
        moved = connection("a", "r2", connected_at=time.time())
        clock.move(1)
        assert owners(
            keyspaces, connection("a", "r2", connected_at=moved.time), connection("b")
        ) == ("a b")

    def test_a_hidden_identity_is_proven_by_the_sync_test(self, clock: StoppedClock) -> None:
        keyspaces = Keyspaces()
        a, b = connection("a", ""), connection("b", "")
        assert owners(keyspaces, a, b) == "a b"
        passed = round_of(passed=True)
        assert owners(keyspaces, a, b, sync=passed) == "a a"
        clock.move(1)
        again = connection("b", "", connected_at=time.time())
        assert owners(keyspaces, connection("a", ""), again, sync=passed) == "a a"
        clock.move(1)
        failed = round_of(passed=False)
        assert owners(keyspaces, connection("a", ""), again, sync=failed) == "a b"


class TestBestReader:
    def test_a_master_before_its_replica(self) -> None:
        replica = connection("a", "r2", role="slave", replication_id="x")
        assert owners(Keyspaces(), replica, connection("b", replication_id="x")) == "b b"

    def test_a_user_who_may_read_before_one_who_may_not(self) -> None:
        keyspaces = Keyspaces()
        limited = {"queues": SUCCESS, "workers": CollectorReport(not_available=("client|list",))}
        a = connection("a", user="monitoring", reports=limited)
        tried = connection("b", user="admin", reports={"queues": SUCCESS})
        assert owners(keyspaces, a, connection("b", user="admin")) == "b b"
        assert owners(keyspaces, connection("a", user="monitoring"), tried) == "b b"

    def test_one_who_may_read_even_less_is_tried_once(self) -> None:
        keyspaces = Keyspaces()
        limited = {"queues": CollectorReport(success=True, not_available=("hmget",))}
        worse = {"queues": CollectorReport(not_available=("llen",))}
        a, b = connection("a", user="one"), connection("b", user="two")
        assert owners(keyspaces, replace(a, reports=limited), b) == "b b"
        assert owners(keyspaces, a, replace(b, reports=worse)) == "a a"
        assert owners(keyspaces, replace(a, reports=limited), b) == "a a"

    def test_the_same_user_is_not_tried_again(self) -> None:
        limited = {"queues": CollectorReport(success=True, not_available=("hmget",))}
        assert owners(Keyspaces(), connection("a", reports=limited), connection("b")) == "a a"
