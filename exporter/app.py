"""The wiring: a validated `Config` in, running parts out; they stop in reverse order."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from exporter import __version__
from exporter.board import Board
from exporter.collectors import collectors_for
from exporter.config import Config, is_wildcard
from exporter.connection import Client, Clients
from exporter.exposition import Format, PageWriter, Press, Variant
from exporter.log import event
from exporter.overview import Overview, overview
from exporter.polling import Poller, SyncRunner
from exporter.web import Certificates, Users, WebServer, application, open_socket

logger = logging.getLogger("exporter")

_STOP_SECONDS = 1.0
_FIRST_LOOK_SECONDS = 1.0
_OPEN = (
    "whoever reaches this port can read the pages; set web.basic_auth_users, or listen on 127.0.0.1"
)


class App:
    """Everything that runs."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._board = Board(list(config.connections))
        self._clients = Clients()
        self._pollers = _pollers(config, self._clients, self._board)
        self._sync = SyncRunner(config, self._board) if config.sync.enabled else None

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises `ListenError` before anything has started."""
        config = self._config
        sock = open_socket(config.listen)
        press = Press(self._board, config.poll, first_shard=config.queues.first_shard)
        users = Users(config.web.basic_auth_users)
        web = WebServer(
            application(config, self._board, press, users),
            sock,
            config.web.max_concurrent_requests,
            Certificates(config.web.tls).context,
        )
        readers: list[Poller | SyncRunner] = [*self._pollers]
        if self._sync is not None:
            readers.append(self._sync)
        with _stop_signals() as stop:
            press.start()
            web.start()
            for part in readers:
                part.start()
            event(
                logger,
                logging.INFO,
                "started",
                version=__version__,
                listen=config.listen,
                connections=",".join(config.connections),
            )
            if users.open and config.web.tls.client_ca_file is None and is_wildcard(config.listen):
                event(
                    logger, logging.INFO, "open to all networks", detail=_OPEN, listen=config.listen
                )
            stop.wait()
            event(logger, logging.INFO, "stopping")
            _stop(readers)
            web.stop()
            press.stop()
        event(logger, logging.INFO, "stopped")

    def page_once(self) -> tuple[str, bool]:
        """One page after a whole discovery and a poll, and whether every Redis was reached."""
        if self._sync is not None:
            self._sync.run_once()
        reached = [poller.poll_once() for poller in self._pollers]
        writer = PageWriter(
            float("inf"),
            self._config.poll.blocked_after_seconds,
            first_shard=self._config.queues.first_shard,
        )
        page = writer.write(self._board.snapshots(), self._board.sync)
        self._clients.close()
        return page.body(Variant(Format.TEXT, gzip=False)).decode(), all(reached)

    def overview_once(self, seconds: float) -> tuple[Overview, bool]:
        """The queues after watching them for so long, and whether every Redis was reached."""
        reached = [poller.poll_once() for poller in self._pollers]
        time.sleep(seconds)
        for poller in self._pollers:
            poller.poll()
        found = overview(self._board, self._config.poll, blocked_after=seconds)
        self._clients.close()
        return found, all(reached)

    def overviews(self) -> Iterator[Overview]:
        """The queues at each poll interval, until SIGTERM or SIGINT."""
        with _stop_signals() as stop:
            for poller in self._pollers:
                poller.start()
            wait = _FIRST_LOOK_SECONDS
            try:
                while not stop.wait(wait):
                    yield overview(self._board, self._config.poll)
                    wait = self._config.poll.interval_seconds
            finally:
                _stop(self._pollers)


def _stop(parts: Sequence[Poller | SyncRunner]) -> None:
    """Stop parts that were started, within a second in all."""
    for part in parts:
        part.stop()
    deadline = time.monotonic() + _STOP_SECONDS
    for part in parts:
        part.join(max(0.0, deadline - time.monotonic()))


def _pollers(config: Config, clients: Clients, board: Board) -> list[Poller]:
    """One poller for each client; connections with the same settings share both."""
    names: dict[Client, list[str]] = {}
    for name, settings in config.connections.items():
        names.setdefault(clients.get(settings, name), []).append(name)
    return [
        Poller(config, shared, client, collectors_for(config), board)
        for client, shared in names.items()
    ]


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; the former handlers return at the end."""
    stop = threading.Event()

    def handle(_: int, __: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
