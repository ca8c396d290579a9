"""The slot map of a cluster, from CLUSTER SLOTS and redirections. Pure.

See https://redis.io/docs/latest/commands/cluster-slots/ and
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS

from exporter.connection.replies import unexpected

Address = tuple[str, int]
"""Host and port."""


@dataclass(slots=True)
class Slots:
    """The masters that serve slots, and the slot map."""

    masters: tuple[Address, ...]
    owners: list[Address | None]
    """The master of each slot; None if no node serves it."""
    ids: frozenset[str]
    """The IDs of masters and replicas; stable across failovers and restarts."""


@dataclass(frozen=True, slots=True)
class Redirection:
    """The node to which another node redirects a command."""

    slot: int
    address: Address
    asking: bool
    """Whether only this command is redirected (ASK), because the slot is migrating."""


def read_slots(reply: Sequence[Any], asked: Address) -> Slots:
    """Parse the reply to CLUSTER SLOTS; a node without a host has the host that was asked.

    Raises `RedisFailure`.
    """
    if not _are_slots(reply):
        raise unexpected("CLUSTER SLOTS")
    owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
    masters: dict[Address, None] = {}
    ids: set[str] = set()
    for first, last, master, *replicas in reply:
        address = (_host(master[0], asked), int(master[1]))
        masters[address] = None
        owners[first : last + 1] = [address] * (last + 1 - first)
        ids.update(node[2].decode("ascii", "replace") for node in (master, *replicas))
    return Slots(tuple(masters), owners, frozenset(ids))


def redirection(text: str, asked: Address) -> Redirection | None:
    """Parse `MOVED 3999 host:port` or `ASK 3999 host:port`; None for any other error."""
    words = text.split(" ")
    if words[0] not in ("MOVED", "ASK") or len(words) != 3:
        return None
    host, _, port = words[2].rpartition(":")
    if not (_is_below(words[1], REDIS_CLUSTER_HASH_SLOTS) and _is_below(port, 65536)):
        return None
    return Redirection(int(words[1]), (host or asked[0], int(port)), words[0] == "ASK")


def format_address(address: Address) -> str:
    """`host:port`."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _are_slots(reply: Any) -> bool:
    """Whether it is `[[first, last, master, replica, …], …]` with nodes `[host, port, id, …]`."""
    return type(reply) is list and all(
        type(part) is list
        and len(part) > 2
        and all(type(slot) is int and 0 <= slot < REDIS_CLUSTER_HASH_SLOTS for slot in part[:2])
        and all(map(_is_node, part[2:]))
        for part in reply
    )


def _is_node(node: Any) -> bool:
    return (
        type(node) is list
        and len(node) > 2
        and type(node[0]) in (bytes, NoneType)
        and type(node[1]) is int
        and type(node[2]) is bytes
    )


def _is_below(text: str, limit: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < limit


def _host(host: bytes | None, asked: Address) -> str:
    return host.decode("utf-8", "backslashreplace") if host and host != b"?" else asked[0]
