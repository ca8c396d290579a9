"""The running pollers, and which of them a new configuration leaves running."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from exporter.collectors import collectors_for
from exporter.config.models import Config, Connection, Events, Poll, Slo
from exporter.connection import ClientRegistry
from exporter.polling.poller import Poller
from exporter.state.store import SnapshotStore

_STOP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _PollerKey:
    """All settings that a poller depends on."""

    name: str
    connection: Connection
    queues: tuple[object, ...]
    """The settings of queues, without the targets: only pages and alerts use them."""
    poll: Poll
    events: Events
    slos: tuple[Slo, ...]


_Assignment = Mapping[_PollerKey, tuple[str, ...]]
"""The connection names that each poller serves."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a new configuration changed, as connection names."""

    kept: tuple[str, ...]
    started: tuple[str, ...]
    stopped: tuple[str, ...]


class PollerPool:
    """One poller per set of connection settings; connections with the same settings share it."""

    def __init__(self, config: Config, store: SnapshotStore) -> None:
        self._store = store
        self._clients = ClientRegistry()
        self._assigned = _assign(config)
        self._pollers = {
            key: self._poller(config, key, names) for key, names in self._assigned.items()
        }

    def start(self) -> None:
        """Start every poller."""
        for poller in self._pollers.values():
            poller.start()

    def stop(self) -> None:
        """Ask every poller to stop and wait for their threads, at most a second in all."""
        _stop(self._pollers.values())

    def discover(self) -> None:
        """Start a pass of discovery with every poller at its next poll. Thread-safe."""
        for poller in tuple(self._pollers.values()):
            poller.discover()

    def poll(self) -> None:
        """Poll once with every poller, in this thread."""
        for poller in self._pollers.values():
            poller.poll()

    def poll_once(self) -> bool:
        """Discover and poll once, in this thread. Returns whether every Redis was reached."""
        reached = [poller.poll_once() for poller in self._pollers.values()]
        return all(reached)

    def close(self) -> None:
        """Close the connections; for pollers whose threads were not started."""
        self._clients.close()

    def change(self, config: Config) -> Changes:
        """Stop, keep and start pollers to match `config`; all of them must be running.

        A poller whose settings are unchanged keeps its socket and its collectors' state.
        """
        before, after = self._assigned, _assign(config)
        obsolete = [key for key in before if key not in after]
        _stop([self._pollers.pop(key) for key in obsolete])
        for key in obsolete:
            self._clients.forget(key.connection)
        kept = _kept(before, after)
        self._store.change(tuple(config.connections), kept)
        for key, names in after.items():
            if key in self._pollers:
                self._pollers[key].publish_for(names)
            else:
                poller = self._pollers[key] = self._poller(config, key, names)
                poller.start()
        self._assigned = after
        return Changes(
            kept=tuple(name for name in config.connections if name in kept),
            started=tuple(name for name in config.connections if name not in kept),
            stopped=tuple(name for names in before.values() for name in names if name not in kept),
        )

    def _poller(self, config: Config, key: _PollerKey, names: tuple[str, ...]) -> Poller:
        client = self._clients.get(key.connection, key.name)
        return Poller(config, names, client, collectors_for(config), self._store)


def _assign(config: Config) -> _Assignment:
    names: dict[Connection, list[str]] = {}
    for name, connection in config.connections.items():
        names.setdefault(connection, []).append(name)
    queues = tuple(value for name, value in config.queues if name != "targets")
    return {
        _PollerKey(shared[0], connection, queues, config.poll, config.events, config.slos): tuple(
            shared
        )
        for connection, shared in names.items()
    }


def _kept(before: _Assignment, after: _Assignment) -> frozenset[str]:
    """The connection names that the same poller serves before and after."""
    return frozenset(
        name for key, names in after.items() for name in names if name in before.get(key, ())
    )


def _stop(pollers: Iterable[Poller]) -> None:
    stopping = list(pollers)
    for poller in stopping:
        poller.stop()
    deadline = time.monotonic() + _STOP_SECONDS
    for poller in stopping:
        poller.join(max(0.0, deadline - time.monotonic()))
