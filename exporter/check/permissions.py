"""Tests which of the exporter's commands Redis refuses, and what is missing without them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from exporter.check.model import Outcome, Step
from exporter.collectors import READING_COMMANDS, SYNC_COMMANDS
from exporter.connection import Client, Command, ReplyError


@dataclass(frozen=True, slots=True)
class Permission:
    """A command by its ACL name, with all its uses in the exporter."""

    name: str
    uses: tuple[Command, ...]

    @property
    def cost(self) -> str:
        """What is missing if it is refused."""
        return ", ".join(dict.fromkeys(use.cost for use in self.uses if use.cost))

    @property
    def cluster(self) -> bool:
        """Whether it is sent only to clusters."""
        return all(use.cluster for use in self.uses)


def _permissions(commands: Iterable[Command]) -> tuple[Permission, ...]:
    uses: dict[str, list[Command]] = {}
    for command in commands:
        uses.setdefault(command.acl_name, []).append(command)
    return tuple(Permission(name, tuple(of_name)) for name, of_name in uses.items())


PERMISSIONS: Final = _permissions(READING_COMMANDS)
"""The permissions that reading requires, besides AUTH and SELECT."""


def acl_commands(*, sync: bool) -> list[str]:
    """ACL rules for the exporter's user, such as `+ping`; `sync` adds those of the sync test."""
    names = ["auth", "select", *(permission.name for permission in PERMISSIONS)]
    if sync:
        names += [command.acl_name for command in SYNC_COMMANDS]
    return [f"+{name}" for name in dict.fromkeys(names)]


def permissions_step(client: Client, prefixes: tuple[str, ...]) -> Step:
    """Send every command once, on keys that do not exist. Raises `RedisFailure`."""
    needed = [each for each in PERMISSIONS if client.settings.cluster or not each.cluster]
    refused: dict[str, str] = {}
    for node in client.nodes:
        for prefix in prefixes:
            refused |= {each.name: each.cost for each in _refused(node, needed, prefix)}
    if not refused:
        return Step("permissions", Outcome.OK, f"all {len(needed)} commands are allowed")
    notes = tuple(f"{name} is refused; missing: {cost}" for name, cost in refused.items())
    detail = f"{len(refused)} of {len(needed)} commands are refused"
    return Step("permissions", Outcome.WARNING, detail, {"refused": refused}, notes)


def _refused(node: Client, needed: Sequence[Permission], prefix: str) -> list[Permission]:
    """The permissions that a node refuses.

    In a cluster, a node checks permissions before it checks whether the key is in its slots.
    """
    key = f"{prefix}:bullmq-exporter-check:none"
    packed = b"".join(permission.uses[0].probe_on(key, node.name) for permission in needed)
    limit = sum(permission.uses[0].limit for permission in needed)
    replies = node.batch(packed, len(needed), limit).replies
    replied = zip(needed, replies, strict=True)
    return [each for each, r in replied if isinstance(r, ReplyError) and r.not_available]
