"""An exporter without threads, for benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from exporter.collectors import collectors_for
from exporter.collectors.queues import COUNTS
from exporter.collectors.queues.batches import make_batches
from exporter.config.loader import load
from exporter.config.models import Config, Section
from exporter.connection import ClientRegistry, reply_limit
from exporter.exposition import Format, PageWriter, Variant
from exporter.polling import Poller
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import Snapshot
from exporter.state.store import SnapshotStore
from exporter.views.moment import Moment, moment_of

OPENMETRICS_GZIP = Variant(Format.OPENMETRICS, gzip=True)
"""What Prometheus requests."""
PROTOBUF_GZIP = Variant(Format.PROTOBUF, gzip=True)
"""What it requests if it takes native histograms."""

_AT_REST_POLLS = 13
"""Polls after which the settings of all queues have been read."""


class Exporter:
    """An exporter of one Redis that has polled until everything about the queues is known."""

    def __init__(self, port: int, **sections: Section) -> None:
        """`sections` of the configuration replace the default ones."""
        config = load(None, {"REDIS_URL": f"redis://127.0.0.1:{port}/0"})
        self.config: Config = config.model_copy(update=sections)
        self.store = SnapshotStore(["default"])
        self.client = ClientRegistry().get(self.config.connections["default"], "default")
        collectors = collectors_for(self.config)
        self.poller = Poller(self.config, ["default"], self.client, collectors, self.store)
        self.writer = PageWriter()
        self.poller.poll_once()
        for _ in range(_AT_REST_POLLS):
            self.poller.poll()

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot of the last poll."""
        return self.store.snapshots()[0]

    @property
    def table(self) -> QueueTable:
        """The queues as of the last poll."""
        table = self.snapshot.get(QueueTable, time.monotonic(), 3600)
        assert table is not None
        return table

    def counts(self) -> Callable[[], object]:
        """Return a function that only reads the counts: the first round trip, as columns."""
        width = len(COUNTS)
        batches = [
            (batch.counts, len(batch.queues) * width) for batch in make_batches(self.table.queues)
        ]
        limit = reply_limit(int)

        def read() -> list[list[object]]:
            read = (
                self.client.batch(packed, count, count * limit).replies for packed, count in batches
            )
            return [replies[place::width] for replies in read for place in range(width)]

        return read

    def moment(self, *snapshots: Snapshot) -> Moment:
        """The current moment, without stale data; of these snapshots, or of the last poll."""
        moment = moment_of(self.store, self.config, stale_after=3600)
        return replace(
            moment, stored=replace(moment.stored, snapshots=snapshots or self.store.snapshots())
        )

    def page(self, variant: Variant) -> bytes:
        """The whole page."""
        return self.writer.write(self.moment()).body(variant)
