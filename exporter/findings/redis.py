"""Conditions of the alerts about Redis servers and the connections to them."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from exporter.diagnosis import explain_pair, groups_hint
from exporter.findings.model import Hit, Limits
from exporter.state.history import growth, window
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import ServerFacts, Snapshot
from exporter.views.formatting import age, printable
from exporter.views.moment import Moment


def redis_unreachable(moment: Moment, _: Limits) -> Iterator[Hit]:
    for snapshot in moment.snapshots:
        if not moment.is_up(snapshot):
            labels = {"connection": snapshot.connection}
            yield Hit(labels, 0.0, _why_down(snapshot, moment), impact=inf)


def _why_down(snapshot: Snapshot, moment: Moment) -> str:
    cause = "no poll has finished in time"
    if not snapshot.up and snapshot.last_error is not None:
        cause = f"{snapshot.last_error.kind}: {printable(snapshot.last_error.text)}"
    if snapshot.reached_at is None:
        return f"never reached ({cause})"
    shown = moment.facts(snapshot, QueueTable) is not None
    queues = "its queues are shown as of then" if shown else "what its queues do is unknown"
    return f"last reached {age(moment.now - snapshot.reached_at)} ago; {queues} ({cause})"


def eviction_policy_unsafe(moment: Moment, _: Limits) -> Iterator[Hit]:
    for snapshot, server in _servers(moment):
        if server.values.get("eviction_safe") == 0:
            policy = printable(server.info.get("maxmemory_policy", ""))
            yield Hit({"connection": snapshot.connection}, 0.0, f"maxmemory-policy is {policy}")


def memory_near_limit(moment: Moment, limits: Limits) -> Iterator[Hit]:
    yield from _ratio(moment, "memory_used_bytes", "memory_max_bytes", limits)


def clients_near_limit(moment: Moment, limits: Limits) -> Iterator[Hit]:
    yield from _ratio(moment, "connected_clients", "max_clients", limits)


def _ratio(moment: Moment, used: str, most: str, limits: Limits) -> Iterator[Hit]:
    for snapshot, server in _servers(moment):
        value, limit = server.values.get(used), server.values.get(most)
        if value is not None and limit and value / limit > limits["above_ratio"]:
            yield Hit({"connection": snapshot.connection}, value / limit)


def clients_rejected(moment: Moment, limits: Limits) -> Iterator[Hit]:
    yield from _grown(moment, "rejected_connections", limits)


def keys_evicted(moment: Moment, limits: Limits) -> Iterator[Hit]:
    yield from _grown(moment, "evicted_keys", limits)


def _grown(moment: Moment, counter: str, limits: Limits) -> Iterator[Hit]:
    for snapshot, server in _servers(moment):
        now = server.values.get(counter)
        past = window(moment.past(snapshot), moment.now, limits["window"])
        before = next((e.server[counter] for e in past if counter in e.server), None)
        if now is not None and before is not None and growth(before, now) > 0:
            yield Hit({"connection": snapshot.connection}, growth(before, now))


def persistence_failing(moment: Moment, _: Limits) -> Iterator[Hit]:
    for snapshot, server in _servers(moment):
        for kind, ok in server.persistence_ok.items():
            if not ok:
                refusal = snapshot.ping_refusal
                detail = printable(refusal.text) if refusal is not None else ""
                yield Hit({"connection": snapshot.connection, "kind": kind}, 0.0, detail)


def replica_link_down(moment: Moment, _: Limits) -> Iterator[Hit]:
    for snapshot, server in _servers(moment):
        if server.values.get("master_link_up") == 0:
            yield Hit({"connection": snapshot.connection}, 0.0)


def _servers(moment: Moment) -> Iterator[tuple[Snapshot, ServerFacts]]:
    if not moment.config.queues.first_shard:
        return  # shown by the first shard only, like the metrics
    for snapshot in moment.snapshots:
        server = moment.facts(snapshot, ServerFacts)
        if server is not None:
            yield snapshot, server


def writes_refused(moment: Moment, _: Limits) -> Iterator[Hit]:
    for database in moment.databases:
        if database.writes_refused and moment.is_up(moment.known[database.connection]):
            detail = printable(database.writes_refused)
            yield Hit({"connection": database.connection}, 1.0, detail, impact=inf)


def sync_test_failing(moment: Moment, _: Limits) -> Iterator[Hit]:
    if moment.sync is None or not moment.config.queues.first_shard:
        return
    down = {s.connection for s in moment.snapshots if not moment.is_up(s)}
    for pair in moment.sync.pairs:
        if pair.passed is False and not {pair.writer, pair.reader} & down:
            detail = explain_pair(pair, moment.sync.metadata)
            if not moment.config.sync.groups and (hint := groups_hint(pair, moment.sync.metadata)):
                detail = f"{detail}; {hint}"
            yield Hit({"writer": pair.writer, "reader": pair.reader}, 0.0, printable(detail))
