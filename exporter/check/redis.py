"""Tests Redis itself: login, latency, identity, permissions, eviction policy and queues."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Final

from exporter.check.databases import other_databases, wrong_number
from exporter.check.model import Outcome, Step
from exporter.check.permissions import permissions_step
from exporter.check.prefixes import other_prefixes
from exporter.check.remedies import login_remedy, user_without_password
from exporter.check.stranger import REDIS, who_answers
from exporter.check.tls import explain_disconnect
from exporter.collectors import Context, Discovery, QueueCollector, ServerCollector
from exporter.collectors.queues import jobs_by_state
from exporter.config.models import Config, Connection
from exporter.connection import ONE_NODE, Client, ErrorClass, Metadata, RedisFailure
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import Discovered, ServerFacts

_PINGS: Final = 20
_CUT: Final = (ErrorClass.CONNECTION, ErrorClass.TIMEOUT, ErrorClass.PROTOCOL)
"""How a login ends at a server that expects TLS, or a certificate."""

Progress = Callable[[str], None]


def redis_steps(config: Config, client: Client, progress: Progress) -> Iterator[Step]:
    """The steps from login on; ends after a failure of the connection."""
    step = "login"
    try:
        metadata = client.connect()
        yield _login(client, metadata)
        step = "latency"
        yield _latency(client)
        yield _identity(metadata)
        step = "permissions"
        yield permissions_step(client, config.queues.prefixes)
        step = "eviction"
        yield _eviction(client)
        step = "queues"
        yield _queues(config, client, progress)
    except RedisFailure as failure:
        cause = _login_cause(client.settings, failure) if step == "login" else ""
        text = str(failure)
        detail = f"{text.rstrip('.?')}: {cause}" if cause else text
        yield Step(step, Outcome.FAILED, detail, {"error": failure.kind})


def _login_cause(settings: Connection, failure: RedisFailure) -> str:
    """The cause of a failed login, and what to do; empty if the failure says it, or unknown."""
    remedy = login_remedy(settings, failure)
    if remedy or failure.kind not in _CUT:
        return remedy
    remedy = explain_disconnect(settings) or ""
    if remedy or "use rediss://" in failure.text:  # then the failure says it
        return remedy
    name = who_answers(settings, tls=settings.url.scheme == "rediss")
    if name == REDIS:
        slow = failure.kind is ErrorClass.TIMEOUT
        return "Redis answers, but not in time; see SLOWLOG, and the latency to it" if slow else ""
    return f"this is {name}, not Redis" if name else ""


def _login(client: Client, metadata: Metadata) -> Step:
    unused = user_without_password(client.settings)
    if unused:
        return Step("login", Outcome.WARNING, f"as default, database {metadata.db}; {unused}")
    user = client.settings.user or "default"
    return Step("login", Outcome.OK, f"as {user}, database {metadata.db}")


def _latency(client: Client) -> Step:
    times = [client.ping() for _ in range(_PINGS)]
    figures = {"min": min(times), "median": statistics.median(times), "max": max(times)}
    shown = ", ".join(f"{name} {seconds * 1000:.2f}" for name, seconds in figures.items())
    detail = f"{_PINGS} PINGs: {shown} ms"
    if client.ping_refusal is not None:
        return Step("latency", Outcome.WARNING, f"{detail}; {client.ping_refusal.text}", figures)
    return Step("latency", Outcome.OK, detail, figures)


def _identity(metadata: Metadata) -> Step:
    parts = [
        f"version {metadata.version}" if metadata.version else "",
        metadata.mode,
        metadata.role,
        f"run_id {metadata.run_id[:8]}…" if metadata.run_id else "run_id hidden",
        f"masters {', '.join(metadata.masters)}" if metadata.masters else "",
        f"{metadata.db_size} keys" if metadata.db_size is not None else "",
        f"client id {metadata.client_id}" if metadata.client_id is not None else "",
    ]
    detail = ", ".join(part for part in parts if part)
    outcome = Outcome.OK
    if metadata.role == "slave":
        outcome = Outcome.WARNING
        detail += "; a replica is read-only: producers and workers must connect to its master"
    if metadata.other_masters:
        return Step("identity", Outcome.FAILED, f"{ONE_NODE} ({detail})", asdict(metadata))
    if metadata.mode == "cluster" and not metadata.masters:
        outcome = Outcome.WARNING
        detail += f"; {ONE_NODE}"
    return Step("identity", outcome, detail, asdict(metadata))


def _eviction(client: Client) -> Step:
    facts = _server(client)
    policy = facts.info["maxmemory_policy"] if facts is not None else ""
    data = {"maxmemory_policy": policy}
    if not policy:
        return Step(
            "eviction", Outcome.WARNING, "the policy is hidden; make sure it is noeviction", data
        )
    if policy == "noeviction":
        return Step("eviction", Outcome.OK, policy, data)
    detail = f"{policy}: Redis may delete jobs when memory is full; set it to noeviction"
    limited = facts is not None and facts.values.get("memory_max_bytes", 0) > 0
    return Step("eviction", Outcome.FAILED if limited else Outcome.WARNING, detail, data)


def _server(client: Client) -> ServerFacts | None:
    try:
        return ServerCollector().collect(Context(client, 0.0))
    except RedisFailure:
        if not client.connected:
            raise
        return None


def _queues(config: Config, client: Client, progress: Progress) -> Step:
    # count the queues of all shards: an empty shard is normal, an empty Redis is not
    discovery = Discovery(config.queues.model_copy(update={"shard": None}))
    pages = 0
    while discovery.scans and not discovery.step(Context(client, 0.0)):
        pages += 1
        progress(f"discovering queues: {pages * config.queues.discovery_batch} keys scanned")
    discovered = discovery.current()
    if not discovered.queues:
        return _no_queues(config, client, progress)
    context = Context(client, 0.0, discovered.queues)
    share = config.queues.stuck_jobs_redis_share
    table = QueueCollector(config.poll.interval_seconds, share).collect(context)
    return _discovered_queues(discovered, table)


def _discovered_queues(discovered: Discovered, table: QueueTable) -> Step:
    data, notes = {}, []
    for prefix, count in discovered.prefixes.items():
        jobs = jobs_by_state(table, prefix)
        data[prefix] = {"queues": count.queues, "keys": dict(count.keys), "jobs": jobs}
        states = ", ".join(f"{n} {state}" for state, n in jobs.items() if n) or "no jobs"
        keys = ", ".join(f"{n} {kind}" for kind, n in count.keys.items())
        notes.append(f"{prefix}: {states} (queue keys: {keys})")
        if count.keys.get("stalled-check") and not count.keys.get("id"):
            notes.append(
                f"{prefix}: workers have connected, but no job was ever added; check that they use "
                "the producers' Redis"
            )
    return Step(
        "queues", Outcome.OK, f"{len(discovered.queues)} found", {"prefixes": data}, tuple(notes)
    )


def _no_queues(config: Config, client: Client, progress: Progress) -> Step:
    configured = ", ".join(f"{prefix}:" for prefix in config.queues.prefixes)
    elsewhere = other_prefixes(
        client, lambda pages: progress(f"searching other prefixes: {pages * 1000} keys scanned")
    )
    data = {"prefixes": {prefix: {"queues": 0} for prefix in config.queues.prefixes}}
    if elsewhere:
        names = ", ".join(f"{prefix}: ({n})" for prefix, n in elsewhere.items())
        detail = f"none under {configured} but queues under {names}; set queues.prefixes"
        return Step("queues", Outcome.WARNING, detail, data | {"elsewhere": elsewhere})
    own = client.settings.url.db
    databases = other_databases(client, progress)
    if databases:
        detail = f"none under {configured} in database {own}, but {wrong_number(own, databases)}"
        return Step("queues", Outcome.WARNING, detail, data | {"databases": databases})
    detail = f"none under {configured} in this database; no service has used it for BullMQ yet"
    return Step("queues", Outcome.WARNING, detail, data)
