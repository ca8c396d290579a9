"""Runs the exporter's own poller inside a test, on a server."""

from __future__ import annotations

from typing import Any

from exporter.collectors import collectors_for
from exporter.config.loader import load
from exporter.config.models import Config, Connection, Events, Queues
from exporter.connection import Client, ClientRegistry
from exporter.exposition import Format, PageWriter, Variant
from exporter.polling import Poller
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import Snapshot
from exporter.state.store import SnapshotStore
from exporter.views.moment import moment_of
from tests.support.pages import Samples, parse
from tests.support.waiting import LIMIT_SECONDS


def config_for(
    url: str, *, cluster: bool = False, events: Events | None = None, **queues: Any
) -> Config:
    """The default configuration for one connection, `default`, with very long timeouts."""
    config = load(None, {"REDIS_URL": url})
    connection = patient(config.connections["default"].model_copy(update={"cluster": cluster}))
    update = {
        "queues": Queues(**queues),
        "events": events or config.events,
        "connections": {"default": connection},
        "poll": config.poll.model_copy(update={"stale_after_seconds": LIMIT_SECONDS}),
    }
    return config.model_copy(update=update)


def patient(connection: Connection, seconds: float = LIMIT_SECONDS) -> Connection:
    """The connection with these timeouts; short ones are for a peer that never replies."""
    timeouts = {"timeout_seconds": seconds, "connect_timeout_seconds": seconds}
    return connection.model_copy(update=timeouts)


class Watch:
    """A poller that is run by hand."""

    def __init__(
        self, url: str, *, cluster: bool = False, events: Events | None = None, **queues: Any
    ) -> None:
        self.config = config_for(url, cluster=cluster, events=events, **queues)
        self.store = SnapshotStore(["default"])
        self.client: Client = ClientRegistry().get(self.config.connections["default"], "default")
        self._poller = Poller(
            self.config, ["default"], self.client, collectors_for(self.config), self.store
        )
        self._writer = PageWriter()

    def discover_and_poll(self) -> Samples:
        self.discover_unseen()
        return self.samples()

    def discover_unseen(self) -> None:
        """Discover and poll, without rendering a page."""
        self._poller.poll_once()

    def poll(self) -> Samples:
        self.poll_unseen()
        return self.samples()

    def poll_unseen(self) -> None:
        """Poll without rendering a page."""
        self._poller.poll()

    @property
    def page(self) -> str:
        made = self._writer.write(moment_of(self.store, self.config))
        return made.body(Variant(Format.TEXT, gzip=False)).decode()

    @property
    def snapshot(self) -> Snapshot:
        return self.store.snapshots()[0]

    @property
    def table(self) -> QueueTable:
        """The queues as of the last poll."""
        table = self.snapshot.facts[QueueTable].facts
        assert isinstance(table, QueueTable)
        return table

    def samples(self) -> Samples:
        return parse(self.page)
