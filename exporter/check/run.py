"""All of the connection test: every connection, every pair, one verdict."""

from __future__ import annotations

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
from exporter.state.snapshots import Pair, SyncReport


class Listener(Protocol):
    """Who is told of each result as it comes."""

    def connection(self, name: str, url: str) -> None:
        """The steps of this connection follow."""

    def step(self, step: Step) -> None:
        """A step has ended."""

    def pairs(self, report: SyncReport) -> None:
        """The sync test has ended."""

    def progress(self, text: str) -> None:
        """Something takes its time."""


def run_checks(config: Config, names: Sequence[str], listener: Listener) -> CheckReport:
    """Check the named connections, alone and in pairs."""
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
    return CheckReport(reports, pairs, metadata, ok, _verdict(reports, pairs, sync))


def _connection(
    config: Config, clients: ClientRegistry, name: str, settings: Connection, listener: Listener
) -> ConnectionReport:
    listener.connection(name, str(settings.url))
    steps: list[Step] = []

    def told(step: Step) -> Step:
        steps.append(step)
        listener.step(step)
        return step

    told(Step("configuration", Outcome.OK, _described(settings)))
    for step in network_steps(settings):
        told(step)
    if not any(step.outcome is Outcome.FAILED for step in steps):
        told(_one_client(clients, name, settings))
        client = clients.get(settings, name)
        for step in redis_steps(config, client, _slowly(listener.progress)):
            told(step)
    return ConnectionReport(name, str(settings.url), tuple(steps))


def _described(settings: Connection) -> str:
    secret = "with a password" if settings.password_file or settings.url.password else "no password"
    way = ", cluster" if settings.cluster else ""
    if settings.sentinel is not None:
        way = f", the master {settings.sentinel.master} by {len(settings.sentinel.nodes)} sentinels"
    return f"{settings.url.scheme}, {secret}, url_hash {settings.url.hash}{way}"


def _one_client(clients: ClientRegistry, name: str, settings: Connection) -> Step:
    """Asking twice must give one object, or a process would hold sockets that nobody closes."""
    same = clients.get(settings, name) is clients.get(settings, f"{name}-again")
    detail = "asking twice for this URL gives the same client"
    return Step("client", Outcome.OK if same else Outcome.FAILED, detail)


def _slowly(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Progress is told at most once a second, and not within the first."""
    last = time.monotonic()

    def maybe(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= 1:
            last = time.monotonic()
            tell(text)

    return maybe


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
    pairs: Sequence[Pair],
    sync: SyncReport | None,
) -> str:
    """The first cause that holds: a connection that fails, a pair that does, or all is well."""
    for report in reports:
        if report.failed is not None:
            return f"NOT OK: {report.name} fails at {report.failed.name}: {report.failed.detail}"
    if sync is None:
        return "OK as far as it was tested: the sync test is disabled in the configuration"
    summary = verdict(pairs, sync.metadata)
    if any(pair.passed is False for pair in pairs):
        return f"NOT OK: {summary}"
    warned = [
        f"{report.name}: {step.detail}"
        for report in reports
        for step in report.steps
        if step.outcome is Outcome.WARNING
    ]
    extra = f"; but {warned[0]}" if warned else ""
    return f"OK: {summary}{extra}"
