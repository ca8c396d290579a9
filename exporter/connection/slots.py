"""Which master of a cluster has which slot, by CLUSTER SLOTS and by redirections. Pure.

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
    """The masters that have slots, and who has which."""

    masters: tuple[Address, ...]
    owners: list[Address | None]
    """By slot; None where nobody serves it."""
    ids: frozenset[str]
    """The ids of masters and replicas: they last through failovers and restarts."""


@dataclass(frozen=True, slots=True)
class Redirection:
    """Where a node sends a client instead."""

    slot: int
    address: Address
    asking: bool
    """For this one command, while the slot is on its way; otherwise for good."""


def read_slots(reply: Sequence[Any], asked: Address) -> Slots:
    """CLUSTER SLOTS' reply. A node that names no host for another means the one that was asked.

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
    """`MOVED 3999 host:port` or `ASK 3999 host:port`; None for any other error."""
    words = text.split(" ")
    if words[0] not in ("MOVED", "ASK") or len(words) != 3:
        return None
    host, _, port = words[2].rpartition(":")
    if not (_is_below(words[1], REDIS_CLUSTER_HASH_SLOTS) and _is_below(port, 65536)):
        return None
    return Redirection(int(words[1]), (host or asked[0], int(port)), words[0] == "ASK")


def shown(address: Address) -> str:
    """`host:port`."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _are_slots(reply: Any) -> bool:
    """`[[first, last, master, replica, …], …]`, in which a node is `[host, port, id, …]`."""
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
