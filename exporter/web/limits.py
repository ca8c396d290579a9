"""Limits the connections of all clients and of each, so that no client locks others out.

A connection that waits for a request costs little: above a limit, the oldest of them is closed, so
that there is always room for the next client. Connections that are being answered are not closed;
above a limit, further requests get 503, except those of probes and scrapes.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from typing import Final, Protocol

ALWAYS_SERVED: Final = frozenset({"/-/healthy", "/-/ready", "/metrics"})
"""A probe that fails restarts the exporter; a missing scrape is a gap in every graph."""
_SPARE: Final = 100
"""Connections above a limit, for requests that are always served and for responses with 503."""
_NETWORK_BYTES: Final = 8
"""The part of an IPv6 address that identifies a network: a client has all of its addresses."""


class ClientConnection(Protocol):
    """A connection, as far as its limits need to know."""

    peer: str
    """Identifies the client; see `peer_of`."""

    @property
    def waiting(self) -> bool:
        """Whether it waits for a request, or for the rest of one."""
        ...

    def disconnect(self) -> None:
        """Close it without a response."""
        ...


class ConnectionLimits:
    """The open connections, in the order in which they were opened, by client."""

    def __init__(self, maximum: int) -> None:
        """`maximum` connections in total, and half of them for one client."""
        self._maximum = maximum
        self._share = (maximum + 1) // 2
        self._open: dict[ClientConnection, None] = {}
        self._by_peer: dict[str, dict[ClientConnection, None]] = defaultdict(dict)

    def opened(self, connection: ClientConnection) -> None:
        """Add a connection, and close one where there are too many."""
        own = self._by_peer[connection.peer]
        for group, limit in ((own, self._share), (self._open, self._maximum)):
            if len(group) >= limit:
                oldest = next((each for each in group if each.waiting), None)
                if oldest is not None:
                    self.closed(oldest)
                    oldest.disconnect()
                elif len(group) >= limit + _SPARE:
                    connection.disconnect()
                    return
        self._open[connection] = self._by_peer[connection.peer][connection] = None

    def closed(self, connection: ClientConnection) -> None:
        """Remove a connection; it may have been removed before."""
        self._open.pop(connection, None)
        own = self._by_peer[connection.peer]
        own.pop(connection, None)
        if not own:
            del self._by_peer[connection.peer]

    def exceeded(self, connection: ClientConnection) -> bool:
        """Whether more requests are being answered than allowed, in total or for this client."""
        own = self._by_peer.get(connection.peer, {})
        return _active(own) > self._share or _active(self._open) > self._maximum


def _active(connections: dict[ClientConnection, None]) -> int:
    return sum(not each.waiting for each in connections)


def peer_of(host: str) -> str:
    """The client at an address: an IPv4 address, or a network of IPv6, which belongs to one."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    mapped = address.ipv4_mapped
    return str(mapped) if mapped is not None else address.packed[:_NETWORK_BYTES].hex()
