"""The pollers in force, and which of them a new configuration leaves alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from exporter.collectors import collectors_for
from exporter.config.models import Config, Connection, Events, Poll, Queues
from exporter.connection import ClientRegistry
from exporter.polling.poller import Poller
from exporter.state.store import SnapshotStore

_STOP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _PollerKey:
    """All that a poller's work depends on."""

    name: str
    connection: Connection
    queues: Queues
    poll: Poll
    events: Events


Wanted = Mapping[_PollerKey, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a new configuration has changed, as the names of connections."""

    kept: tuple[str, ...]
    started: tuple[str, ...]
    stopped: tuple[str, ...]


class PollerPool:
    """One poller for each way to a Redis; connections with the same settings share it."""

    def __init__(self, config: Config, store: SnapshotStore) -> None:
        self._store = store
        self._clients = ClientRegistry()
        self._running = _wanted(config)
        self._pollers = {
            settings: self._poller(config, settings, names)
            for settings, names in self._running.items()
        }

    def start(self) -> None:
        """Begin to poll."""
        for poller in self._pollers.values():
            poller.start()

    def stop(self) -> None:
        """Ask all of them to stop, and wait for it, within a second in all."""
        _stop(self._pollers.values())

    def poll(self) -> None:
        """One poll of each, in this thread."""
        for poller in self._pollers.values():
            poller.poll()

    def poll_once(self) -> bool:
        """A whole discovery and a poll of each, in this thread; whether every Redis was reached."""
        reached = [poller.poll_once() for poller in self._pollers.values()]
        return all(reached)

    def close(self) -> None:
        """Close the connections of pollers that were not started."""
        self._clients.close()

    def change(self, config: Config) -> Changes:
        """Stop, start and keep pollers, all of which run, so that they are those of `config`.

        One whose settings are the same keeps its socket, and what it and its collectors remember.
        """
        before, wanted = self._running, _wanted(config)
        gone = [settings for settings in before if settings not in wanted]
        _stop([self._pollers.pop(settings) for settings in gone])
        for settings in gone:
            self._clients.forget(settings.connection)
        kept = _kept(before, wanted)
        self._store.change(tuple(config.connections), kept)
        for settings, names in wanted.items():
            if settings in self._pollers:
                self._pollers[settings].share(names)
            else:
                poller = self._pollers[settings] = self._poller(config, settings, names)
                poller.start()
        self._running = wanted
        return Changes(
            kept=tuple(name for name in config.connections if name in kept),
            started=tuple(name for name in config.connections if name not in kept),
            stopped=tuple(name for names in before.values() for name in names if name not in kept),
        )

    def _poller(self, config: Config, settings: _PollerKey, names: tuple[str, ...]) -> Poller:
        client = self._clients.get(settings.connection, settings.name)
        return Poller(config, names, client, collectors_for(config), self._store)


def _wanted(config: Config) -> Wanted:
    names: dict[Connection, list[str]] = {}
    for name, connection in config.connections.items():
        names.setdefault(connection, []).append(name)
    return {
        _PollerKey(shared[0], connection, config.queues, config.poll, config.events): tuple(shared)
        for connection, shared in names.items()
    }


def _kept(before: Wanted, wanted: Wanted) -> frozenset[str]:
    """The names that are served by the same poller as before."""
    return frozenset(
        name
        for settings, names in wanted.items()
        for name in names
        if name in before.get(settings, ())
    )


def _stop(pollers: Iterable[Poller]) -> None:
    stopping = list(pollers)
    for poller in stopping:
        poller.stop()
    deadline = time.monotonic() + _STOP_SECONDS
    for poller in stopping:
        poller.join(max(0.0, deadline - time.monotonic()))
