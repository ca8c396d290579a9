"""Runs the connection test: every connection, every pair, one verdict."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from exporter.check.model import CheckReport, ConnectionReport, Outcome, Step
from exporter.check.network import network_steps
from exporter.check.redis import redis_steps
from exporter.collectors import SyncTest
from exporter.config.models import Config, Connection
from exporter.connection import ClientRegistry
from exporter.diagnosis import verdict
from exporter.findings import Verdict, verdict_of
from exporter.polling import PollerPool
from exporter.state.snapshots import SyncReport
from exporter.state.store import SnapshotStore
from exporter.views.formatting import counted
from exporter.views.moment import moment_of


class Listener(Protocol):
    """Receives each result as soon as it is known."""

    def connection(self, name: str, url: str) -> None:
        """The test of a connection starts; its steps follow."""

    def step(self, step: Step) -> None:
        """A step has finished."""

    def pairs(self, report: SyncReport) -> None:
        """The sync test has finished."""

    def progress(self, text: str) -> None:
        """A step takes long; `text` is what it is doing."""


def run_checks(config: Config, names: Sequence[str], listener: Listener) -> CheckReport:
    """Test the named connections, each alone and in pairs."""
    clients = ClientRegistry()
    connections = {name: config.connections[name] for name in names}
    reports = tuple(
        _connection(config, clients, name, settings, listener)
        for name, settings in connections.items()
    )
    clients.close()
    sync = _sync(config, connections, listener)
    pairs = sync.pairs if sync is not None else ()
    metadata = sync.metadata if sync is not None else {}
    ok = not any(report.failed for report in reports)
    ok = ok and not any(pair.passed is False for pair in pairs)
    found = _findings(config.model_copy(update={"connections": connections}), sync) if ok else None
    summary = verdict(pairs, metadata, grouped=bool(config.sync.groups)) if sync is not None else ""
    return CheckReport(reports, pairs, metadata, ok, _verdict(reports, summary, sync, found), found)


def _findings(config: Config, sync: SyncReport | None) -> Verdict:
    """What the exporter would report after its first poll of these connections."""
    store = SnapshotStore(list(config.connections))
    store.sync = sync
    pollers = PollerPool(config, store)
    logging.disable(logging.ERROR)  # the steps above have said it
    try:
        pollers.poll_once()
        pollers.close()
    finally:
        logging.disable(logging.NOTSET)
    return verdict_of(moment_of(store, config))


def _connection(
    config: Config, clients: ClientRegistry, name: str, settings: Connection, listener: Listener
) -> ConnectionReport:
    listener.connection(name, str(settings.url))
    steps: list[Step] = []

    def report(step: Step) -> None:
        steps.append(step)
        listener.step(step)

    report(Step("configuration", Outcome.OK, _describe(settings)))
    for step in network_steps(settings):
        report(step)
    if not any(step.outcome is Outcome.FAILED for step in steps):
        report(_one_client(clients, name, settings))
        client = clients.get(settings, name)
        for step in redis_steps(config, client, _once_a_second(listener.progress)):
            report(step)
    return ConnectionReport(name, str(settings.url), tuple(steps))


def _describe(settings: Connection) -> str:
    secret = "with a password" if settings.password_file or settings.url.password else "no password"
    route = ", cluster" if settings.cluster else ""
    if settings.sentinel is not None:
        sentinel = settings.sentinel
        route = f", master {sentinel.master} through {len(sentinel.nodes)} sentinels"
    return f"{settings.url.scheme}, {secret}, url_hash {settings.url.hash}{route}"


def _one_client(clients: ClientRegistry, name: str, settings: Connection) -> Step:
    """Check that equal settings share one client; else the process would leak sockets."""
    same = clients.get(settings, name) is clients.get(settings, f"{name}-again")
    detail = "requesting this URL twice returns the same client"
    return Step("client", Outcome.OK if same else Outcome.FAILED, detail)


def _once_a_second(show: Callable[[str], None]) -> Callable[[str], None]:
    """Pass progress on at most once a second, and not within the first second."""
    last = time.monotonic()

    def throttled(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= 1:
            last = time.monotonic()
            show(text)

    return throttled


def _sync(
    config: Config, connections: dict[str, Connection], listener: Listener
) -> SyncReport | None:
    if not config.sync.enabled:
        return None
    report = SyncTest(connections, config.sync).run()
    listener.pairs(report)
    return report


def _verdict(
    reports: Sequence[ConnectionReport],
    summary: str,
    sync: SyncReport | None,
    found: Verdict | None,
) -> str:
    """The first failed connection, else the failed pairs, else OK with the first warning and with
    what was found beyond the connections. `summary` is the result of the sync test.
    """
    for report in reports:
        if report.failed is not None:
            return f"NOT OK: {report.name} fails at {report.failed.name}: {report.failed.detail}"
    if sync is not None and any(pair.passed is False for pair in sync.pairs):
        return f"NOT OK: {summary}"
    if len(reports) == 1:
        result = f"OK: {_reached(reports[0])}"
        if sync is None:
            result += "; the sync test is disabled in the configuration"
        elif not any(pair.passed for pair in sync.pairs):
            result += f"; {summary}"
    elif sync is None:
        return "OK as far as tested: the sync test is disabled in the configuration"
    else:
        result = f"OK: {summary}"
    warned = [
        f"{report.name}: {step.detail}"
        for report in reports
        for step in report.steps
        if step.outcome is Outcome.WARNING
    ]
    warning = f"; warning: {warned[0]}" if warned else ""
    # the connections are what is tested, but what is wrong behind them is never left out
    beyond = f"; but {found.headline}" if found is not None and not found.ok else ""
    return f"{result}{warning}{beyond}"


def _reached(report: ConnectionReport) -> str:
    """`Redis reached, 8 queues, eviction safe`; what is not sure is left out."""
    steps = {step.name: step for step in report.steps}
    counts = [prefix["queues"] for prefix in steps["queues"].data["prefixes"].values()]
    facts = ["Redis reached", counted(sum(counts), "queue") if any(counts) else "no queues"]
    if steps["eviction"].outcome is Outcome.OK:
        facts.append("eviction safe")
    return ", ".join(facts)
